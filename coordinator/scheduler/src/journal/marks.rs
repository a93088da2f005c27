//! Numbers of a run that only rise, and that follow from no record: its peaks, and attempts that have no record of their own.
//!
//! They are written when they have risen and another record of the run is written anyway, right before that one: no sync is
//! made for them, and a run whose peaks are reached writes none. After a restart they are at least what they were when the
//! last record of the run became durable.

use common::summary::RunSummary;
use serde::{Deserialize, Serialize};

/// The numbers, as high as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HighMarks {
    /// The most batches in flight.
    pub in_flight: u64,
    /// The most bytes in flight.
    pub bytes: u64,
    /// The most batches that waited for their commit.
    pub committing: u64,
    /// The most tasks that ran at once.
    pub running: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts that were second or later ones of their task.
    pub retried: u64,
}

impl HighMarks {
    /// Tells whether none of them is higher than another one's.
    pub(crate) fn is_reached_by(&self, other: HighMarks) -> bool {
        let pairs = [
            (self.in_flight, other.in_flight),
            (self.bytes, other.bytes),
            (self.committing, other.committing),
            (self.running, other.running),
            (self.failed, other.failed),
            (self.retried, other.retried),
        ];
        pairs.iter().all(|(mine, reached)| mine <= reached)
    }

    /// Returns those that a summary shows.
    pub(crate) fn of(summary: &RunSummary) -> HighMarks {
        HighMarks {
            in_flight: summary.batches_in_flight.peak,
            bytes: summary.bytes_in_flight.peak,
            committing: summary.committing.peak,
            running: summary.tasks_running.peak,
            failed: summary.tasks.failed,
            retried: summary.tasks.retried,
        }
    }
}
