//! What a coordinator and a worker say to each other, as domain types.
//!
//! The scheduler makes [`ToWorker`]s and takes [`Report`]s; the worker's agent does the reverse. `proto` turns both
//! into frames and back, a simulator passes them as they are. Order within one session is kept; nothing is said twice.
//!
//! Permits: a lease is granted with the right to start ([`Start::Now`]) or behind the leases of its run that the
//! worker holds already ([`Start::OnFreedPermit`]): then it starts in the slot of the first one that ends prepared
//! there, and the report of that end says so. A lease that ends in any other way returns its permit. The sum of permits is what the coordinator counts against every cap.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::done::{OpDone, Past};
use crate::failure::Failure;
use crate::ids::{Attempt, BatchId, LeaseId, OpId, OutputId, RunId, SessionId};
use crate::part::Part;
use crate::slice::{RunContext, Slice};
use crate::time::Time;

/// What the coordinator says to one worker session.
#[derive(Clone, Debug, PartialEq)]
pub enum ToWorker {
    /// Comes before the first lease of a run.
    OpenRun(Arc<RunContext>),
    /// The run has ended: forget it and delete what is kept for it.
    CloseRun {
        /// The run.
        run: RunId,
    },
    /// Here is a lease.
    Grant(Grant),
    /// A lease that was granted behind others may start now, with a permit of its own.
    Permit {
        /// The lease.
        lease: LeaseId,
    },
    /// End the lease after the op that runs now, park its output, and say which op was the last. A lease that has not
    /// started ends at once as [`LeaseEnd::Recalled`].
    Truncate {
        /// The lease.
        lease: LeaseId,
    },
    /// Give a lease back that waits for a permit: it ends as [`LeaseEnd::Recalled`]. One that has started goes on.
    Recall {
        /// The lease.
        lease: LeaseId,
    },
    /// Stop the lease at once and drop what it made; it ends as [`LeaseEnd::Stopped`].
    Revoke {
        /// The lease.
        lease: LeaseId,
    },
    /// The parts are committed: put them in place, and say [`Report::Published`]. May come to a worker that did not make them.
    Publish(Publish),
    /// Nobody needs this output any more.
    Discard {
        /// The run it belongs to.
        run: RunId,
        /// The output.
        output: OutputId,
    },
    /// Take no new lease, finish or park the held ones, leave.
    Drain,
    /// What followed from so many reports of this session, from its first one, cannot be lost any more.
    Settled {
        /// How many.
        reports: u64,
    },
}

/// A lease: the right to run consecutive ops of one batch, or one op over the whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// Its id, which is its fencing token.
    pub lease: LeaseId,
    /// The run.
    pub run: RunId,
    /// The batch; `None` for an op over the whole run.
    pub batch: Option<BatchId>,
    /// The ops to run, in order, each with the number of its attempt; never empty.
    pub steps: Arc<[Step]>,
    /// Where the first op's input is.
    pub input: Input,
    /// What lies behind a batch whose input is an output: the worker keeps it, to say it to a coordinator that was started again.
    pub past: Option<Arc<Past>>,
    /// When the lease may start.
    pub start: Start,
}

/// One op of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The op.
    pub op: OpId,
    /// The number of this attempt at it.
    pub attempt: Attempt,
}

/// Where a lease finds what its first op works on.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// In the source.
    Slice(Slice),
    /// Parked on the worker that gets the lease.
    Local(OutputId),
    /// Parked on another worker.
    Remote(RemoteOutput),
    /// In a checkpoint that every worker sees: what this part of a file holds.
    Checkpoint(Part),
    /// The op works on the whole run: what the batches committed.
    Committed,
}

/// An output that lies on another worker, and the right to fetch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteOutput {
    /// Which output.
    pub output: OutputId,
    /// Where the other worker's exchange listens, as an URL.
    pub address: String,
    /// The session that holds it.
    pub holder: SessionId,
    /// An unguessable value, bound to the lease; filled in by the coordinator's edge, empty inside the pure core.
    pub ticket: Vec<u8>,
}

/// When a granted lease may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// At once: it comes with a slot and a permit.
    Now,
    /// When a lease of the same run ends at this worker and hands its permit on.
    OnFreedPermit,
}

