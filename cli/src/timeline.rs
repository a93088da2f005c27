//! The timeline as the command line speaks it: one JSON object per attempt and line.
//!
//! Tools outside the repository read these lines: a field is never renamed. Times are seconds since the run was
//! accepted, by the worker's own clock.

use common::state::TaskState;
use serde::Serialize;

/// One attempt of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TimelineRow {
    /// The op's name.
    pub(crate) op: String,
    /// The batch, such as `12.0.1`; none for a task over the whole run.
    pub(crate) batch: Option<String>,
    /// Which execution of the task, from 1.
    pub(crate) attempt: u32,
    /// The worker that ran it.
    pub(crate) worker: String,
    /// The worker's slot it ran in, from 0.
    pub(crate) slot: u32,
    /// How it ended, or `running`.
    pub(crate) state: TaskState,
    /// When the task could have run.
    pub(crate) queued: f64,
    /// When it started; none if it has not.
    pub(crate) started: Option<f64>,
    /// When it ended; none if it has not.
    pub(crate) finished: Option<f64>,
    /// When a worker had the right to run it.
    pub(crate) leased: f64,
    /// When its worker began to fetch its input from another worker, if it had to.
    pub(crate) fetch_started: Option<f64>,
    /// When its batch's commit was durable, by the coordinator's clock; of the last op of a batch only.
    pub(crate) committed: Option<f64>,
    /// Rows that came in and that went on.
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    /// Bytes that came in and that were left in memory.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Why it failed.
    pub(crate) error: Option<String>,
}

/// Prints rows as JSON lines.
pub(crate) fn to_json_lines(rows: &[TimelineRow]) -> String {
    rows.iter()
        .map(|row| serde_json::to_string(row).expect("a row has text keys only") + "\n")
        .collect()
}
