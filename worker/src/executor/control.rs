//! The handle by which a running chain is truncated or stopped from outside its thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::failure::Failure;
use common::ids::{LeaseId, OpId};
use common::message::{OpOutcome, Step};
use common::time::Time;
use tokio::sync::Notify;

use super::news::{SlotNews, Urgency};
use crate::ops::CancelToken;

/// What the chain's thread and the run loop share.
#[derive(Debug)]
pub(super) struct ChainControl {
    lease: LeaseId,
    steps: Arc<[Step]>,
    news: Arc<SlotNews>,
    urgency: Urgency,
    cancel: CancelToken,
    progress: Mutex<Progress>,
    woken: Condvar,
    stopped: Notify,
}

#[derive(Debug)]
struct Progress {
    /// The step that runs; the first before any has started.
    step: usize,
    /// Whether its op is being run.
    running: Running,
    course: Course,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    No,
    Yes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    On,
    Truncated,
    /// The op's time is over: it is to stop, and what comes of it does not count.
    TimedOut,
    Stopped,
    Ended,
    /// It has ended, and its slot went on with another chain.
    Succeeded,
}

/// What came first: a chain's end, or the word to stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// It ended by itself.
    End,
    /// It ended by itself, and its slot went on with another chain: its end stands.
    Successor,
    /// It was stopped.
    Stop,
}

/// How a chain ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended<T> {
    /// By itself, and this is what goes on in its slot.
    ByItself(Option<T>),
    /// Because it was stopped.
    Stopped,
}

/// Whether a step ended within its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepEnd {
    /// It did, or had no limit, or was stopped for another reason.
    InTime,
    /// It did not.
    TimedOut,
}

/// Whether a chain goes on with its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It does, and its start was told.
    Started,
    /// It ends before it, with the output of the step before.
    Truncated,
    /// It ends before it, and leaves nothing.
    Stopped,
}

impl ChainControl {
    pub(super) fn new(lease: LeaseId, steps: Arc<[Step]>, news: Arc<SlotNews>, urgency: Urgency) -> ChainControl {
        ChainControl {
            lease,
            steps,
            news,
            urgency,
            cancel: CancelToken::default(),
            progress: Mutex::new(Progress {
                step: 0,
                running: Running::No,
                course: Course::On,
            }),
            woken: Condvar::new(),
            stopped: Notify::new(),
        }
    }

    /// Returns how soon news of the chain are wanted.
    pub(super) fn urgency(&self) -> Urgency {
        self.urgency
    }

    /// Returns the token that ops look at.
    pub(super) fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    /// Says that the chain's input was begun to be fetched.
    pub(super) fn fetch_started(&self, at: Time) {
        self.news.fetch_started(self.lease, at);
    }

    /// Starts a step unless the chain was truncated or stopped before it: a chain that was first truncated and then
    /// stopped has told which op is its last. The start is told under the lock, so that it is told before a truncation
    /// that names this step.
    pub(super) fn start_step(&self, step: usize, at: Time) -> Next {
        let mut progress = self.lock();
        match progress.course {
            Course::Truncated if step > 0 => return Next::Truncated,
            Course::Stopped if step > 0 => return Next::Stopped,
            Course::On | Course::Truncated | Course::TimedOut | Course::Stopped | Course::Ended | Course::Succeeded => {
            }
        }
        progress.step = step;
        progress.running = Running::Yes;
        let op = self.op_at(step);
        self.news.op_started(self.lease, op, at, self.urgency);
        Next::Started
    }

    /// Tells how the step that runs ended.
    pub(super) fn end_step(&self, op: OpId, at: Time, outcome: OpOutcome) {
        self.news.op_ended(self.lease, op, at, outcome, self.urgency);
    }

    /// Lets the chain end after the step that runs, and tells which one that is.
    pub(super) fn truncate(&self) {
        let mut progress = self.lock();
        if progress.course == Course::On {
            progress.course = Course::Truncated;
        }
        self.news.chain_truncated(self.lease, self.op_at(progress.step));
    }

    /// Ends the step that runs before it is told, and says whether its time was over.
    pub(super) fn leave_step(&self) -> StepEnd {
        let mut progress = self.lock();
        progress.running = Running::No;
        match progress.course {
            Course::TimedOut => StepEnd::TimedOut,
            Course::On | Course::Truncated | Course::Stopped | Course::Ended | Course::Succeeded => StepEnd::InTime,
        }
    }

    /// Cancels an op because its time is over, unless it has ended meanwhile.
    pub(super) fn time_out(&self, op: OpId) {
        let mut progress = self.lock();
        let runs = progress.running == Running::Yes && self.op_at(progress.step) == op;
        match progress.course {
            Course::On | Course::Truncated if runs => progress.course = Course::TimedOut,
            Course::On | Course::Truncated | Course::TimedOut | Course::Stopped | Course::Ended | Course::Succeeded => {
                return;
            }
        }
        drop(progress);
        self.cancel.cancel();
        self.woken.notify_all();
    }

