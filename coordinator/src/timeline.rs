//! The timeline of one run: a row per attempt, kept small, for charts and for checking what really overlapped.
//!
//! Owns the rows and the names of the workers in them. The row of an attempt's end replaces that of its start. Rows
//! never delay anything: those of a live run are in memory alone, and are kept ([`chunk`]) when the run ends.
//!
//! Known weakness: of a run that lives through a restart of the coordinator the rows from before it are lost; of a run
//! with more attempts than [`Timeline::MAX_ROWS`] the later ones are counted and not kept.

mod chunk;

use std::collections::BTreeMap;

use common::ids::{Attempt, BatchId, OpId, WorkerName};
use common::state::TaskState;
use common::time::Time;
use common::timeline::TimelineEntry;

pub use chunk::Chunk;

/// What happened in one run, attempt by attempt.
#[derive(Debug, Default)]
pub struct Timeline {
    rows: Vec<Row>,
    workers: Vec<WorkerName>,
    /// Where the rows of attempts are that have not ended.
    open: BTreeMap<(OpId, Option<BatchId>, Attempt), usize>,
    dropped: u64,
}

/// A row with its worker's name replaced by a place in the list of names.
#[derive(Clone, Copy, Debug)]
struct Row {
    op: OpId,
    batch: Option<BatchId>,
    attempt: Attempt,
    worker: u32,
    slot: u32,
    state: TaskState,
    queued: Time,
    started: Time,
    finished: Option<Time>,
}

impl Timeline {
    /// The most rows that are kept of a run: about 100 bytes each.
    pub const MAX_ROWS: usize = 250_000;

    /// Keeps a row; that of an attempt's end takes the place of that of its start.
    pub fn record(&mut self, entry: &TimelineEntry) {
        let key = (entry.op, entry.batch, entry.attempt);
        let row = Row {
            op: entry.op,
            batch: entry.batch,
            attempt: entry.attempt,
            worker: self.worker_place(&entry.worker),
            slot: entry.slot,
            state: entry.state,
            queued: entry.queued,
            started: entry.started,
            finished: entry.finished,
        };
        let place = match self.open.remove(&key) {
            Some(place) => {
                self.rows[place] = row;
                place
            }
            None if self.rows.len() >= Self::MAX_ROWS => {
                self.dropped += u64::from(entry.finished.is_some());
                return;
            }
            None => {
                self.rows.push(row);
                self.rows.len() - 1
            }
        };
        if entry.finished.is_none() {
            self.open.insert(key, place);
        }
    }

    /// Returns the rows from a place on, in the order in which the attempts started to be known.
    pub fn entries_from(&self, first: usize) -> impl Iterator<Item = TimelineEntry> + '_ {
        self.rows.iter().skip(first).map(|row| TimelineEntry {
            op: row.op,
            batch: row.batch,
            attempt: row.attempt,
            worker: self.workers[row.worker as usize].clone(),
            slot: row.slot,
            state: row.state,
            queued: row.queued,
            started: row.started,
            finished: row.finished,
        })
    }

    /// Returns how many attempts were not kept because the run has too many.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn worker_place(&mut self, worker: &WorkerName) -> u32 {
        let known = self.workers.iter().position(|name| name == worker);
        let place = known.unwrap_or_else(|| {
            self.workers.push(worker.clone());
            self.workers.len() - 1
        });
        u32::try_from(place).expect("a run does not meet four billion workers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(state: TaskState, finished: Option<Time>) -> TimelineEntry {
        TimelineEntry {
            op: OpId(1),
            batch: Some(BatchId::whole(0)),
            attempt: Attempt::FIRST,
            worker: WorkerName::new("w1").expect("a name"),
            slot: 0,
            state,
            queued: Time(1),
            started: Time(2),
            finished,
        }
    }

    #[test]
    fn the_row_of_an_end_replaces_that_of_the_start() {
        let mut timeline = Timeline::default();
        timeline.record(&entry(TaskState::Running, None));
        let done = entry(TaskState::Succeeded, Some(Time(3)));
        timeline.record(&done);
        assert_eq!(timeline.entries_from(0).collect::<Vec<_>>(), [done]);
    }
}
