//! The ops over a whole run, which put its output in place when every batch is done.

use common::ids::{LeaseId, OpId, SessionId};
use common::part::Part;
use common::time::Time;

/// An op over the whole run that puts a sink's output in place.
#[derive(Debug)]
pub(crate) struct FinishOp {
    pub(crate) op: OpId,
    pub(crate) phase: FinishPhase,
    pub(crate) attempts: u32,
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

impl FinishOp {
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
            failures: 0,
            parts,
            ready_since: now,
        }
    }
}
