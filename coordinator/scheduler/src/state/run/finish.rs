//! The ops over a whole run, which put its output in place when every batch is done.

use common::ids::{Attempt, LeaseId, OpId, SessionId};
use common::part::Part;
use common::time::Time;

use crate::journal::ending::Ending;
use crate::state::run::{Run, RunPhase};

/// An op over the whole run that puts a sink's output in place.
#[derive(Debug)]
pub(crate) struct FinishOp {
    pub(crate) op: OpId,
    pub(crate) phase: FinishPhase,
    pub(crate) attempts: u32,
    /// The highest number of an attempt that has failed, or that is over since before a restart.
    pub(crate) over_up_to: u32,
    pub(crate) failures: u32,
    pub(crate) parts: Vec<Part>,
    pub(crate) ready_since: Time,
}

/// What an op over the whole run is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinishPhase {
    Ready,
    Leased(LeaseId),
    Backoff,
    Committing { lease: LeaseId, session: SessionId },
    Publishing,
    Done,
}

impl Run {
    /// Tells whether ops over the whole run may begin now: those that sweep only when what they sweep for cannot be lost, because
    /// a restart could let the run go on otherwise.
    pub(crate) fn may_finish(&self) -> bool {
        match self.phase {
            RunPhase::Finishing(Ending::Complete) => true,
            RunPhase::Finishing(Ending::Failed | Ending::Cancelled) => self.endings_under_way == 0,
            RunPhase::Accepting
            | RunPhase::Active
            | RunPhase::Draining(_)
            | RunPhase::Stopping(_)
            | RunPhase::Ending => false,
        }
    }
}

impl FinishOp {
    /// Tells whether a lease that a worker holds since before a restart may go on with the op.
    pub(crate) fn may_be_held(&self, attempt: Attempt) -> bool {
        self.phase == FinishPhase::Ready && attempt.0 > self.over_up_to
    }

    /// Makes an op that waits for a worker, or whose commit was durable before a restart.
    pub(crate) fn new(op: OpId, now: Time, committed: Option<Vec<Part>>) -> FinishOp {
        let phase = if committed.is_some() {
            FinishPhase::Publishing
        } else {
            FinishPhase::Ready
        };
        let parts = committed.unwrap_or_default();
        FinishOp {
            op,
            phase,
            attempts: 0,
            over_up_to: 0,
            failures: 0,
            parts,
            ready_since: now,
        }
    }
}
