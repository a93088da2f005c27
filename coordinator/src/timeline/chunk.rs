//! Timelines as they are kept: chunks of a fixed number of rows, each complete in itself, small enough to read one by
//! one.
//!
//! A row is mostly differences from the row before it, in microseconds: rounding down keeps the order of any two times,
//! so attempts that did not overlap do not seem to. Known weakness: of the nanoseconds nothing is kept.

use common::ids::{Attempt, BatchId, Halves, OpId, WorkerName};
use common::state::TaskState;
use common::time::Time;
use common::timeline::TimelineEntry;
use serde::{Deserialize, Serialize};

use super::{Row, Timeline};

const NANOS_PER_MICRO: u64 = 1_000;

/// Some rows of a timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The workers that the rows name by place.
    workers: Vec<WorkerName>,
    rows: Vec<PackedRow>,
}

/// One row. Numbers are small, so that a variable-length encoding makes few bytes of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PackedRow {
    op: OpId,
    batch: PackedBatch,
    attempt: Attempt,
    worker: u32,
    slot: u32,
    state: TaskState,
    /// Microseconds since the row before started; of the first row, since the epoch.
    started: i64,
    /// Microseconds from being queued to the start.
    waited: i64,
    /// Microseconds from the start to the end.
    took: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum PackedBatch {
    /// A task over the whole run.
    None,
    /// A batch, by how far it is from the batch of the row before.
    Whole(i64),
    /// A half of one.
    Half(i64, Halves),
}

impl Chunk {
    /// How many rows every chunk but the last one has.
    pub const ROWS: usize = 1_000;

    /// Returns the number of the chunk that holds a row.
    pub fn holding(row: usize) -> usize {
        row / Self::ROWS
    }

    /// Returns the chunk's rows from the place `first` of the whole timeline on.
    pub fn rows_from(&self, first: usize) -> Vec<TimelineEntry> {
        let mut reader = Before::default();
        let rows = self.rows.iter().map(|row| reader.unpack(row, &self.workers));
        rows.skip(first % Self::ROWS).collect()
    }

    fn pack(rows: &[Row], names: &[WorkerName]) -> Chunk {
        let mut chunk = Chunk::default();
        let mut before = Before::default();
        for row in rows {
            let worker = place(&mut chunk.workers, &names[row.worker as usize]);
            chunk.rows.push(before.pack(row, worker));
        }
        chunk
    }
}

impl Timeline {
    /// Returns the rows as they are kept.
    pub fn pack(&self) -> Vec<Chunk> {
        let chunks = self.rows.chunks(Chunk::ROWS);
        chunks.map(|rows| Chunk::pack(rows, &self.workers)).collect()
    }
}

/// What the next row's differences are from.
#[derive(Default)]
struct Before {
    batch: u64,
    started: u64,
}

impl Before {
    fn pack(&mut self, row: &Row, worker: u32) -> PackedRow {
        let batch = match row.batch {
            None => PackedBatch::None,
            Some(batch) => {
                let step = difference(batch.index, self.batch);
                self.batch = batch.index;
                if batch.halves == Halves::default() {
                    PackedBatch::Whole(step)
                } else {
                    PackedBatch::Half(step, batch.halves)
                }
            }
        };
        let started = row.started.0 / NANOS_PER_MICRO;
        let packed = PackedRow {
            op: row.op,
            batch,
            attempt: row.attempt,
            worker,
            slot: row.slot,
            state: row.state,
            started: difference(started, self.started),
            waited: difference(started, row.queued.0 / NANOS_PER_MICRO),
            took: row
                .finished
                .map(|finished| difference(finished.0 / NANOS_PER_MICRO, started)),
        };
        self.started = started;
        packed
    }

    fn unpack(&mut self, row: &PackedRow, workers: &[WorkerName]) -> TimelineEntry {
        let batch = match row.batch {
            PackedBatch::None => None,
            PackedBatch::Whole(step) => Some(BatchId::whole(self.step_batch(step))),
            PackedBatch::Half(step, halves) => Some(BatchId {
                index: self.step_batch(step),
                halves,
            }),
        };
        self.started = self.started.wrapping_add_signed(row.started);
        let micros = |micros: u64| Time(micros.wrapping_mul(NANOS_PER_MICRO));
        TimelineEntry {
            op: row.op,
            batch,
            attempt: row.attempt,
            worker: workers[row.worker as usize].clone(),
            slot: row.slot,
            state: row.state,
            queued: micros(self.started.wrapping_sub(row.waited.cast_unsigned())),
            started: micros(self.started),
            finished: row.took.map(|took| micros(self.started.wrapping_add_signed(took))),
        }
    }

    fn step_batch(&mut self, step: i64) -> u64 {
        self.batch = self.batch.wrapping_add_signed(step);
        self.batch
    }
}

fn difference(number: u64, before: u64) -> i64 {
    number.wrapping_sub(before).cast_signed()
}

fn place(names: &mut Vec<WorkerName>, name: &WorkerName) -> u32 {
    let known = names.iter().position(|known| known == name);
    let place = known.unwrap_or_else(|| {
        names.push(name.clone());
        names.len() - 1
    });
    u32::try_from(place).expect("a chunk has no more workers than rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> TimelineEntry {
        let started = 1_700_000_000_000_000_000 + number * 3_217_000;
        TimelineEntry {
            op: OpId(u16::try_from(number % 4).expect("is small")),
            batch: (number % 100 != 99).then(|| BatchId::whole(500_000 + number / 4)),
            attempt: Attempt::FIRST,
            worker: WorkerName::new(&format!("worker-{}", number % 8)).expect("a name"),
            slot: u32::try_from(number % 3).expect("is small"),
            state: TaskState::Succeeded,
            queued: Time(started - 45_000_000),
            started: Time(started),
            finished: Some(Time(started + 900_000_000)),
        }
    }

    #[test]
    fn a_kept_timeline_has_the_same_rows_in_less_than_24_bytes_each() {
        let mut timeline = Timeline::default();
        let entries: Vec<TimelineEntry> = (0..2_500).map(entry).collect();
        for entry in &entries {
            timeline.record(entry);
        }
        let chunks = timeline.pack();
        let bytes: usize = chunks
            .iter()
            .map(|chunk| postcard::to_allocvec(chunk).expect("can be encoded").len())
            .sum();
        assert!(bytes < 24 * entries.len(), "{bytes} bytes");
        let mut kept = Vec::new();
        while kept.len() < entries.len() {
            kept.extend(chunks[Chunk::holding(kept.len())].rows_from(kept.len()));
        }
        assert_eq!(kept, entries);
    }

    #[test]
    fn times_before_one_another_stay_so_when_they_are_rounded() {
        let mut timeline = Timeline::default();
        let first = TimelineEntry {
            finished: Some(Time(1_700_000_000_000_000_999)),
            ..entry(0)
        };
        let second = TimelineEntry {
            started: Time(1_700_000_000_000_001_000),
            ..entry(1)
        };
        timeline.record(&first);
        timeline.record(&second);
        let kept = timeline
            .pack()
            .first()
            .map(|chunk| chunk.rows_from(0))
            .unwrap_or_default();
        assert!(kept[0].finished <= Some(kept[1].started));
    }
}
