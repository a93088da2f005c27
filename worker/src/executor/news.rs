//! What the slots have to say: collected slot by slot, and taken by the run loop when it is worth its while.
//!
//! A slot whose chains are brief holds back what their ops do and says all of it at once when the chain has ended; one
//! whose chains take long says each start and end as it comes. What is said waits until the run loop looks. It looks at
//! once when a slot is left idle or when it has had nothing to do for a while, and else every [`LINGER`], so that many
//! brief chains cost one look. What is held back is said after [`BRIEF`] at the latest.
//!
//! Order: each slot is heard in the order in which it spoke; nothing is promised between slots.
//!
//! Known weakness: when the process dies, what the slots said last is lost with it, up to [`BRIEF`] of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::{ChainEnd, Input};
use common::ids::{LeaseId, OpId};
use common::message::{OpOutcome, OpRan};
use common::time::Time;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The time between two looks while the slots go on by themselves.
const LINGER: Duration = Duration::from_millis(1);
/// A chain that takes no longer than this is told as a whole.
const BRIEF: Duration = Duration::from_millis(5);

/// What one slot has to say.
#[derive(Debug)]
pub(super) struct SlotNews {
    said: Mutex<Said>,
    bell: Arc<Bell>,
}

#[derive(Debug, Default)]
struct Said {
    inputs: Vec<Input>,
    telling: Telling,
    /// What the ops of the running chain did, while it is held back.
    held: Vec<HeldOp>,
    /// The running chain, and when its first op started.
    running: Option<(LeaseId, Time)>,
    last_chain: Length,
}

/// Whether what the running chain does is said as it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Telling {
    #[default]
    OpByOp,
    /// Nothing of it was said yet.
    HeldBack,
}

/// How long a chain took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Length {
    Brief,
    #[default]
    Long,
}

#[derive(Debug)]
struct HeldOp {
    op: OpId,
    started: Time,
    ended: Option<(Time, OpOutcome)>,
}

/// Calls the run loop.
#[derive(Debug, Default)]
struct Bell {
    /// Whether the run loop wants to be called for anything.
    listening: AtomicBool,
    rung: Notify,
}

/// How soon news is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Somebody waits for it.
    AtOnce,
    /// It can wait for the next look, and be held back if the chain is brief.
    Soon,
}

/// The news of all slots, for the run loop.
#[derive(Debug)]
pub(crate) struct News {
    slots: Vec<Arc<SlotNews>>,
    bell: Arc<Bell>,
    next_look: Option<Instant>,
}

impl News {
    /// Makes the news of so many slots.
    pub(super) fn of_slots(slots: u32) -> News {
        let bell = Arc::new(Bell::default());
        bell.listening.store(true, Ordering::SeqCst);
        let slot = |_| {
            Arc::new(SlotNews {
                said: Mutex::default(),
                bell: Arc::clone(&bell),
            })
        };
        News {
            slots: (0..slots).map(slot).collect(),
            bell: Arc::clone(&bell),
            next_look: None,
        }
    }

    /// Returns a slot's end of it.
    pub(super) fn slot(&self, slot: u32) -> Arc<SlotNews> {
        Arc::clone(&self.slots[slot as usize])
    }

    /// Waits until it is time to look. Safe to be dropped while it waits.
    pub(crate) async fn wait(&self) {
        match self.next_look {
            Some(at) => {
                // Either way it is time to look.
                let _ = tokio::time::timeout_at(at, self.bell.rung.notified()).await;
            }
            None => self.bell.rung.notified().await,
        }
    }

    /// Wants to look again soon, because chains in slots wait for a thread.
    pub(crate) fn look_soon(&mut self) {
        let soon = Instant::now() + LINGER;
        self.next_look = Some(self.next_look.map_or(soon, |at| at.min(soon)));
    }

    /// Takes what was said, in order, and settles when to look again.
    pub(crate) fn take(&mut self, now: Time, inputs: &mut Vec<Input>) {
        let looked = Instant::now();
        self.bell.listening.store(false, Ordering::SeqCst);
        self.collect(now, inputs);
        if inputs.is_empty() {
            // What was said before the bell listens is found by looking again.
            self.bell.listening.store(true, Ordering::SeqCst);
            let holds = self.collect(now, inputs);
            self.next_look = (holds == Holds::Something).then_some(looked + BRIEF);
        }
        if !inputs.is_empty() {
            self.bell.listening.store(false, Ordering::SeqCst);
            self.next_look = Some(looked + LINGER);
        }
    }

    fn collect(&self, now: Time, inputs: &mut Vec<Input>) -> Holds {
        let mut holds = Holds::Nothing;
        for slot in &self.slots {
            let mut said = slot.lock();
            if let Some((lease, began)) = said.running
                && now.since(began) > BRIEF
            {
                said.tell_held(lease);
            }
            inputs.append(&mut said.inputs);
            if !said.held.is_empty() {
                holds = Holds::Something;
            }
        }
        holds
    }
}

