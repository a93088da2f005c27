//! One lease: what was granted, and how far it is.

use std::sync::Arc;

use common::done::{DoneOp, Past};
use common::holdings::{HeldBatch, HeldCourse, HeldLease, HeldState};
use common::ids::{OpId, OutputId};
use common::message::{Grant, Input, OpOutcome, OpRan, PermitFate, Step};
use common::part::Part;
use common::slice::{RunContext, Slice};
use common::time::Time;

use crate::action::Chain;

/// A lease that the worker holds.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    /// What was granted.
    pub(crate) grant: Grant,
    /// The run it belongs to.
    pub(crate) run: Arc<RunContext>,
    /// How far it is.
    pub(crate) state: LeaseState,
    /// What its chain has said so far.
    pub(crate) progress: Progress,
}

/// What the chain of a lease has said: all that the coordinator would have to be told again after a restart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// How many steps were started.
    started: u32,
    /// Since when the last one of them runs; `None` when it has ended.
    running_since: Option<Time>,
    /// Since when the input of the first step is or was fetched, until that step has ended.
    fetch_started: Option<Time>,
    /// What the steps that are done did.
    done: Vec<DoneOp>,
    /// The last op that will run, once the chain was truncated.
    last: Option<OpId>,
}

impl Progress {
    /// Notes that the input of the first step is being fetched.
    pub(crate) fn fetch(&mut self, at: Time) {
        self.fetch_started = Some(at);
    }

    /// Notes that the next step started.
    pub(crate) fn start(&mut self, at: Time) {
        self.started += 1;
        self.running_since = Some(at);
    }

    /// Notes how the running step ended.
    pub(crate) fn end(&mut self, op: OpId, outcome: &OpOutcome) {
        self.running_since = None;
        self.fetch_started = None;
        match outcome {
            OpOutcome::Done(did) => self.done.push(DoneOp { op, did: did.clone() }),
            OpOutcome::Failed(_) => {}
        }
    }

    /// Notes that all steps ran well, of which nothing was said before.
    pub(crate) fn run_to_end(&mut self, steps: &[Step], ops: &[OpRan]) {
        self.started = steps.len() as u32;
        let did = ops.iter().map(|ran| ran.done.clone());
        self.done = steps
            .iter()
            .zip(did)
            .map(|(step, did)| DoneOp { op: step.op, did })
            .collect();
    }

    /// Notes that the chain will end after an op.
    pub(crate) fn truncate(&mut self, last: OpId) {
        self.last = Some(last);
    }
}

/// How far a lease is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseState {
    /// It has no permit: its chain waits for a slot that a chain of its run leaves.
    Waiting,
    /// The same, and its chain was asked back.
    AskedBack(Why),
    /// It has a permit, and waits for a slot.
    Permitted,
    /// Its chain runs in a slot.
    Running {
        /// The slot.
        slot: u32,
        /// Whether the chain is to go on.
        course: Course,
    },
}

/// Why a chain that waits was asked back, the strongest reason last: what is done when it has come back, or when a slot
/// has taken it meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// It got a permit of its own: it is started.
    Permitted,
    /// It is to be given back; one that has started goes on.
    Recalled,
    /// It is to be given back; one that has started ends after its op.
    Truncated,
    /// It is to end; one that has started is stopped.
    Stopped,
}

/// Whether a running chain is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// To its end.
    On,
    /// To the end of the op that runs.
    Truncating,
    /// No further: what it makes is dropped.
    Stopping,
}

impl Lease {
    /// Makes the chain that the executor runs.
    pub(crate) fn chain(&self) -> Chain {
        Chain {
            lease: self.grant.lease,
            run: Arc::clone(&self.run),
            batch: self.grant.batch,
            steps: Arc::clone(&self.grant.steps),
            input: self.grant.input.clone(),
        }
    }

    /// Takes in a lease.
    pub(crate) fn new(grant: Grant, run: Arc<RunContext>, state: LeaseState) -> Lease {
        Lease {
            grant,
            run,
            state,
            progress: Progress::default(),
        }
    }

    /// Returns what to say of the lease to a coordinator that does not know it.
    pub(crate) fn held(&self, state: HeldState) -> HeldLease {
        HeldLease {
            lease: self.grant.lease,
            run: self.grant.run,
            batch: self.held_batch(),
            steps: self.steps_that_will_run(),
            started: self.progress.started,
            done: self.done_up_to(None),
            begun_at: self.begun_at(),
            state,
        }
    }

    /// Returns what to say of a lease whose chain is in a slot.
    pub(crate) fn held_in_slot(&self, slot: u32, course: Course) -> HeldLease {
        let course = match course {
            Course::On => HeldCourse::On,
            Course::Truncating if self.progress.last.is_some() => HeldCourse::On,
            Course::Truncating => HeldCourse::Truncating,
            Course::Stopping => HeldCourse::Stopping,
        };
        self.held(HeldState::Running {
            slot,
            since: self.progress.running_since,
            fetch_started: self.progress.fetch_started,
            course,
        })
    }

    /// Returns what lies behind an output that the chain made or worked on.
    pub(crate) fn past_of(&self, output: OutputId) -> Option<Arc<Past>> {
        let slice = self.slice()?.clone();
        let done = self.done_up_to(Some(output.op));
        let begun_at = self.begun_at();
        Some(Arc::new(Past { slice, done, begun_at }))
    }

    fn begun_at(&self) -> Option<Part> {
        self.grant.past.as_ref()?.begun_at.clone()
    }

    fn held_batch(&self) -> Option<HeldBatch> {
        let (id, slice) = (self.grant.batch?, self.slice()?.clone());
        Some(HeldBatch { id, slice })
    }

    fn slice(&self) -> Option<&Slice> {
        match &self.grant.input {
            Input::Slice(slice) => Some(slice),
            Input::Local(_) | Input::Remote(_) | Input::Checkpoint(_) => {
                self.grant.past.as_ref().map(|past| &past.slice)
            }
            Input::Committed => None,
        }
    }

    fn steps_that_will_run(&self) -> Vec<Step> {
        let steps = &*self.grant.steps;
        let last = self.progress.last;
        let count = last.and_then(|last| steps.iter().position(|step| step.op == last));
        let count = count.map_or(steps.len(), |place| place + 1);
        steps[..count].to_vec()
    }

    fn done_up_to(&self, last: Option<OpId>) -> Vec<DoneOp> {
        let before = self.grant.past.iter().flat_map(|past| &past.done);
        let all = before.chain(&self.progress.done);
        all.filter(|done| last.is_none_or(|last| done.op <= last))
            .cloned()
            .collect()
    }

    /// Returns the kept output that the chain works on, if it works on one of this worker.
    pub(crate) fn local_input(&self) -> Option<OutputId> {
        match &self.grant.input {
            Input::Local(output) => Some(*output),
            Input::Slice(_) | Input::Remote(_) | Input::Checkpoint(_) | Input::Committed => None,
        }
    }

    /// Returns what becomes of the lease's permit when it is not handed on.
    pub(crate) fn returned_permit(&self) -> PermitFate {
        if self.holds_permit() {
            PermitFate::Returned
        } else {
            PermitFate::None
        }
    }

    /// Tells whether the lease counts against the caps.
    pub(crate) fn holds_permit(&self) -> bool {
        match self.state {
            LeaseState::Waiting | LeaseState::AskedBack(_) => false,
            LeaseState::Permitted | LeaseState::Running { .. } => true,
        }
    }
}
