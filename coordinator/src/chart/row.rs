//! One attempt in 24 bytes, and blocks of them that readers share with the writer.
//!
//! Times are microseconds since the run was accepted: a start below 203 days, a wait below 50 days and a duration below
//! 50 days; what is longer is kept as the longest. A block is copied on write while a reader holds it, so a reader never
//! waits and never sees a row change. Known weakness: attempts beyond the 31st show as the 31st.

use common::ids::OpId;
use common::state::TaskState;

/// How many rows a block has.
pub(crate) const BLOCK_ROWS: usize = 4_096;
/// Stands for the batch of a task over the whole run.
pub(crate) const WHOLE_RUN: u32 = u32::MAX;

const START_BITS: u32 = 44;
const SPAN_BITS: u32 = 42;

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

/// An attempt with plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// The op.
    pub op: u8,
    /// The batch's index, or [`WHOLE_RUN`].
    pub(crate) batch: u32,
    /// Which execution of the task, 31 at most.
    pub attempt: u8,
    /// The lane of its slot.
    pub lane: u16,
    /// How it is doing.
    pub outcome: Outcome,
    /// When it could have run.
    pub queued: u64,
    /// When it started.
    pub started: u64,
    /// When it ended; `None` while it runs.
    pub ended: Option<u64>,
}

impl Task {
    /// Returns an op as tasks hold it.
    pub(crate) fn op_number(op: OpId) -> u8 {
        u8::try_from(op.0).unwrap_or(u8::MAX)
    }
}

/// A [`Task`] as it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    started: u32,
    waited: u32,
    ran: u32,
    /// The high bits of the three: 12, 10 and 10.
    high: u32,
    batch: u32,
    lane: u16,
    op: u8,
    /// Three bits of outcome, five of the attempt.
    kind: u8,
}

impl Row {
    pub(crate) fn pack(task: &Task) -> Row {
        let started = task.started.min((1 << START_BITS) - 1);
        let waited = started.saturating_sub(task.queued).min((1 << SPAN_BITS) - 1);
        let ran = task
            .ended
            .map_or(0, |ended| ended.saturating_sub(started).min((1 << SPAN_BITS) - 1));
        let high = ((started >> 32) << 20) | ((waited >> 32) << 10) | (ran >> 32);
        Row {
            started: low(started),
            waited: low(waited),
            ran: low(ran),
            high: low(high),
            batch: task.batch,
            lane: task.lane,
            op: task.op,
            kind: (task.outcome as u8) << 5 | task.attempt.min(31),
        }
    }

    #[inline]
    pub(crate) fn unpack(&self) -> Task {
        let high = u64::from(self.high);
        let started = (high >> 20) << 32 | u64::from(self.started);
        let waited = ((high >> 10) & 0x3ff) << 32 | u64::from(self.waited);
        let ran = (high & 0x3ff) << 32 | u64::from(self.ran);
        let outcome = Outcome::ALL[usize::from(self.kind >> 5)];
        Task {
            op: self.op,
            batch: self.batch,
            attempt: self.kind & 31,
            lane: self.lane,
            outcome,
            queued: started.saturating_sub(waited),
            started,
            ended: (outcome != Outcome::Running).then_some(started + ran),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn low(number: u64) -> u32 {
    number as u32
}

/// Some rows one after another, and between what they lie.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) rows: Vec<Row>,
    /// How many of them have not ended.
    pub(crate) open: u32,
    pub(crate) first_us: u64,
    pub(crate) last_us: u64,
    pub(crate) batches: (u32, u32),
    pub(crate) lanes: (u16, u16),
}

impl Block {
    pub(crate) fn new() -> Block {
        Block {
            rows: Vec::with_capacity(BLOCK_ROWS),
            open: 0,
            first_us: u64::MAX,
            last_us: 0,
            batches: (u32::MAX, 0),
            lanes: (u16::MAX, 0),
        }
    }

    pub(crate) fn push(&mut self, task: &Task) {
        self.rows.push(Row::pack(task));
        self.open += u32::from(task.ended.is_none());
        self.widen(task);
    }

    /// Puts a row in the place of one that had not ended.
    pub(crate) fn replace(&mut self, place: usize, task: &Task) {
        self.rows[place] = Row::pack(task);
        self.open -= u32::from(task.ended.is_some());
        self.widen(task);
    }

    /// Tells whether no row of it will change, and none will come.
    pub(crate) fn is_closed(&self) -> bool {
        self.open == 0 && self.rows.len() == BLOCK_ROWS
    }

    fn widen(&mut self, task: &Task) {
        self.first_us = self.first_us.min(task.queued.min(task.started));
        self.last_us = self.last_us.max(task.ended.unwrap_or(u64::MAX));
        if task.ended.is_some() && self.open == 0 && self.last_us == u64::MAX {
            let ends = self.rows.iter().filter_map(|row| row.unpack().ended);
            self.last_us = ends.max().unwrap_or(0);
        }
        self.batches = (self.batches.0.min(task.batch), self.batches.1.max(task.batch));
        self.lanes = (self.lanes.0.min(task.lane), self.lanes.1.max(task.lane));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_24_bytes_gives_back_what_was_put_in() {
        assert_eq!(size_of::<Row>(), 24);
        let task = Task {
            op: 7,
            batch: 4_000_000_000,
            attempt: 3,
            lane: 60_000,
            outcome: Outcome::Lost,
            queued: 1,
            started: 4_398_046_511_000,
            ended: Some(8_000_000_000_000),
        };
        let near = Task {
            queued: task.started - 5_000_000_000,
            ..task
        };
        assert_eq!(Row::pack(&near).unpack(), near);
        let running = Task {
            outcome: Outcome::Running,
            ended: None,
            ..near
        };
        assert_eq!(Row::pack(&running).unpack(), running);
    }
}
