//! The chart of a run: every attempt in 24 bytes, and what pages draw from it at any scale.
//!
//! [`Chart`] is the writer's side and the driver's own: the row of an attempt's end takes the place of that of its
//! start. A reader takes a [`ChartView`], which shares the rows and costs the driver microseconds; tiles, bars and tables
//! are made of it elsewhere. Nothing here delays the run, and nothing here is journaled.
//!
//! Sealing: what lies before [`ChartView::sealed_us`] cannot change any more, because nothing that runs or waits was
//! queued before it and reports come within [`REPORT_PATIENCE_US`]. A report that comes later all the same raises the
//! epoch, which is part of every tile's address.
//!
//! Known weaknesses: of a run with more than [`Chart::MAX_ROWS`] attempts the later ones are counted and not kept (nothing
//! is spilled yet); a task that has not started shows its wait only when it starts.

pub(crate) mod cells;
mod charts;
mod failures;
pub mod fixture;
mod lanes;
mod query;
mod raster;
pub(crate) mod row;
pub mod series;
#[cfg(test)]
mod tests;
mod tiles;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::failure::Failure;
use common::ids::{Attempt, BatchId, Halves, OpId};
use common::time::Time;
use common::timeline::TimelineEntry;

pub use cells::{Cells, Flag, Seal, TILE_COLUMNS, TILE_ROWS};
pub use charts::Charts;
pub use failures::{Failures, Group};
pub use lanes::Lanes;
pub use query::{Area, Found, TaskFilter};
pub use raster::Window;
pub use row::{Outcome, Task};
pub use tiles::{Arrangement, Overview, TileId};

use failures::Failed;
use row::{BLOCK_ROWS, Block, WHOLE_RUN};

/// How long after the fact a report is waited for before what was is called sealed.
const REPORT_PATIENCE_US: u64 = 30_000_000;

/// An attempt that started or ended, and what the row itself does not say.
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// The row.
    pub entry: &'a TimelineEntry,
    /// Why it failed.
    pub failure: Option<&'a Failure>,
    /// How many slots its worker has.
    pub slots: u32,
}

/// The rows of one run, as the driver adds to them.
#[derive(Debug)]
pub struct Chart {
    accepted: Time,
    ops: usize,
    last_op: OpId,
    blocks: Vec<Arc<Block>>,
    rows: u64,
    dropped: u64,
    /// The attempts that run: their rows, and when they were queued.
    open: BTreeMap<(OpId, Option<BatchId>, Attempt), (u64, u64)>,
    /// The batches that wait for their next op, and since when; by time too.
    waiting: BTreeMap<BatchId, u64>,
    waiting_since: BTreeSet<(u64, BatchId)>,
    lanes: Arc<Lanes>,
    failures: Arc<Failures>,
    /// Which rows are of halves of batches.
    halves: Arc<BTreeMap<u64, Halves>>,
    batch_rows: u64,
    whole_run_row: Option<u64>,
    end_us: u64,
    sealed_us: u64,
    epoch: u32,
    version: u64,
    ended: Option<Time>,
}

/// What a reader sees: the chart as it was at one moment.
#[derive(Clone, Debug)]
pub struct ChartView {
    /// How many ops are told apart.
    pub ops: usize,
    pub(crate) blocks: Vec<Arc<Block>>,
    /// How many attempts are kept.
    pub rows: u64,
    /// How many were not kept.
    pub dropped: u64,
    /// The lanes of the by-slot arrangement.
    pub lanes: Arc<Lanes>,
    /// What went wrong.
    pub failures: Arc<Failures>,
    halves: Arc<BTreeMap<u64, Halves>>,
    /// How many rows the by-batch arrangement has.
    pub batch_rows: u64,
    whole_run_row: u64,
    /// The moment, or the run's end.
    pub now_us: u64,
    /// When the last attempt ended, or now.
    pub end_us: u64,
    /// What lies before does not change.
    pub sealed_us: u64,
    /// How often something sealed changed.
    pub epoch: u32,
    /// Rises with every change.
    pub version: u64,
    /// Whether more may come.
    pub live: Life,
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It does.
    Live,
    /// It has ended.
    Ended,
}

impl Chart {
    /// The most rows that are kept of a run: 24 bytes each.
    pub const MAX_ROWS: u64 = 4_000_000;

    /// Makes the empty chart of a run with so many ops, the last of which that works on batches is `last_op`.
    pub fn new(accepted: Time, ops: usize, last_op: OpId) -> Chart {
        Chart {
            accepted,
            ops: ops.clamp(1, cells::MAX_OPS),
            last_op,
            blocks: Vec::new(),
            rows: 0,
            dropped: 0,
            open: BTreeMap::new(),
            waiting: BTreeMap::new(),
            waiting_since: BTreeSet::new(),
            lanes: Arc::default(),
            failures: Arc::default(),
            halves: Arc::default(),
            batch_rows: 0,
            whole_run_row: None,
            end_us: 0,
            sealed_us: 0,
            epoch: 0,
            version: 0,
            ended: None,
        }
    }

