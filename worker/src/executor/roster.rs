//! The roster: which of the executor's threads works on what.
//!
//! There are as many threads as slots, so work in a slot always finds one, but no thread belongs to a slot. While chains
//! are brief, only as many threads work as there are processors, each for one slot after another: more would only take
//! processors from each other, from the run loop, and from a coordinator on the same machine. A thread whose work takes
//! long does not count among them, so where ops wait, every slot has a thread of its own.
//!
//! Owns the work that was handed in and that no thread has taken. What is behind it (chains, seats, permits) is the
//! executor's.
//!
//! Known weakness: that work takes long is known when the run loop looks ([`Roster::relieve`]), so what is handed in
//! behind brief work that turns out to be long may wait for [`BRISK`] and a look.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::time::Time;

/// Work that takes no longer than this is brief.
pub(super) const BRISK: Duration = Duration::from_millis(1);

/// Who works, and what waits for a thread.
#[derive(Debug)]
pub(super) struct Roster<T> {
    state: Mutex<State<T>>,
    called: Condvar,
    processors: usize,
}

#[derive(Debug)]
struct State<T> {
    /// What no thread has taken, oldest first.
    ready: VecDeque<T>,
    /// By thread: since when it does what it does, while that is brief as far as anybody knows.
    brisk: Vec<Option<Time>>,
    /// How many of them are.
    brisk_count: usize,
    /// How many threads wait, or are about to, until they are called.
    resting: usize,
    /// How many of the resting threads were called.
    calls: usize,
    end: End,
}

/// Whether more will be handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Closed,
}

/// How long work takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// No longer than [`BRISK`].
    Brief,
    /// Longer.
    Long,
}

impl Pace {
    /// Tells the pace of work that took so long.
    pub(super) fn of(took: Duration) -> Pace {
        if took <= BRISK { Pace::Brief } else { Pace::Long }
    }
}

/// Whether work waits for a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backlog {
    None,
    Some,
}

