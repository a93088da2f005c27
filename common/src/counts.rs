//! Counting rows and tasks: every row read is loaded, filtered, rejected or failed, and nothing else.

use std::ops::{AddAssign, SubAssign};

use serde::{Deserialize, Serialize};

/// Where rows went. Of a run that has ended, `read = loaded + filtered + rejected + failed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows that `extract` found in the source.
    pub read: u64,
    /// Rows that came through the whole chain and are committed.
    pub loaded: u64,
    /// Rows that an op dropped because it was asked to.
    pub filtered: u64,
    /// Rows that could not be used and were put aside.
    pub rejected: u64,
    /// Rows of batches that failed for good or were cancelled.
    pub failed: u64,
}

impl RowCounts {
    /// Tells whether every row read is accounted for.
    pub fn balances(&self) -> bool {
        self.read == self.loaded + self.filtered + self.rejected + self.failed
    }
}

impl AddAssign for RowCounts {
    fn add_assign(&mut self, other: RowCounts) {
        self.read += other.read;
        self.loaded += other.loaded;
        self.filtered += other.filtered;
        self.rejected += other.rejected;
        self.failed += other.failed;
    }
}

impl SubAssign for RowCounts {
    fn sub_assign(&mut self, other: RowCounts) {
        self.read -= other.read;
        self.loaded -= other.loaded;
        self.filtered -= other.filtered;
        self.rejected -= other.rejected;
        self.failed -= other.failed;
    }
}

/// How many batches of a run there are, and how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchCounts {
    /// Batches that the source has: exact once the whole source is sharded, those found so far before.
    pub total: u64,
    /// Batches whose result is durable.
    pub committed: u64,
    /// Batches that failed for good.
    pub failed: u64,
}

/// How many attempts of a run's tasks ended, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Attempts that ended well.
    pub succeeded: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts that were second or later ones of their task.
    pub retried: u64,
}