    /// Tells whether the chain was stopped: what it made is dropped.
    pub(super) fn is_stopped(&self) -> bool {
        self.lock().course == Course::Stopped
    }

    /// Cancels the step that runs, and whatever it waits for. Whoever comes second, this or [`ChainControl::end`], knows
    /// that nobody will ask for what the chain staged, unless its slot went on.
    pub(super) fn stop(&self) -> First {
        self.cancel.cancel();
        let mut progress = self.lock();
        match progress.course {
            Course::Ended => return First::End,
            Course::Succeeded => return First::Successor,
            Course::On | Course::Truncated | Course::TimedOut | Course::Stopped => {}
        }
        progress.course = Course::Stopped;
        drop(progress);
        self.woken.notify_all();
        self.stopped.notify_one();
        First::Stop
    }

    /// Notes that the chain has ended, and takes what goes on in its slot if it was not stopped.
    pub(super) fn end<T>(&self, take_next: impl FnOnce() -> Option<T>) -> Ended<T> {
        let mut progress = self.lock();
        if progress.course == Course::Stopped {
            return Ended::Stopped;
        }
        let next = take_next();
        progress.course = match next {
            Some(_) => Course::Succeeded,
            None => Course::Ended,
        };
        Ended::ByItself(next)
    }

    /// Sleeps for a time, or until the chain is stopped.
    pub(super) fn sleep(&self, time: Duration) -> Result<(), Failure> {
        if !time.is_zero() {
            let still_on = |progress: &mut Progress| match progress.course {
                Course::On | Course::Truncated | Course::Ended | Course::Succeeded => true,
                Course::TimedOut | Course::Stopped => false,
            };
            let waited = self.woken.wait_timeout_while(self.lock(), time, still_on);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
        self.cancel.check()
    }

    /// Waits until the chain is stopped.
    pub(super) async fn stopped(&self) {
        if !self.cancel.is_cancelled() {
            self.stopped.notified().await;
        }
    }

    fn op_at(&self, step: usize) -> OpId {
        self.steps[step].op
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use common::ids::{Attempt, Generation};

    use crate::executor::News;

    fn control(ops: &[u16]) -> ChainControl {
        let lease = LeaseId {
            generation: Generation(1),
            sequence: 1,
        };
        let step = |op: &u16| Step {
            op: OpId(*op),
            attempt: Attempt::FIRST,
        };
        let news = News::of_slots(1).slot(0);
        ChainControl::new(lease, ops.iter().map(step).collect(), news, Urgency::Soon)
    }

    fn nothing() -> Option<u8> {
        None
    }

    #[test]
    fn an_op_is_timed_out_while_it_runs_and_not_after_it_or_by_the_time_of_another() {
        let control = control(&[0, 1]);
        control.start_step(0, Time(1));
        assert_eq!(control.leave_step(), StepEnd::InTime);
        control.time_out(OpId(0));
        control.start_step(1, Time(2));
        control.time_out(OpId(0));
        assert!(!control.cancel_token().is_cancelled());
        control.time_out(OpId(1));
        assert!(control.cancel_token().is_cancelled() && !control.is_stopped());
        assert_eq!(control.leave_step(), StepEnd::TimedOut);
    }

    #[test]
    fn a_sleep_ends_when_the_ops_time_is_over() {
        let control = control(&[0, 1]);
        control.start_step(0, Time(1));
        std::thread::scope(|scope| {
            let sleeps = scope.spawn(|| control.sleep(Duration::from_secs(600)));
            control.time_out(OpId(0));
            assert!(sleeps.join().expect("does not panic").is_err());
        });
    }

    #[test]
    fn a_chain_that_was_truncated_and_then_stopped_starts_no_further_op() {
        let control = control(&[0, 1]);
        assert_eq!(control.start_step(0, Time(1)), Next::Started);
        control.truncate();
        assert_eq!(control.stop(), First::Stop);
        assert_eq!(control.start_step(1, Time(2)), Next::Stopped);
        assert_eq!(control.end(|| Some(1)), Ended::Stopped, "its slot does not go on");
    }

    #[test]
    fn a_chain_that_ended_before_it_was_stopped_is_left_to_who_stops_it() {
        let control = control(&[0]);
        assert_eq!(control.start_step(0, Time(1)), Next::Started);
        assert_eq!(control.end(nothing), Ended::ByItself(None));
        assert_eq!(control.stop(), First::End);
    }

    #[test]
    fn the_end_of_a_chain_stands_when_its_slot_has_gone_on() {
        let control = control(&[0]);
        assert_eq!(control.start_step(0, Time(1)), Next::Started);
        assert_eq!(control.end(|| Some(1)), Ended::ByItself(Some(1)));
        assert_eq!(control.stop(), First::Successor);
    }
}