impl<T> Roster<T> {
    /// Makes the roster of so many threads on so many processors.
    pub(super) fn new(threads: usize, processors: usize) -> Roster<T> {
        Roster {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                brisk: vec![None; threads],
                brisk_count: 0,
                resting: threads,
                calls: 0,
                end: End::Open,
            }),
            called: Condvar::new(),
            processors: processors.max(1),
        }
    }

    /// Hands in work. A thread is called for it, unless it is expected to be brief and enough threads are at brief work.
    pub(super) fn hand_in(&self, work: T, expected: Pace) {
        let mut state = self.lock();
        state.ready.push_back(work);
        let enough = match expected {
            Pace::Brief => state.brisk_count + state.calls >= self.processors,
            Pace::Long => false,
        };
        if !enough {
            self.call(&mut state);
        }
    }

    /// Waits until a thread is called, and returns its work; `None` when there will be none.
    pub(super) fn next(&self, thread: usize, now: impl Fn() -> Time) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.calls > 0 {
                state.calls -= 1;
                if let Some(work) = state.ready.pop_front() {
                    state.resting -= 1;
                    state.begin_brisk(thread, now());
                    return Some(work);
                }
            }
            if state.end == End::Closed {
                return None;
            }
            state = self.called.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes what goes on in the slot that a thread has worked for, and returns what the thread does next; `None` when it
    /// is to rest.
    pub(super) fn go_on(&self, thread: usize, follows: Option<T>, pace: Pace, now: Time) -> Option<T> {
        let mut state = self.lock();
        state.end_brisk(thread);
        let may_go_on = match (pace, follows) {
            (Pace::Long, Some(work)) => return Some(work),
            (Pace::Long, None) => true,
            (Pace::Brief, follows) => {
                state.ready.extend(follows);
                state.brisk_count < self.processors
            }
        };
        match state.ready.pop_front_if(|_| may_go_on) {
            Some(work) => {
                state.begin_brisk(thread, now);
                Some(work)
            }
            None => {
                state.resting += 1;
                None
            }
        }
    }

    /// Counts out the threads whose work turned out to be long, and calls others in their place. Tells whether work still waits.
    pub(super) fn relieve(&self, now: Time) -> Backlog {
        let mut state = self.lock();
        if state.ready.is_empty() {
            return Backlog::None;
        }
        for thread in 0..state.brisk.len() {
            if state.brisk[thread].is_some_and(|since| now.since(since) > BRISK) {
                state.end_brisk(thread);
            }
        }
        let waits = state.ready.len().min(self.processors);
        while state.brisk_count + state.calls < waits && state.calls < state.resting {
            self.call(&mut state);
        }
        Backlog::Some
    }

    /// Lets every thread end that rests.
    pub(super) fn close(&self) {
        self.lock().end = End::Closed;
        self.called.notify_all();
    }

    fn call(&self, state: &mut State<T>) {
        if state.calls < state.resting {
            state.calls += 1;
            self.called.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn begin_brisk(&mut self, thread: usize, now: Time) {
        self.brisk[thread] = Some(now);
        self.brisk_count += 1;
    }

    fn end_brisk(&mut self, thread: usize) {
        if self.brisk[thread].take().is_some() {
            self.brisk_count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    /// What a thread that was called finds, without waiting for the call.
    fn answer(roster: &Roster<u32>, thread: usize, now: u64) -> Option<u32> {
        let mut state = roster.lock();
        state.calls = state.calls.checked_sub(1)?;
        let work = state.ready.pop_front()?;
        state.resting -= 1;
        state.begin_brisk(thread, Time(now));
        Some(work)
    }

    #[test]
    fn each_piece_of_long_work_gets_a_thread_at_once() {
        let roster = Roster::new(4, 1);
        for work in 0..4 {
            roster.hand_in(work, Pace::Long);
        }
        let taken: Vec<u32> = (0..4).filter_map(|thread| answer(&roster, thread, 0)).collect();
        assert_eq!(taken, [0, 1, 2, 3]);
        let follows = roster.go_on(2, Some(7), Pace::Long, Time(9 * MILLI));
        assert_eq!(follows, Some(7), "it stays with its slot");
    }

    #[test]
    fn no_more_threads_than_processors_go_on_with_brief_work_and_each_slot_has_its_turn() {
        let roster = Roster::new(3, 1);
        for work in 0..3 {
            roster.hand_in(work, Pace::Long);
        }
        for thread in 0..3 {
            answer(&roster, thread, 0);
        }
        assert_eq!(
            roster.go_on(0, Some(10), Pace::Brief, Time(1)),
            None,
            "two others are at it"
        );
        assert_eq!(roster.go_on(1, Some(11), Pace::Brief, Time(2)), None);
        let turns = (0..4).map(|turn| roster.go_on(2, Some(20 + turn), Pace::Brief, Time(3)));
        assert_eq!(turns.collect::<Vec<_>>(), [Some(10), Some(11), Some(20), Some(21)]);
    }

    #[test]
    fn brief_work_is_left_to_the_threads_that_are_at_it() {
        let roster = Roster::new(3, 1);
        roster.hand_in(1, Pace::Brief);
        assert_eq!(answer(&roster, 0, 0), Some(1));
        roster.hand_in(2, Pace::Brief);
        assert_eq!(answer(&roster, 1, 0), None, "nobody is called");
        assert_eq!(roster.go_on(0, None, Pace::Brief, Time(1)), Some(2));
        assert_eq!(roster.go_on(0, None, Pace::Brief, Time(2)), None);
        roster.hand_in(3, Pace::Brief);
        assert_eq!(answer(&roster, 1, 0), Some(3), "the only one that worked rests");
    }

    #[test]
    fn work_behind_what_turns_out_to_be_long_gets_another_thread_when_the_loop_looks() {
        let roster = Roster::new(3, 1);
        roster.hand_in(1, Pace::Brief);
        assert_eq!(answer(&roster, 0, 0), Some(1));
        roster.hand_in(2, Pace::Brief);
        assert_eq!(roster.relieve(Time(MILLI / 2)), Backlog::Some);
        assert_eq!(answer(&roster, 1, 0), None, "it may still be brief");
        assert_eq!(roster.relieve(Time(2 * MILLI)), Backlog::Some);
        assert_eq!(answer(&roster, 1, 2 * MILLI), Some(2));
        assert_eq!(roster.relieve(Time(2 * MILLI)), Backlog::None);
        assert_eq!(roster.go_on(0, Some(5), Pace::Long, Time(3 * MILLI)), Some(5));
    }

    #[test]
    fn a_thread_that_rests_ends_when_the_roster_is_closed_and_not_before_its_work() {
        let roster = Roster::new(1, 1);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let mut done = Vec::new();
                while let Some(work) = roster.next(0, || Time(0)) {
                    done.push(work);
                    roster.go_on(0, None, Pace::Brief, Time(0));
                }
                done
            });
            roster.hand_in(1, Pace::Long);
            roster.close();
            assert_eq!(thread.join().expect("does not panic"), [1]);
        });
    }
}
