//! What ops did, as far as it has to be known later: for the counts of a run, and to go on behind them.

use serde::{Deserialize, Serialize};

use crate::ids::OpId;
use crate::part::Part;
use crate::slice::Slice;

/// What an op that ended well did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OpDone {
    /// Rows that came in; for `extract`, rows found in the slice.
    pub rows_in: u64,
    /// Rows that went on.
    pub rows_out: u64,
    /// Rows put aside because they could not be used; the rest of the difference was filtered.
    pub rows_rejected: u64,
    /// Bytes that the batch holds in memory now.
    pub bytes_held: u64,
    /// What a sink staged.
    pub parts: Vec<Part>,
    /// Where its output was written as a checkpoint, if its op is one.
    pub checkpoint: Option<Part>,
}

/// An op that is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DoneOp {
    /// The op.
    pub op: OpId,
    /// What it did.
    pub did: OpDone,
}

/// What lies behind an output, or behind a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// The piece of the source that its batch is made of.
    pub slice: Slice,
    /// What the ops up to the one that made it did, in the order of the chain.
    pub done: Vec<DoneOp>,
    /// The checkpoint of another run that its batch began at, unless it has one of its own since.
    pub begun_at: Option<Part>,
}
