//! Where a sharder is: enough for another one to go on from there, in this version of the program or a later one.

use serde::{Deserialize, Serialize};

/// The place behind the last slice that was found. Opaque to everyone but the sharder; kept in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCursor {
    pub(super) version: u32,
    /// The file that is being cut; the number of files when all are done.
    pub(super) file: u32,
    /// Where in that file; `None` before it was opened.
    pub(super) place: Option<Place>,
    pub(super) slices: u64,
}

/// A place in a file where a slice begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// Its line, from 1.
    pub(super) line: u64,
    /// The rows of the file before it; stays zero where rows are not counted.
    pub(super) row: u64,
}

impl ShardCursor {
    /// The version that this program writes, and the only one that it reads.
    pub(super) const VERSION: u32 = 1;

    /// Makes the cursor before the first slice.
    pub(super) fn start() -> ShardCursor {
        ShardCursor {
            version: Self::VERSION,
            file: 0,
            place: None,
            slices: 0,
        }
    }

    /// Returns how many slices were found up to here, which is the index of the next one's batch.
    pub fn slices(&self) -> u64 {
        self.slices
    }
}