/// Whether slots hold something back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Nothing,
    Something,
}

impl SlotNews {
    /// The input of the next chain was begun to be fetched. Nothing is held back of that, and chains whose input is here
    /// never say it.
    pub(super) fn fetch_started(&self, lease: LeaseId, at: Time) {
        self.lock().inputs.push(Input::FetchStarted { lease, at });
        self.bell.ring(Urgency::Soon);
    }

    /// An op of the running chain started.
    pub(super) fn op_started(&self, lease: LeaseId, op: OpId, at: Time, urgency: Urgency) {
        let mut said = self.lock();
        if said.running.is_none() {
            said.running = Some((lease, at));
            said.telling = match (said.last_chain, urgency) {
                (Length::Brief, Urgency::Soon) => Telling::HeldBack,
                (Length::Long, Urgency::Soon) | (_, Urgency::AtOnce) => Telling::OpByOp,
            };
        }
        match said.telling {
            Telling::HeldBack => {
                let (started, ended) = (at, None);
                said.held.push(HeldOp { op, started, ended });
                let is_first = said.held.len() == 1;
                drop(said);
                // A run loop that has nothing to do learns that there will be something to say.
                if is_first {
                    self.bell.ring(Urgency::Soon);
                }
            }
            Telling::OpByOp => {
                said.inputs.push(Input::OpStarted { lease, op, at });
                drop(said);
                self.bell.ring(urgency);
            }
        }
    }

    /// An op of the running chain ended.
    pub(super) fn op_ended(&self, lease: LeaseId, op: OpId, at: Time, outcome: OpOutcome, urgency: Urgency) {
        let mut said = self.lock();
        match (said.telling, said.held.last_mut()) {
            (Telling::HeldBack, Some(held)) => held.ended = Some((at, outcome)),
            (Telling::HeldBack, None) | (Telling::OpByOp, _) => {
                said.inputs.push(Input::OpEnded { lease, op, at, outcome });
                drop(said);
                self.bell.ring(urgency);
            }
        }
    }

    /// A chain will end after this op.
    pub(super) fn chain_truncated(&self, lease: LeaseId, last: OpId) {
        let mut said = self.lock();
        if let Some((running, _)) = said.running {
            said.tell_held(running);
        }
        said.inputs.push(Input::ChainTruncated { lease, last });
        drop(said);
        self.bell.ring(Urgency::AtOnce);
    }

