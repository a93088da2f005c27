//! The summary of a run: the same numbers in the CLI's JSON, in gRPC and on the page.

use serde::{Deserialize, Serialize};

use crate::counts::{BatchCounts, RowCounts, TaskCounts};
use crate::failure::Failure;
use crate::ids::{BatchId, OpId, RunId};
use crate::state::RunState;
use crate::time::Time;

/// What can be said of a run at any moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// The name of its job.
    pub job: String,
    /// Where it is in its life.
    pub state: RunState,
    /// When it was accepted.
    pub accepted: Time,
    /// When it ended, with its output in place.
    pub ended: Option<Time>,
    /// When the first batch came through the whole chain and was committed.
    pub first_batch_loaded: Option<Time>,
    /// Batches in flight now, and the most there were.
    pub batches_in_flight: Gauge,
    /// Batches prepared whose commit is not durable yet, now and at most.
    pub committing: Gauge,
    /// Bytes of the batches in flight, now and at most.
    pub bytes_in_flight: Gauge,
    /// Tasks running at once, now and at most.
    pub tasks_running: Gauge,
    /// The bound on batches in flight that is in force now; `None` where there is none.
    pub max_in_flight: Option<u64>,
    /// The cap in force now: the least of the run's, the coordinator's and the slots there are.
    pub cap: u64,
    /// Batches, by how they ended.
    pub batches: BatchCounts,
    /// Whether `batches.total` is exact: the whole source is sharded.
    pub total_is_exact: bool,
    /// Bytes of the source that are sharded, and that there are.
    pub source_bytes: Progress,
    /// Attempts, by how they ended.
    pub tasks: TaskCounts,
    /// Rows, by where they went.
    pub rows: RowCounts,
    /// Why the run failed: the first failure that counted.
    pub failure: Option<RunFailure>,
    /// Why nothing runs although it could, if so.
    pub stalled: Option<Stall>,
}

impl RunSummary {
    /// Returns the seconds from acceptance to the end, or to `now` for a run that goes on.
    pub fn wall_seconds(&self, now: Time) -> f64 {
        self.ended.unwrap_or(now).seconds_since(self.accepted)
    }
}

/// A value that goes up and down, with its peak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    /// Its value now.
    pub now: u64,
    /// The highest it has been.
    pub peak: u64,
}

impl Gauge {
    /// Raises the value.
    pub fn add(&mut self, amount: u64) {
        self.now += amount;
        self.peak = self.peak.max(self.now);
    }

    /// Lowers the value.
    pub fn subtract(&mut self, amount: u64) {
        debug_assert!(self.now >= amount, "a gauge never goes below zero");
        self.now = self.now.saturating_sub(amount);
    }
}

/// How much of something is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// What there is.
    pub total: u64,
}

/// The failure that a run is failed for, and where it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailure {
    /// What went wrong.
    pub failure: Failure,
    /// The op it happened in; `None` if it was the source or the run itself.
    pub op: Option<OpId>,
    /// The batch it happened to.
    pub batch: Option<BatchId>,
}

/// Why a run that has work to do does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stall {
    /// No worker is connected.
    NoWorkers,
    /// Workers are connected, but none of them can do this kind of op.
    NoWorkerWithOp {
        /// The op that nobody can do.
        op: OpId,
    },
}
