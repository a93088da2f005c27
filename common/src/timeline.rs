//! The timeline: one row per attempt, with times by the workers' own clocks, mapped to the coordinator's.

use serde::{Deserialize, Serialize};

use crate::ids::{Attempt, BatchId, OpId, WorkerName};
use crate::state::TaskState;
use crate::time::Time;

/// One attempt as the timeline shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// The op.
    pub op: OpId,
    /// The batch; `None` for a task over the whole run.
    pub batch: Option<BatchId>,
    /// Which execution of the task.
    pub attempt: Attempt,
    /// The worker that ran it.
    pub worker: WorkerName,
    /// The worker's slot it ran in, from 0.
    pub slot: u32,
    /// How it ended, or `Running`.
    pub state: TaskState,
    /// When the task could have run.
    pub queued: Time,
    /// When it started, by the worker's clock.
    pub started: Time,
    /// When it ended, by the worker's clock; for a lost attempt, when its unit was freed.
    pub finished: Option<Time>,
}
