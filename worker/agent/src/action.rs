//! What the agent wants done: imperative, in order, each to be executed by the worker's run loop.

use std::sync::Arc;

use common::holdings::Holdings;
use common::ids::{BatchId, LeaseId, OpId, OutputId, RunId};
use common::message::{Input, Publish, Report, Step};
use common::slice::RunContext;
use common::time::Time;

/// Something to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make ready for a run's chains and publications.
    OpenRun(Arc<RunContext>),
    /// Forget a run; its kept outputs have been dropped with actions of their own.
    CloseRun {
        /// The run.
        run: RunId,
    },
    /// Run a chain in a slot. Each op's start and end come back, and at last [`crate::Input::ChainEnded`]; or all at once
    /// as [`crate::Input::ChainRan`].
    StartChain {
        /// The slot, from 0; nothing runs in it.
        slot: u32,
        /// What to run.
        chain: Chain,
    },
    /// Let a chain wait for a slot: one in which a chain of the same run ends prepared takes the first that waits, unless
    /// it was stopped or the time has come that [`crate::Agent::works_until`] names. The end says which one it took.
    QueueChain(Chain),
    /// Take back a chain that waits; [`crate::Input::ChainTakenBack`] comes back unless a slot has taken it.
    TakeBackChain {
        /// Its lease.
        lease: LeaseId,
    },
    /// Let the chain end after the op that runs now; [`crate::Input::ChainTruncated`] comes back unless it has ended.
    TruncateChain {
        /// Its lease.
        lease: LeaseId,
    },
    /// Cancel an op because its time is over, unless it has ended: it fails as timed out, and the chain ends behind it.
    TimeOutOp {
        /// The chain's lease.
        lease: LeaseId,
        /// The op.
        op: OpId,
    },
    /// Cancel the op that runs and end the chain.
    StopChain {
        /// Its lease.
        lease: LeaseId,
    },
    /// Delete a kept output.
    DropOutput {
        /// The run it belongs to.
        run: RunId,
        /// The output.
        output: OutputId,
    },
    /// Put committed parts in place; [`crate::Input::Published`] or [`crate::Input::PublishFailed`] comes back.
    Publish(Publish),
    /// Say this to the coordinator: now, or when the session is resumed. A fresh session begins with nothing to say.
    Report(Report),
    /// Send a heartbeat that carries the time, to be echoed.
    SendHeartbeat {
        /// Now.
        sent_at: Time,
    },
    /// Say this in the next hello, to a coordinator that does not know the session: reports before it are void.
    Reattach(Box<Holdings>),
    /// The connection looks dead: close it and dial again.
    Reconnect,
    /// Tell the coordinator that this worker holds nothing, runs nothing and leaves.
    SayGoodbye,
    /// End the process.
    Exit(ExitReason),
}

/// The ops to run back to back in one slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// The lease it runs under.
    pub lease: LeaseId,
    /// The run.
    pub run: Arc<RunContext>,
    /// The batch; `None` for an op over the whole run.
    pub batch: Option<BatchId>,
    /// The ops, in order; never empty.
    pub steps: Arc<[Step]>,
    /// What the first op works on.
    pub input: Input,
}

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It was asked to leave, and has.
    Left,
    /// It was asked to leave at once, and an op did not stop in time.
    LeftRunning,
    /// Its leases or an op's time are over, and the op has not stopped: only the end of the process stops it for certain.
    OpDidNotStop,
    /// Another process of the same name has taken its place.
    Replaced,
}
