//! Parts: what a sink attempt staged, and what the run's result is made of once it is committed.

use serde::{Deserialize, Serialize};

use crate::ids::OpId;

/// A piece of output that one attempt staged: a range of a file that no other attempt writes to.
///
/// A part is no part of the result until the coordinator has made its commit durable; what was staged by other
/// attempts is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The write op that made it.
    pub op: OpId,
    /// The staged file: an absolute path below the sink's hidden folder.
    pub file: String,
    /// Where in the file it begins.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// The CRC-32 (ISO-HDLC) of its bytes.
    pub checksum: u32,
    /// The rows it holds.
    pub rows: u64,
}
