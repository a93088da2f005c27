//! Chunks: up to [`CHUNK_ROWS`] rows packed by columns, less than 24 bytes each, readable without any other chunk.
//!
//! What is drawn of an attempt stands in front, so that drawing reads half of the bytes. A [`Summary`] says what a chunk
//! can hold anything of, so that most are not read at all.

use common::ids::Halves;
use common::timeline::Moved;
use serde::{Deserialize, Serialize};

use super::column::{self, BadColumn, unzigzag, zigzag};
use super::row::{Outcome, Row, Task, WHOLE_RUN};

/// How many rows a full chunk has.
pub(crate) const CHUNK_ROWS: usize = 4_096;
/// How many columns are drawn.
const DRAWN: usize = 8;

/// What a chunk's rows lie between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The place of its first row in the run.
    pub(crate) first: u64,
    pub(crate) rows: u32,
    /// When the first of its tasks was queued.
    pub(crate) first_us: u64,
    /// When the last of its attempts ended.
    pub(crate) last_us: u64,
    /// The least and the greatest batch.
    pub(crate) batches: (u64, u64),
    /// How many tasks over the whole run are among them.
    pub(crate) whole_run: u32,
    pub(crate) lanes: (u32, u32),
    /// A bit for each outcome that is among them.
    pub(crate) outcomes: u8,
    /// When the first of its attempts started; 0 where nobody knows, because it is not kept on the disk.
    #[serde(skip)]
    pub(crate) first_started: u64,
}

impl Summary {
    /// Begins the summary of no rows.
    pub(crate) fn new(first: u64) -> Summary {
        Summary {
            first,
            rows: 0,
            first_us: u64::MAX,
            last_us: 0,
            batches: (u64::MAX, 0),
            whole_run: 0,
            lanes: (u32::MAX, 0),
            outcomes: 0,
            first_started: u64::MAX,
        }
    }

    /// Sums up rows that begin at a place.
    pub(crate) fn of(first: u64, rows: &[Row]) -> Summary {
        let mut summary = Summary::new(first);
        for row in rows {
            summary.add(&row.task);
        }
        summary
    }

    /// Takes in one more task.
    pub(crate) fn add(&mut self, task: &Task) {
        self.rows += 1;
        self.first_us = self.first_us.min(task.queued);
        self.first_started = self.first_started.min(task.started);
        self.last_us = self.last_us.max(task.ended.unwrap_or(u64::MAX));
        if task.batch == WHOLE_RUN {
            self.whole_run += 1;
        } else {
            self.batches = (self.batches.0.min(task.batch), self.batches.1.max(task.batch));
        }
        self.lanes = (self.lanes.0.min(task.lane), self.lanes.1.max(task.lane));
        self.outcomes |= 1 << task.outcome as u8;
    }

    /// Tells whether a task with an outcome is among them.
    pub(crate) fn has(&self, outcome: Outcome) -> bool {
        self.outcomes >> outcome as u8 & 1 == 1
    }
}

/// Numbers of the columns, kept to be used again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    columns: Vec<Vec<u64>>,
}

/// Packs rows, at most [`CHUNK_ROWS`] of them.
pub(crate) fn pack(rows: &[Row]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.len() * 24);
    let mut numbers: Vec<u64> = Vec::with_capacity(rows.len());
    let mut column = |number: &dyn Fn(&Row) -> u64| {
        numbers.clear();
        numbers.extend(rows.iter().map(number));
        column::write(&numbers, &mut bytes);
    };
    column(&|row| row.task.started);
    column(&|row| row.task.started.wrapping_sub(row.task.queued));
    column(&|row| row.task.ended.map_or(0, |ended| ended - row.task.started));
    column(&|row| row.task.op.into());
    column(&|row| row.task.batch.wrapping_add(1));
    column(&|row| halves_number(row.task.halves));
    column(&|row| row.task.lane.into());
    column(&|row| u64::from(row.task.attempt) << 3 | row.task.outcome as u64);

    column(&|row| row.task.started.wrapping_sub(row.leased));
    column(&|row| {
        row.fetch_started
            .map_or(0, |fetched| row.task.started.wrapping_sub(fetched) + 1)
    });
    column(&|row| {
        row.committed
            .map_or(0, |at| at.wrapping_sub(row.task.ended.unwrap_or(0)) + 1)
    });
    column(&|row| row.moved.rows_in);
    column(&|row| difference(row.moved.rows_in, row.moved.rows_out));
    column(&|row| row.moved.bytes_in);
    column(&|row| difference(row.moved.bytes_in, row.moved.bytes_out));
    bytes
}

/// Calls `each` with what is drawn of every row, in order.
pub(crate) fn tasks(
    bytes: &[u8],
    count: usize,
    scratch: &mut Scratch,
    mut each: impl FnMut(Task),
) -> Result<(), BadColumn> {
    let mut rest = bytes;
    scratch.read(&mut rest, 0..DRAWN, count)?;
    for place in 0..count {
        each(scratch.task(place)?);
    }
    Ok(())
}

