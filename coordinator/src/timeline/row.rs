//! One attempt as plain numbers: times are microseconds since the run was accepted, a slot is a lane.
//!
//! Rounding down keeps the order of any two times, so attempts that did not overlap do not seem to. Known weakness: of the
//! nanoseconds nothing is kept, and what a worker's clock puts before the run's acceptance stands at its beginning.

use common::ids::{Attempt, BatchId, Halves, OpId};
use common::state::TaskState;
use common::time::Time;
use common::timeline::{Moved, TimelineEntry};

use super::lanes::Lanes;

/// Stands for the batch of a task over the whole run.
pub(crate) const WHOLE_RUN: u64 = u64::MAX;

/// How an attempt is doing, in the order of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended with a failure.
    Failed,
    /// It ended because somebody asked for it.
    Cancelled,
    /// Its worker was lost.
    Lost,
}

impl Outcome {
    /// All of them, in the order of the API.
    pub const ALL: [Outcome; 5] = [
        Outcome::Running,
        Outcome::Succeeded,
        Outcome::Failed,
        Outcome::Cancelled,
        Outcome::Lost,
    ];

    /// Returns its name as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Running => "running",
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::Lost => "lost",
        }
    }
}

impl From<TaskState> for Outcome {
    fn from(state: TaskState) -> Self {
        match state {
            TaskState::Blocked | TaskState::Ready | TaskState::Leased | TaskState::Running | TaskState::Backoff => {
                Outcome::Running
            }
            TaskState::Succeeded => Outcome::Succeeded,
            TaskState::Failed => Outcome::Failed,
            TaskState::Cancelled => Outcome::Cancelled,
            TaskState::Lost => Outcome::Lost,
        }
    }
}

impl From<Outcome> for TaskState {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Running => TaskState::Running,
            Outcome::Succeeded => TaskState::Succeeded,
            Outcome::Failed => TaskState::Failed,
            Outcome::Cancelled => TaskState::Cancelled,
            Outcome::Lost => TaskState::Lost,
        }
    }
}

/// What is drawn of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// The op.
    pub op: u16,
    /// The batch's index, or [`WHOLE_RUN`].
    pub(crate) batch: u64,
    /// Which half of the batch.
    pub(crate) halves: Halves,
    /// Which execution of the task.
    pub attempt: u32,
    /// The lane of its slot.
    pub lane: u32,
    /// How it is doing.
    pub outcome: Outcome,
    /// When it could have run.
    pub queued: u64,
    /// When it started.
    pub started: u64,
    /// When it ended; `None` while it runs.
    pub ended: Option<u64>,
}

/// All that is kept of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What is drawn of it.
    pub task: Task,
    /// When a worker had the right to run it.
    pub leased: u64,
    /// When its worker began to fetch its input, if it had to.
    pub fetch_started: Option<u64>,
    /// When its batch's commit was durable, if it was the batch's last op.
    pub committed: Option<u64>,
    /// What went through it.
    pub moved: Moved,
}

impl Task {
    /// Returns the batch, if it is of one.
    pub fn batch_id(&self) -> Option<BatchId> {
        (self.batch != WHOLE_RUN).then_some(BatchId {
            index: self.batch,
            halves: self.halves,
        })
    }
}

impl Row {
    /// Makes the row of an attempt; the times of a task are put in order.
    pub(crate) fn new(entry: &TimelineEntry, lane: u32, accepted: Time) -> Row {
        let micros = |time: Time| micros_since(accepted, time);
        let started = micros(entry.started);
        let queued = micros(entry.queued).min(started);
        let ended = entry.finished.map(|finished| micros(finished).max(started));
        Row {
            task: Task {
                op: entry.op.0,
                batch: entry.batch.map_or(WHOLE_RUN, |batch| batch.index),
                halves: entry.batch.map(|batch| batch.halves).unwrap_or_default(),
                attempt: entry.attempt.0,
                lane,
                outcome: entry.state.into(),
                queued,
                started,
                ended,
            },
            leased: micros(entry.leased).clamp(queued, started),
            fetch_started: entry.fetch_started.map(|fetched| micros(fetched).min(started)),
            committed: entry
                .committed
                .map(|committed| micros(committed).max(ended.unwrap_or(started))),
            moved: entry.moved,
        }
    }

    /// Returns the attempt that the row was made of, its times cut to microseconds.
    pub(crate) fn entry(&self, lanes: &Lanes, accepted: Time) -> TimelineEntry {
        let time = |micros: u64| Time(accepted.0.saturating_add(micros.saturating_mul(1_000)));
        let (worker, slot) = lanes.name(self.task.lane);
        TimelineEntry {
            op: OpId(self.task.op),
            batch: self.task.batch_id(),
            attempt: Attempt(self.task.attempt),
            worker,
            slot,
            state: self.task.outcome.into(),
            queued: time(self.task.queued),
            leased: time(self.leased),
            fetch_started: self.fetch_started.map(time),
            started: time(self.task.started),
            finished: self.task.ended.map(time),
            committed: self.committed.map(time),
            moved: self.moved,
        }
    }
}

/// Returns the whole microseconds between two times, 0 when the second is the earlier one.
pub(crate) fn micros_since(accepted: Time, time: Time) -> u64 {
    time.0.saturating_sub(accepted.0) / 1_000
}
