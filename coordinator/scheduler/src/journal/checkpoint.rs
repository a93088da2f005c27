//! What is kept of a checkpoint: an op's output on a batch, where every worker sees it; and of a run that begins at another's.

use common::done::DoneOp;
use common::ids::{OpId, RunId};
use common::part::Part;
use common::steering::Asker;
use serde::{Deserialize, Serialize};

/// A batch's output behind an op, kept where every worker sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Where it is; its op is the one behind which the batch goes on.
    pub part: Part,
    /// What the ops up to that one did, in the order of the chain.
    pub done: Vec<DoneOp>,
}

impl Checkpoint {
    /// Returns the op that made it.
    pub fn op(&self) -> OpId {
        self.part.op
    }
}

/// What a run goes on from that runs the later ops of another one again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rerun {
    /// The run that is run again; it has ended.
    pub of: RunId,
    /// The op that it was asked to begin with, by its name.
    pub from: String,
    /// The last op before that whose output is kept: no batch begins behind it.
    pub behind: OpId,
    /// The runs that made the checkpoints, the nearest first: the one that is run again, and those that it began at itself.
    pub origins: Vec<Origin>,
    /// How many batches began at checkpoints, as it was asked for.
    pub kept: u64,
    /// How many more would have, whose files were gone.
    pub gone: u64,
    /// Who asked for it.
    pub by: Asker,
}

/// A run whose checkpoints another one begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The run.
    pub run: RunId,
    /// Up to which op.
    pub up_to: OpId,
}