/// Returns all rows.
pub(crate) fn rows(bytes: &[u8], count: usize, scratch: &mut Scratch) -> Result<Vec<Row>, BadColumn> {
    let mut rest = bytes;
    scratch.read(&mut rest, 0..DRAWN + 7, count)?;
    (0..count).map(|place| scratch.row(place)).collect()
}

impl Scratch {
    fn read(&mut self, bytes: &mut &[u8], columns: std::ops::Range<usize>, count: usize) -> Result<(), BadColumn> {
        self.columns.resize_with(self.columns.len().max(columns.end), Vec::new);
        columns
            .into_iter()
            .try_for_each(|place| column::read(bytes, count, &mut self.columns[place]))
    }

    #[inline]
    fn task(&self, place: usize) -> Result<Task, BadColumn> {
        let number = |column: usize| self.columns[column][place];
        let started = number(0);
        let kind = number(7);
        let outcome = *Outcome::ALL.get((kind & 7) as usize).ok_or(BadColumn)?;
        Ok(Task {
            started,
            queued: started.wrapping_sub(number(1)),
            ended: (outcome != Outcome::Running).then_some(started.wrapping_add(number(2))),
            op: u16::try_from(number(3)).map_err(|_| BadColumn)?,
            batch: number(4).wrapping_sub(1),
            halves: halves_of(number(5)).ok_or(BadColumn)?,
            lane: u32::try_from(number(6)).map_err(|_| BadColumn)?,
            attempt: u32::try_from(kind >> 3).map_err(|_| BadColumn)?,
            outcome,
        })
    }

    fn row(&self, place: usize) -> Result<Row, BadColumn> {
        let number = |column: usize| self.columns[DRAWN + column][place];
        let task = self.task(place)?;
        let before_start = |number: u64| task.started.wrapping_sub(number);
        let sum = |number: u64, difference: u64| number.wrapping_add_signed(unzigzag(difference));
        Ok(Row {
            task,
            leased: before_start(number(0)),
            fetch_started: number(1).checked_sub(1).map(before_start),
            committed: number(2)
                .checked_sub(1)
                .map(|after| task.ended.unwrap_or(0).wrapping_add(after)),
            moved: Moved {
                rows_in: number(3),
                rows_out: sum(number(3), number(4)),
                bytes_in: number(5),
                bytes_out: sum(number(5), number(6)),
            },
        })
    }
}

fn difference(from: u64, to: u64) -> u64 {
    zigzag(to.wrapping_sub(from).cast_signed())
}

/// The turns as binary digits behind a one; 0 for a whole batch.
fn halves_number(halves: Halves) -> u64 {
    if halves.depth() == 0 {
        return 0;
    }
    halves.turns().fold(1, |number, turn| number << 1 | u64::from(turn))
}

fn halves_of(number: u64) -> Option<Halves> {
    if number == 0 {
        return Some(Halves::default());
    }
    let depth = 63 - number.leading_zeros();
    if depth > u32::from(Halves::MAX_DEPTH) {
        return None;
    }
    let turns = (0..depth).rev().map(|bit| u8::from(number >> bit & 1 == 1));
    Halves::from_turns(turns)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn row() -> impl Strategy<Value = Row> {
        let times = (0..1_u64 << 50, 0..1_u64 << 40, 0..1_u64 << 40, 0..1_u64 << 30);
        let names = (
            0..9_u16,
            prop_oneof![0..u64::MAX, Just(WHOLE_RUN)],
            vec(0..2_u8, 0..5),
            1..40_u32,
            0..70_u32,
        );
        let kinds = (1..5_usize, any::<bool>(), any::<bool>(), any::<[u32; 4]>());
        (times, names, kinds).prop_map(
            |((queued, wait, ran, after), names, (outcome, fetched, committed, moved))| {
                let (op, batch, turns, attempt, lane) = names;
                let started = queued + wait;
                Row {
                    task: Task {
                        op,
                        batch,
                        halves: Halves::from_turns(turns).expect("are few turns"),
                        attempt,
                        lane,
                        outcome: Outcome::ALL[outcome],
                        queued,
                        started,
                        ended: Some(started + ran),
                    },
                    leased: queued + wait / 2,
                    fetch_started: fetched.then_some(queued + wait / 3),
                    committed: committed.then_some(started + ran + after),
                    moved: Moved {
                        rows_in: moved[0].into(),
                        rows_out: moved[1].into(),
                        bytes_in: moved[2].into(),
                        bytes_out: moved[3].into(),
                    },
                }
            },
        )
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were_packed(packed in vec(row(), 0..200)) {
            let bytes = pack(&packed);
            let mut scratch = Scratch::default();
            prop_assert_eq!(&rows(&bytes, packed.len(), &mut scratch).expect("are rows"), &packed);
            let mut drawn = Vec::new();
            tasks(&bytes, packed.len(), &mut scratch, |task| drawn.push(task)).expect("are rows");
            prop_assert_eq!(drawn, packed.iter().map(|row| row.task).collect::<Vec<_>>());
        }

        #[test]
        fn bytes_that_are_no_chunk_are_refused_or_read_but_never_panic(bytes in vec(any::<u8>(), 0..400), count in 0..60_usize) {
            let _ = rows(&bytes, count, &mut Scratch::default());
        }
    }
}
