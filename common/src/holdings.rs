//! What a worker's process holds when it meets a coordinator that was started again.
//!
//! The coordinator journals neither grants nor the reports of intermediate ops, so a worker says all that is needed to
//! go on with what it holds: where each lease is, what its ops did, and the piece of the source that the batch is made
//! of. It is a claim: the scheduler takes over what fits its ledger and refuses the rest.

use std::sync::Arc;

use crate::done::{DoneOp, Past};
use crate::ids::{BatchId, LeaseId, OutputId, RunId};
use crate::message::Step;
use crate::part::Part;
use crate::slice::Slice;
use crate::time::Time;

/// All that one process of a worker holds; what is not in it, the process does not hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holdings {
    /// The runs that are open on it.
    pub runs: Vec<RunId>,
    /// Leases whose chains run, and leases that are prepared without the coordinator's word that their commit is durable.
    pub leases: Vec<HeldLease>,
    /// Kept outputs.
    pub outputs: Vec<HeldOutput>,
}

/// A lease that a worker holds, or has prepared.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldLease {
    /// The lease.
    pub lease: LeaseId,
    /// The run.
    pub run: RunId,
    /// The batch; `None` for an op over the whole run.
    pub batch: Option<HeldBatch>,
    /// What it was granted for, cut where it was truncated; never empty.
    pub steps: Vec<Step>,
    /// How many of the steps were started.
    pub started: u32,
    /// What every op did that is done, those before the lease's first step too, in the order of the chain.
    pub done: Vec<DoneOp>,
    /// The checkpoint of another run that the batch began at, unless it has one of its own since.
    pub begun_at: Option<Part>,
    /// Where it is.
    pub state: HeldState,
}

/// A batch as the worker knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldBatch {
    /// The batch.
    pub id: BatchId,
    /// The piece of the source that it is made of.
    pub slice: Slice,
}

/// Where a held lease is.
#[derive(Clone, Debug, PartialEq)]
pub enum HeldState {
    /// Its chain is in a slot.
    Running {
        /// The slot.
        slot: u32,
        /// Since when the last started step runs; `None` while none does. The worker's time; the coordinator's edge maps it.
        since: Option<Time>,
        /// Since when the input of the first step is or was fetched, until that step has ended; `None` if it was not.
        fetch_started: Option<Time>,
        /// Whether it goes on.
        course: HeldCourse,
    },
    /// Every op is done, and what was staged waits for its commit; nothing of it runs.
    Prepared,
}

/// How far a running chain goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldCourse {
    /// To the end of its steps.
    On,
    /// To the end of the op that runs; it has not said yet which one that is.
    Truncating,
    /// No further: what it makes is dropped.
    Stopping,
}

/// An output that a worker keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOutput {
    /// The run it belongs to.
    pub run: RunId,
    /// The output.
    pub output: OutputId,
    /// Its size in bytes.
    pub bytes: u64,
    /// What lies behind it, the op that made it included.
    pub past: Arc<Past>,
}