/// Parts to put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The lease whose commit is durable; names the answer.
    pub lease: LeaseId,
    /// The run.
    pub run: RunId,
    /// The batch; `None` for what an op over the whole run made.
    pub batch: Option<BatchId>,
    /// The parts. None of a whole run: it is forgotten, and what it keeps beside its result is to be deleted.
    pub parts: Vec<Part>,
}

/// What a worker reports. Times are the worker's, mapped to the coordinator's clock.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// An op of a lease started in a slot.
    OpStarted {
        /// The lease.
        lease: LeaseId,
        /// The op.
        op: OpId,
        /// The worker's slot, from 0.
        slot: u32,
        /// When.
        at: Time,
    },
    /// An op of a lease ended.
    OpEnded {
        /// The lease.
        lease: LeaseId,
        /// The op.
        op: OpId,
        /// When.
        at: Time,
        /// How.
        outcome: OpOutcome,
    },
    /// The input of a lease's first op was begun to be fetched from another worker; said before that op starts.
    FetchStarted {
        /// The lease.
        lease: LeaseId,
        /// When.
        at: Time,
    },
    /// The lease will end after this op: the answer to a truncation of a lease that runs.
    Truncated {
        /// The lease.
        lease: LeaseId,
        /// The last op that it started.
        last: OpId,
    },
    /// The lease has ended and its slot is free, or has gone to the lease named by `permit`.
    LeaseEnded {
        /// The lease.
        lease: LeaseId,
        /// How.
        end: LeaseEnd,
        /// What became of its permit.
        permit: PermitFate,
    },
    /// Every op of a lease ran well, nothing of it was said before, and it has ended as [`LeaseEnd::Prepared`]: short for
    /// a start and an end of each op and the end of the lease.
    ChainRan(ChainRan),
    /// The committed parts are in place.
    Published {
        /// The lease they were committed under.
        lease: LeaseId,
    },
    /// The committed parts could not be put in place.
    PublishFailed {
        /// The lease they were committed under.
        lease: LeaseId,
        /// Why.
        failure: Failure,
    },
    /// The worker takes no new leases and will leave.
    Draining,
}

/// A lease whose ops all ran well.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainRan {
    /// The lease.
    pub lease: LeaseId,
    /// The worker's slot, from 0.
    pub slot: u32,
    /// What each op did, in the order of the lease's steps.
    pub ops: Vec<OpRan>,
    /// The waiting lease of the same run that the worker started with its permit; without one the permit came back.
    pub heir: Option<LeaseId>,
}

/// An op that ran well.
#[derive(Clone, Debug, PartialEq)]
pub struct OpRan {
    /// When it started.
    pub started: Time,
    /// When it ended.
    pub ended: Time,
    /// What it did.
    pub done: OpDone,
}

/// How an op ended.
#[derive(Clone, Debug, PartialEq)]
pub enum OpOutcome {
    /// Well.
    Done(OpDone),
    /// With a failure.
    Failed(Failure),
}

/// How a lease ended.
#[derive(Clone, Debug, PartialEq)]
pub enum LeaseEnd {
    /// Every op of the chain is done: what was staged waits for its commit, and the data is out of memory.
    Prepared,
    /// The lease's last op is done and its output is kept for the next one.
    Parked {
        /// What is kept.
        output: OutputId,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The lease's last op is a checkpoint: its output is written where every worker sees it (its report says where), and
    /// counts when that is durable. Nothing is kept in memory.
    Checkpointed,
    /// An op failed (its report says why); the input of that op is kept if it was an output.
    Failed {
        /// The op.
        op: OpId,
        /// The output that the failed op worked on, if it is kept.
        kept: Option<OutputId>,
    },
    /// The first op's input could not be had: the output is lost.
    InputLost {
        /// Why.
        failure: Failure,
    },
    /// It was revoked, or its worker cannot be sure that it still holds it.
    Stopped,
    /// It was taken back before it started.
    Recalled,
}

/// What became of a lease's permit when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PermitFate {
    /// It went back to the coordinator with the report.
    Returned,
    /// The worker started a waiting lease of the same run with it.
    PassedTo(LeaseId),
    /// There was none: the lease had not started.
    None,
}
