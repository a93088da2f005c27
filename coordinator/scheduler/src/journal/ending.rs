//! How a run is going to end, and the record of it: every batch is done, and its output is put in place.

use common::ids::LeaseId;
use serde::{Deserialize, Serialize};

/// How a run is going to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// Everything is done that could be.
    Complete,
    /// It has failed.
    Failed,
    /// Somebody has cancelled it.
    Cancelled,
}

/// What is kept of a run whose batches are all done: its source need not be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finishing {
    /// How it is going to end.
    pub ending: Ending,
    /// The last lease that was granted before the batches were all done: what an earlier one works on may be of another set of them.
    pub after: LeaseId,
    /// How many batches it had.
    pub batches: u64,
    /// How much of the source they are made of.
    pub bytes_sharded: u64,
}