    /// The running chain ended, and the slot took another one, or none.
    pub(super) fn chain_ended(&self, lease: LeaseId, end: ChainEnd, at: Time, next: Option<LeaseId>) {
        let mut said = self.lock();
        said.last_chain = match said.running.take() {
            Some((_, began)) if at.since(began) <= BRIEF => Length::Brief,
            Some(_) | None => Length::Long,
        };
        let ran = if end == (ChainEnd::Finished { kept: None }) {
            said.take_ran()
        } else {
            None
        };
        match ran {
            Some(ops) => said.inputs.push(Input::ChainRan { lease, ops, next }),
            None => {
                said.tell_held(lease);
                said.inputs.push(Input::ChainEnded { lease, end, next });
            }
        }
        drop(said);
        self.bell.ring(match next {
            Some(_) => Urgency::Soon,
            None => Urgency::AtOnce,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Said {
    /// Says what is held back; the rest of the chain is said as it comes.
    fn tell_held(&mut self, lease: LeaseId) {
        self.telling = Telling::OpByOp;
        for HeldOp { op, started, ended } in self.held.drain(..) {
            let at = started;
            self.inputs.push(Input::OpStarted { lease, op, at });
            if let Some((at, outcome)) = ended {
                self.inputs.push(Input::OpEnded { lease, op, at, outcome });
            }
        }
    }

    /// Takes what the ops did, if all of it is held back and all of it went well.
    fn take_ran(&mut self) -> Option<Vec<OpRan>> {
        let went_well = |held: &HeldOp| matches!(held.ended, Some((_, OpOutcome::Done(_))));
        if self.telling != Telling::HeldBack || self.held.is_empty() || !self.held.iter().all(went_well) {
            return None;
        }
        let ran = |held: HeldOp| match held.ended {
            Some((ended, OpOutcome::Done(done))) => Some(OpRan {
                started: held.started,
                ended,
                done,
            }),
            Some((_, OpOutcome::Failed(_))) | None => None,
        };
        Some(self.held.drain(..).filter_map(ran).collect())
    }
}

impl Bell {
    fn ring(&self, urgency: Urgency) {
        if urgency == Urgency::AtOnce || self.listening.swap(false, Ordering::SeqCst) {
            self.rung.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use common::done::OpDone;
    use common::failure::Failure;
    use common::ids::Generation;

    const MILLI: u64 = 1_000_000;

    fn lease(sequence: u64) -> LeaseId {
        LeaseId {
            generation: Generation(1),
            sequence,
        }
    }

    /// Lets a chain of one op run.
    fn run(slot: &SlotNews, number: u64, millis: (u64, u64), urgency: Urgency, outcome: OpOutcome) {
        let (started, ended) = (Time(millis.0 * MILLI), Time(millis.1 * MILLI));
        slot.op_started(lease(number), OpId(0), started, urgency);
        slot.op_ended(lease(number), OpId(0), ended, outcome, urgency);
        let end = ChainEnd::Finished { kept: None };
        slot.chain_ended(lease(number), end, ended, Some(lease(number + 1)));
    }

    fn done() -> OpOutcome {
        OpOutcome::Done(OpDone::default())
    }

    fn kinds(inputs: &[Input]) -> Vec<&'static str> {
        let kind = |input: &Input| {
            if matches!(input, Input::OpStarted { .. }) {
                "started"
            } else if matches!(input, Input::OpEnded { .. }) {
                "ended"
            } else if matches!(input, Input::ChainEnded { .. }) {
                "chain ended"
            } else {
                assert!(matches!(input, Input::ChainRan { .. }), "a slot does not say {input:?}");
                "ran"
            }
        };
        inputs.iter().map(kind).collect()
    }

    #[tokio::test]
    async fn a_slot_of_brief_chains_tells_each_as_a_whole() {
        let mut news = News::of_slots(1);
        let slot = news.slot(0);
        run(&slot, 1, (0, 1), Urgency::Soon, done());
        run(&slot, 2, (1, 2), Urgency::Soon, done());
        let mut inputs = Vec::new();
        news.take(Time(2 * MILLI), &mut inputs);
        assert_eq!(kinds(&inputs), ["started", "ended", "chain ended", "ran"]);
    }

    #[tokio::test]
    async fn what_is_urgent_or_failed_or_long_is_told_op_by_op() {
        let mut news = News::of_slots(1);
        let slot = news.slot(0);
        run(&slot, 1, (0, 1), Urgency::Soon, done());
        run(&slot, 2, (1, 2), Urgency::AtOnce, done());
        run(
            &slot,
            3,
            (2, 3),
            Urgency::Soon,
            OpOutcome::Failed(Failure::retryable("it rains")),
        );
        run(&slot, 4, (3, 30), Urgency::Soon, done());
        run(&slot, 5, (30, 31), Urgency::Soon, done());
        let mut inputs = Vec::new();
        news.take(Time(31 * MILLI), &mut inputs);
        let op_by_op = ["started", "ended", "chain ended"];
        let expected = [&op_by_op[..], &op_by_op, &op_by_op, &["ran"], &op_by_op].concat();
        assert_eq!(kinds(&inputs), expected);
    }

    #[tokio::test]
    async fn what_is_held_back_is_told_when_it_takes_long() {
        let mut news = News::of_slots(1);
        let slot = news.slot(0);
        run(&slot, 1, (0, 1), Urgency::Soon, done());
        slot.op_started(lease(2), OpId(0), Time(MILLI), Urgency::Soon);
        let mut inputs = Vec::new();
        news.take(Time(2 * MILLI), &mut inputs);
        assert_eq!(kinds(&inputs), ["started", "ended", "chain ended"]);
        inputs.clear();
        news.take(Time(2 * MILLI), &mut inputs);
        assert_eq!(kinds(&inputs), [""; 0], "it may still be brief");
        news.wait().await;
        news.take(Time(7 * MILLI), &mut inputs);
        assert_eq!(kinds(&inputs), ["started"], "the wait ends by itself");
    }

    #[tokio::test]
    async fn what_is_held_back_while_nobody_looks_is_told_when_it_takes_long() {
        let mut news = News::of_slots(1);
        let slot = news.slot(0);
        run(&slot, 1, (0, 1), Urgency::Soon, done());
        let mut inputs = Vec::new();
        news.take(Time(MILLI), &mut inputs);
        inputs.clear();
        news.take(Time(MILLI), &mut inputs);
        assert_eq!(kinds(&inputs), [""; 0], "there is nothing to do for the run loop");
        slot.op_started(lease(2), OpId(0), Time(2 * MILLI), Urgency::Soon);
        for now in [3, 9] {
            let looked = tokio::time::timeout(Duration::from_secs(5), news.wait()).await;
            looked.expect("a chain has begun, and nobody will say so");
            news.take(Time(now * MILLI), &mut inputs);
        }
        assert_eq!(kinds(&inputs), ["started"]);
    }
}