    /// Takes over that an attempt started or ended.
    pub fn record(&mut self, reported: &Reported<'_>) {
        let entry = reported.entry;
        let key = (entry.op, entry.batch, entry.attempt);
        let task = self.task(reported);
        let known = self.open.remove(&key);
        if known.is_none() && self.rows >= Self::MAX_ROWS {
            self.dropped += u64::from(task.ended.is_some());
            return;
        }
        self.version += 1;
        if task.queued.min(task.started) < self.sealed_us {
            self.epoch += 1;
        }
        let id = known.map_or(self.rows, |(id, _)| id);
        match known {
            Some(_) => self.replace(id, &task),
            None => self.push(&task),
        }
        if let Some(halves) = entry
            .batch
            .map(|batch| batch.halves)
            .filter(|halves| halves.depth() > 0)
        {
            Arc::make_mut(&mut self.halves).insert(id, halves);
        }
        self.end_us = self.end_us.max(task.ended.unwrap_or(task.started));
        self.follow_batch(entry, &task);
        if task.ended.is_none() {
            self.open.insert(key, (id, task.queued));
        }
        if matches!(task.outcome, Outcome::Failed | Outcome::Lost) {
            let unknown = Failures::unknown();
            Arc::make_mut(&mut self.failures).add(&Failed {
                id,
                op: task.op,
                batch: entry.batch,
                worker: &entry.worker,
                ended: task.ended.unwrap_or(task.started),
                failure: reported.failure.unwrap_or(&unknown),
            });
        }
    }

    /// Takes over that nothing more will happen to a batch.
    pub fn settle(&mut self, batch: BatchId) {
        if let Some(since) = self.waiting.remove(&batch) {
            self.waiting_since.remove(&(since, batch));
        }
    }

    /// Takes over that the run has ended.
    pub fn finish(&mut self, ended: Time) {
        self.ended = Some(ended);
        self.version += 1;
        self.waiting.clear();
        self.waiting_since.clear();
    }

    /// Returns how many rows are kept.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Shows the chart as it is now.
    pub fn view(&mut self, now: Time) -> ChartView {
        let now_us = self.micros(self.ended.unwrap_or(now)).max(self.end_us);
        if self.ended.is_some() && self.open.is_empty() {
            self.sealed_us = u64::MAX;
        } else {
            let queued = self.open.values().map(|(_, queued)| *queued).min();
            let waiting = self.waiting_since.first().map(|(since, _)| *since);
            let reported = now_us.saturating_sub(REPORT_PATIENCE_US);
            let horizon = [queued, waiting].into_iter().flatten().fold(reported, u64::min);
            self.sealed_us = self.sealed_us.max(horizon);
        }
        ChartView {
            ops: self.ops,
            blocks: self.blocks.clone(),
            rows: self.rows,
            dropped: self.dropped,
            lanes: self.lanes.clone(),
            failures: self.failures.clone(),
            halves: self.halves.clone(),
            batch_rows: self.batch_rows + u64::from(self.whole_run_row.is_some_and(|row| row >= self.batch_rows)),
            whole_run_row: self.whole_run_row.unwrap_or(self.batch_rows),
            now_us,
            end_us: if self.ended.is_some() { self.end_us } else { now_us },
            sealed_us: self.sealed_us,
            epoch: self.epoch,
            version: self.version,
            live: if self.ended.is_some() { Life::Ended } else { Life::Live },
        }
    }

    fn task(&mut self, reported: &Reported<'_>) -> Task {
        let entry = reported.entry;
        let lane = match self.lanes.find(&entry.worker, entry.slot) {
            Some(lane) => lane,
            None => Arc::make_mut(&mut self.lanes).add(&entry.worker, entry.slot, reported.slots),
        };
        let batch = match entry.batch {
            Some(batch) => u32::try_from(batch.index).unwrap_or(WHOLE_RUN - 1),
            None => WHOLE_RUN,
        };
        if batch == WHOLE_RUN {
            self.whole_run_row.get_or_insert(self.batch_rows);
        } else {
            self.batch_rows = self.batch_rows.max(u64::from(batch) + 1);
        }
        let started = self.micros(entry.started);
        Task {
            op: Task::op_number(entry.op),
            batch,
            attempt: u8::try_from(entry.attempt.0).unwrap_or(u8::MAX),
            lane,
            outcome: entry.state.into(),
            queued: self.micros(entry.queued).min(started),
            started,
            ended: entry.finished.map(|finished| self.micros(finished).max(started)),
        }
    }

    fn follow_batch(&mut self, entry: &TimelineEntry, task: &Task) {
        let Some(batch) = entry.batch else { return };
        self.settle(batch);
        let is_over = task.outcome == Outcome::Succeeded && entry.op >= self.last_op;
        if let (Some(ended), false) = (task.ended, is_over) {
            self.waiting.insert(batch, ended);
            self.waiting_since.insert((ended, batch));
        }
    }

    fn push(&mut self, task: &Task) {
        if self.blocks.last().is_none_or(|block| block.rows.len() == BLOCK_ROWS) {
            self.blocks.push(Arc::new(Block::new()));
        }
        if let Some(block) = self.blocks.last_mut() {
            Arc::make_mut(block).push(task);
        }
        self.rows += 1;
    }

    fn replace(&mut self, id: u64, task: &Task) {
        let (block, place) = place_of(id);
        if let Some(block) = self.blocks.get_mut(block) {
            Arc::make_mut(block).replace(place, task);
        }
    }

    fn micros(&self, time: Time) -> u64 {
        time.0.saturating_sub(self.accepted.0) / 1_000
    }
}

impl ChartView {
    /// Returns the batch of a row, if it is of one.
    pub fn batch(&self, id: u64, task: &Task) -> Option<BatchId> {
        (task.batch != WHOLE_RUN).then(|| BatchId {
            index: u64::from(task.batch),
            halves: self.halves.get(&id).copied().unwrap_or_default(),
        })
    }

    /// Returns one attempt by its place.
    pub fn task(&self, id: u64) -> Option<Task> {
        let (block, place) = place_of(id);
        self.blocks.get(block)?.rows.get(place).map(row::Row::unpack)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "there are at most MAX_ROWS rows")]
fn place_of(id: u64) -> (usize, usize) {
    let id = id as usize;
    (id / BLOCK_ROWS, id % BLOCK_ROWS)
}
