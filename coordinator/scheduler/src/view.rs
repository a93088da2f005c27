//! What can be seen from outside: batches and workers as lists show them.

use std::collections::BTreeSet;

use common::failure::Failure;
use common::ids::{Attempt, BatchId, OpId, SessionId, WorkerName};
use common::slice::Slice;
use common::state::BatchState;
use common::time::Time;

/// A batch that is in flight, committing or failed. Batches that are done are known by their ids alone.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchView {
    /// The batch.
    pub id: BatchId,
    /// Where it is in its life.
    pub state: BatchState,
    /// The op that runs or is next; `None` when the chain is done.
    pub op: Option<OpId>,
    /// The number of that op's attempt.
    pub attempt: Attempt,
    /// The piece of the source it is made of; `None` once it is done.
    pub slice: Option<Slice>,
    /// The worker that holds it.
    pub worker: Option<WorkerName>,
    /// The last failure of it.
    pub failure: Option<Failure>,
}

/// A worker's session as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerView {
    /// The session.
    pub session: SessionId,
    /// The worker's name.
    pub worker: WorkerName,
    /// How it is doing.
    pub state: WorkerState,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// How many it runs now, unknown ones of a lost worker included.
    pub busy: u32,
    /// The kinds of op it can do.
    pub ops: BTreeSet<String>,
    /// When it was last heard.
    pub last_heard: Time,
}

/// How a worker's session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// Connected and heard.
    Live,
    /// Its connection broke; its leases live on until their time is over.
    Disconnected,
    /// Takes no new leases.
    Draining,
    /// Fenced: it commits nothing, and its units are freed when its leases are certainly over.
    Fenced,
}
