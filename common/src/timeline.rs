//! The timeline: one row per attempt, with times by the workers' own clocks, mapped to the coordinator's.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{Attempt, BatchId, OpId, WorkerName};
use crate::message::{OpRan, Step};
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
    /// When a worker had the right to run it, not before it was queued: a lease over several ops is granted before the
    /// later ones of them can run.
    pub leased: Time,
    /// When its worker began to fetch its input from another worker, if it had to.
    pub fetch_started: Option<Time>,
    /// When it started, by the worker's clock.
    pub started: Time,
    /// When it ended, by the worker's clock; for a lost attempt, when its unit was freed.
    pub finished: Option<Time>,
    /// When what it finished could not be lost any more: of the last op of a batch whose commit is durable.
    pub committed: Option<Time>,
    /// What went through it; nothing while it runs, and of one that did not end well.
    pub moved: Moved,
}

/// What went through an attempt that ended well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Rows that came in; for `extract`, rows found in the slice.
    pub rows_in: u64,
    /// Rows that went on.
    pub rows_out: u64,
    /// Bytes that came in: of the slice, or what the op before left in memory.
    pub bytes_in: u64,
    /// Bytes that the batch held in memory when it had ended.
    pub bytes_out: u64,
}

/// The attempts of a chain whose ops all ran well, one after another in one slot: what is common to them stands once.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainEntry {
    /// The batch.
    pub batch: Option<BatchId>,
    /// The worker that ran it.
    pub worker: WorkerName,
    /// The worker's slot it ran in, from 0.
    pub slot: u32,
    /// When the first task could have run; each other one could when the one before it had ended.
    pub queued: Time,
    /// When the worker got the lease.
    pub granted: Time,
    /// When the worker began to fetch what the first op works on, if it had to.
    pub fetch_started: Option<Time>,
    /// Bytes that came into the first op.
    pub bytes_in: u64,
    /// The ops.
    pub steps: Arc<[Step]>,
    /// What each of them did.
    pub ops: Vec<OpRan>,
}

impl ChainEntry {
    /// Returns the rows of the attempts, in order.
    pub fn entries(&self) -> impl Iterator<Item = TimelineEntry> + '_ {
        let (mut queued, mut bytes_in, mut fetch_started) = (self.queued, self.bytes_in, self.fetch_started);
        self.steps.iter().zip(&self.ops).map(move |(step, ran)| {
            let could_run = std::mem::replace(&mut queued, ran.ended).min(ran.started);
            let moved = Moved {
                rows_in: ran.done.rows_in,
                rows_out: ran.done.rows_out,
                bytes_in: std::mem::replace(&mut bytes_in, ran.done.bytes_held),
                bytes_out: ran.done.bytes_held,
            };
            TimelineEntry {
                op: step.op,
                batch: self.batch,
                attempt: step.attempt,
                worker: self.worker.clone(),
                slot: self.slot,
                state: TaskState::Succeeded,
                queued: could_run,
                leased: self.granted.clamp(could_run, ran.started),
                fetch_started: fetch_started.take(),
                started: ran.started,
                finished: Some(ran.ended),
                committed: None,
                moved,
            }
        })
    }
}
