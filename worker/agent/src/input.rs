//! What happens to the agent: past tense, one variant a kind of thing.

use std::time::Duration;

use common::failure::Failure;
use common::ids::{LeaseId, OpId, OutputId};
use common::message::{OpOutcome, OpRan, ToWorker};
use common::time::Time;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The coordinator took the worker's hello.
    Welcomed(Welcome),
    /// The coordinator said something.
    Received(ToWorker),
    /// The coordinator answered a heartbeat: it has heard this worker at that time or later.
    HeartbeatEchoed {
        /// The time that the heartbeat carried.
        sent_at: Time,
    },
    /// The connection broke; the session may be resumed.
    Disconnected,
    /// The coordinator does not know the session; answered with [`crate::Action::Reattach`].
    SessionUnknown,
    /// The coordinator ended the session: it cannot be resumed.
    SessionEnded(SessionEnd),
    /// The input of a chain was begun to be fetched from another worker.
    FetchStarted {
        /// The chain's lease.
        lease: LeaseId,
        /// When.
        at: Time,
    },
    /// An op of a chain started.
    OpStarted {
        /// The chain's lease.
        lease: LeaseId,
        /// The op.
        op: OpId,
        /// When.
        at: Time,
    },
    /// An op of a chain ended.
    OpEnded {
        /// The chain's lease.
        lease: LeaseId,
        /// The op.
        op: OpId,
        /// When.
        at: Time,
        /// How.
        outcome: OpOutcome,
    },
    /// A chain will end after this op.
    ChainTruncated {
        /// The chain's lease.
        lease: LeaseId,
        /// The op that runs, or the first one if none has started.
        last: OpId,
    },
    /// A chain has ended, and its slot is free or runs the chain that it took. This or [`Input::ChainRan`] comes exactly
    /// once for each chain.
    ChainEnded {
        /// The chain's lease.
        lease: LeaseId,
        /// How.
        end: ChainEnd,
        /// The chain that its slot took from those that wait.
        next: Option<LeaseId>,
    },
    /// A chain of which nothing was told before ran to its end, which was the job's: short for the starts and ends of its
    /// ops, all well, and its own.
    ChainRan {
        /// The chain's lease.
        lease: LeaseId,
        /// What each of its ops did.
        ops: Vec<OpRan>,
        /// The chain that its slot took from those that wait.
        next: Option<LeaseId>,
    },
    /// A chain that waited was taken back.
    ChainTakenBack {
        /// Its lease.
        lease: LeaseId,
    },
    /// Committed parts are in place.
    Published {
        /// The lease they were committed under.
        lease: LeaseId,
    },
    /// Committed parts could not be put in place.
    PublishFailed {
        /// The lease they were committed under.
        lease: LeaseId,
        /// Why.
        failure: Failure,
    },
    /// Somebody asked this worker to leave when it has finished what runs.
    DrainRequested,
    /// Somebody asked this worker to leave now.
    LeaveNow,
    /// A moment named by [`crate::Agent::next_timeout`] has come.
    TimeoutReached,
}

/// What the coordinator answers to a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// When the hello was sent: the coordinator heard the worker at that time or later.
    pub hello_sent_at: Time,
    /// How long leases live after the coordinator last heard the worker.
    pub lease_time: Duration,
    /// How much longer the coordinator waits before it counts them as over.
    pub lease_margin: Duration,
    /// How often heartbeats are wanted.
    pub heartbeat_interval: Duration,
    /// Whether the session goes on.
    pub kind: SessionKind,
}

/// Whether a welcome begins a session or goes on with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// The coordinator knows nothing of what this worker holds: leases, runs and outputs of before are void.
    Fresh,
    /// The session goes on where it was.
    Resumed,
    /// A coordinator that was started again has taken note of what the hello listed, and says what it does not want.
    Reattached,
}

/// Why the coordinator ended the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// A new process of the same name has connected.
    Replaced,
    /// The worker was not heard for too long.
    Expired,
    /// The worker drained, and holds nothing.
    Drained,
    /// The worker said what cannot be.
    Protocol,
}

/// How a chain ended.
#[derive(Clone, Debug, PartialEq)]
pub enum ChainEnd {
    /// Every op up to the last or the truncated one is done.
    Finished {
        /// The last op's output; `None` if that op is the job's last one, or works on the whole run.
        kept: Option<Kept>,
    },
    /// Every op up to the last one is done, and that one has written its output as a checkpoint.
    Checkpointed,
    /// An op failed.
    OpFailed {
        /// The op.
        op: OpId,
        /// What it worked on, if that is an op's output.
        kept: Option<Kept>,
    },
    /// The first op's input could not be had.
    InputLost {
        /// Why.
        failure: Failure,
    },
    /// It was stopped, and nothing of it is kept.
    Stopped,
}

/// An output that the worker keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which one.
    pub output: OutputId,
    /// Its size in bytes.
    pub bytes: u64,
}
