//! One lease: what was granted, and how far it is.

use std::sync::Arc;

use common::ids::OutputId;
use common::message::{Grant, Input, PermitFate};
use common::slice::RunContext;

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

    /// Returns the kept output that the chain works on, if it works on one of this worker.
    pub(crate) fn local_input(&self) -> Option<OutputId> {
        match &self.grant.input {
            Input::Local(output) => Some(*output),
            Input::Slice(_) | Input::Remote(_) | Input::Committed => None,
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
