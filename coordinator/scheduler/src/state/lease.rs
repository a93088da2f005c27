//! A lease: the right of one session to run consecutive ops of one batch, or one op over the whole run.

use std::sync::Arc;

use common::failure::Failure;
use common::ids::{BatchId, LeaseId, OpId, RunId, SessionId, WorkerName};
use common::job::PoolName;
use common::message::Step;
use common::state::TaskState;
use common::time::Time;
use common::timeline::{Moved, TimelineEntry};

/// A lease that was granted and has not ended.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) run: RunId,
    /// The batch; `None` for an op over the whole run.
    pub(crate) batch: Option<BatchId>,
    pub(crate) steps: Arc<[Step]>,
    pub(crate) session: SessionId,
    pub(crate) permit: Permit,
    pub(crate) standing: Standing,
    /// How many of its steps were started.
    pub(crate) started: usize,
    /// The step that runs now.
    pub(crate) running: Option<RunningStep>,
    pub(crate) truncation: Truncation,
    /// The op whose own limit it holds a unit of.
    pub(crate) limited_op: Option<OpId>,
    /// When it was granted.
    pub(crate) granted: Time,
    /// The pools that it holds a unit of, for that op.
    pub(crate) pools: Vec<PoolName>,
    /// The tokens of that op's rate that were promised to it, until the op starts.
    pub(crate) tokens: Option<u64>,
    /// Since when its next step could have run.
    pub(crate) queued: Time,
    /// When its input was begun to be fetched, until its first step starts.
    pub(crate) fetch_started: Option<Time>,
    /// Why its last op failed.
    pub(crate) failure: Option<Failure>,
}

/// A step that a worker runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunningStep {
    pub(crate) step: Step,
    pub(crate) slot: u32,
    /// When its input was begun to be fetched, if it had to be.
    pub(crate) fetch_started: Option<Time>,
    pub(crate) started: Time,
}

/// Whether a lease may run: a permit is a slot, a unit of the caps and a unit of the batches in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    /// It holds one.
    Held,
    /// It waits behind other leases of its run at the same worker.
    Waiting,
}

/// Whether what comes of a lease still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does.
    Valid,
    /// It does not: its batch goes on elsewhere. Its permit is held until its end is reported or certain.
    Fenced,
}

/// Whether a lease was asked to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truncation {
    /// It was not.
    None,
    /// It was, and its worker has not answered.
    Asked,
    /// Its worker named the last op.
    Confirmed,
}

impl Lease {
    /// Returns the step that the worker may start next.
    pub(crate) fn next_step(&self) -> Option<Step> {
        self.steps.get(self.started).copied()
    }

    /// Returns the row of the timeline of a step that runs.
    pub(crate) fn running_entry(&self, running: RunningStep, worker: &WorkerName) -> TimelineEntry {
        let queued = self.queued.min(running.started);
        TimelineEntry {
            op: running.step.op,
            batch: self.batch,
            attempt: running.step.attempt,
            worker: worker.clone(),
            slot: running.slot,
            state: TaskState::Running,
            queued,
            leased: self.granted.max(queued).min(running.started.max(queued)),
            fetch_started: running.fetch_started,
            started: running.started,
            finished: None,
            committed: None,
            moved: Moved::default(),
        }
    }

    /// Tells whether an op of it will start after the one that runs now.
    pub(crate) fn has_more_steps(&self) -> bool {
        self.started < self.steps.len()
    }
}
