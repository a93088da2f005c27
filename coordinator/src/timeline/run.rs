//! The timeline of one run in memory: sealed chunks, the rows behind them, and what people ask of both.
//!
//! A row comes when its attempt has ended and stands behind all that came before; its place names it for ever. The row
//! of a batch's last op waits for the commit, which comes within moments, before it is sealed. Attempts that run have no
//! row: a look asks the scheduler for them.
//!
//! Sealed time: what lies before [`TimelineView::sealed_us`] cannot change any more, because nothing that runs or waits was
//! queued before it and reports come within [`REPORT_PATIENCE_US`]. A report that comes later all the same raises the
//! epoch, which is part of every tile's address.
//!
//! Known weakness: a commit that takes longer than [`LONGEST_TAIL`] rows is not in its row.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use common::failure::Failure;
use common::ids::{BatchId, OpId, WorkerName};
use common::state::TaskState;
use common::time::Time;
use common::timeline::{ChainEntry, TimelineEntry};
use scheduler::Outlook;

use super::chunk::{CHUNK_ROWS, Summary};
use super::failures::{Failed, Failures};
use super::lanes::Lanes;
use super::logs::RunLog;
use super::row::{Outcome, Row, WHOLE_RUN, micros_since};
use super::series::{Sample, Series};
use super::stored::{Chunk, Written};
use super::view::{Life, MAX_OPS, RUNNING_IDS, TimelineView};

/// How long after the fact a report is waited for before what was is called sealed.
const REPORT_PATIENCE_US: u64 = 30_000_000;
/// How many rows wait for one commit at most.
const LONGEST_TAIL: usize = 4 * CHUNK_ROWS;

/// One run's rows, and what goes with them.
#[derive(Debug)]
pub(crate) struct RunTimeline {
    pub(super) accepted: Time,
    pub(super) ops: usize,
    last_op: OpId,
    pub(super) lanes: Arc<Lanes>,
    pub(super) failures: Arc<Failures>,
    pub(super) chunks: Arc<Vec<Arc<Chunk>>>,
    /// The rows behind the chunks.
    pub(super) tail: Arc<Vec<Row>>,
    /// The place of the first of them.
    pub(super) tail_first: u64,
    /// The rows that wait for their batch's commit.
    awaiting: BTreeMap<BatchId, u64>,
    pub(super) series: Series,
    /// What its tasks logged.
    pub(super) log: RunLog,
    batch_rows: u64,
    whole_run_row: Option<u64>,
    end_us: u64,
    sealed_us: u64,
    pub(super) epoch: u32,
    version: u64,
    /// What ran at the last look, in a number.
    running: u64,
    pub(super) ended: Option<Time>,
    pub(super) dropped: u64,
    /// How often the coordinator was started again meanwhile.
    pub(super) restarts: u32,
    /// What of it is in its files.
    pub(super) written: Written,
    /// Whether all of it is, and nothing will follow.
    pub(super) is_complete: bool,
}

impl RunTimeline {
    /// Makes the empty timeline of a run with so many ops, the last of which that works on batches is `last_op`.
    pub(crate) fn new(accepted: Time, ops: usize, last_op: OpId) -> RunTimeline {
        RunTimeline {
            accepted,
            ops,
            last_op,
            lanes: Arc::default(),
            failures: Arc::default(),
            chunks: Arc::default(),
            tail: Arc::default(),
            tail_first: 0,
            awaiting: BTreeMap::new(),
            series: Series::default(),
            log: RunLog::default(),
            batch_rows: 0,
            whole_run_row: None,
            end_us: 0,
            sealed_us: 0,
            epoch: 0,
            version: 0,
            running: 0,
            ended: None,
            dropped: 0,
            restarts: 0,
            written: Written::default(),
            is_complete: false,
        }
    }

    /// Takes over an attempt that has ended.
    pub(crate) fn add(&mut self, entry: &TimelineEntry, failure: Option<&Failure>, slots: u32) {
        let lane = self.lane(&entry.worker, entry.slot, slots);
        self.add_in_lane(entry, failure, lane);
    }

    /// Takes over the attempts of a chain that have all ended well.
    pub(crate) fn add_chain(&mut self, chain: &ChainEntry, slots: u32) {
        let lane = self.lane(&chain.worker, chain.slot, slots);
        for entry in chain.entries() {
            self.add_in_lane(&entry, None, lane);
        }
    }

    fn add_in_lane(&mut self, entry: &TimelineEntry, failure: Option<&Failure>, lane: u32) {
        let row = Row::new(entry, lane, self.accepted);
        let place = self.rows();
        let is_last = entry.op == self.last_op && entry.state == TaskState::Succeeded && row.committed.is_none();
        if let (true, Some(batch)) = (is_last, entry.batch) {
            self.awaiting.insert(batch, place);
        }
        if matches!(row.task.outcome, Outcome::Failed | Outcome::Lost) {
            if let Some(failure) = failure {
                self.log.add_failure(entry, failure);
            }
            let unknown = Failures::unknown();
            Arc::make_mut(&mut self.failures).add(&Failed {
                id: place,
                op: row.task.op,
                batch: entry.batch,
                worker: &entry.worker,
                ended: row.task.ended.unwrap_or(row.task.started),
                failure: failure.unwrap_or(&unknown),
            });
        }
        self.push(row);
    }

    /// Adds a row behind the last one.
    pub(super) fn push(&mut self, row: Row) {
        self.extend_to(row.task.batch, row.task.ended.unwrap_or(row.task.started));
        if row.task.queued < self.sealed_us {
            self.epoch += 1;
            self.sealed_us = row.task.queued;
        }
        self.version += 1;
        Arc::make_mut(&mut self.tail).push(row);
    }

    /// Adds a chunk as it was kept.
    pub(super) fn push_chunk(&mut self, chunk: Chunk) {
        let summary = chunk.summary;
        self.tail_first = summary.first + u64::from(summary.rows);
        if summary.batches.0 <= summary.batches.1 {
            self.extend_to(summary.batches.1, summary.last_us);
        }
        if summary.whole_run > 0 {
            self.extend_to(WHOLE_RUN, summary.last_us);
        }
        Arc::make_mut(&mut self.chunks).push(Arc::new(chunk));
    }

    /// Takes over that a batch's commit is durable.
    pub(crate) fn commit(&mut self, batch: BatchId, at: Time) {
        let place = self.awaiting.remove(&batch);
        let place = place.and_then(|place| usize::try_from(place.checked_sub(self.tail_first)?).ok());
        let committed = micros_since(self.accepted, at);
        if let Some(row) = place.and_then(|place| Arc::make_mut(&mut self.tail).get_mut(place)) {
            row.committed = Some(committed.max(row.task.ended.unwrap_or(0)));
        }
    }

    /// Takes over what the gauges say.
    pub(crate) fn sample(&mut self, sample: &Sample, at: Time) {
        self.series.add(sample, micros_since(self.accepted, at));
    }

    /// Takes over that the run has ended.
    pub(crate) fn finish(&mut self, ended: Time) {
        self.ended = Some(ended);
        self.version += 1;
        self.awaiting.clear();
    }

    /// Takes over that the run goes on although it had ended.
    pub(super) fn reopen(&mut self, last_op: OpId) {
        self.last_op = last_op;
        self.ended = None;
        self.is_complete = false;
        self.sealed_us = 0;
        self.epoch += 1;
        self.version += 1;
    }

    /// Notes that the run goes on under another coordinator, which may not know the last moments under the former one.
    pub(super) fn note_restart(&mut self) {
        self.restarts += 1;
        self.epoch += 1;
        self.version += 1;
    }

    /// Notes that a row could not be kept.
    pub(crate) fn drop_rows(&mut self, rows: u64) {
        self.dropped += rows;
        self.version += 1;
    }

    /// Returns how many rows there are.
    pub(crate) fn rows(&self) -> u64 {
        self.tail_first + self.tail.len() as u64
    }

    /// Returns the next rows to be sealed, if there are enough of them and none waits for its commit.
    pub(super) fn to_seal(&self) -> Option<Vec<Row>> {
        let wanted = if self.ended.is_some() {
            self.tail.len().min(CHUNK_ROWS)
        } else if self.tail.len() >= CHUNK_ROWS {
            CHUNK_ROWS
        } else {
            0
        };
        let waits = |place: &u64| (*place).saturating_sub(self.tail_first) < wanted as u64;
        let must_wait = self.tail.len() < LONGEST_TAIL && self.awaiting.values().any(waits);
        (wanted > 0 && !must_wait).then(|| self.tail[..wanted].to_vec())
    }

    /// Puts a chunk in the place of the rows that it was made of.
    pub(super) fn seal(&mut self, chunk: Arc<Chunk>) {
        let rows = chunk.summary.rows;
        Arc::make_mut(&mut self.tail).drain(..rows as usize);
        self.tail_first += u64::from(rows);
        Arc::make_mut(&mut self.chunks).push(chunk);
    }

    /// Packs all rows into a chunk at once.
    #[cfg(test)]
    pub(crate) fn seal_all(&mut self) {
        let rows = self.tail.to_vec();
        if !rows.is_empty() {
            let summary = Summary::of(self.tail_first, &rows);
            self.seal(Arc::new(Chunk::in_memory(summary, super::chunk::pack(&rows))));
        }
    }

    /// Counts the rows of a chunk as dropped.
    pub(super) fn drop_chunk(&mut self, chunk: &Arc<Chunk>) {
        let chunks = Arc::make_mut(&mut self.chunks);
        let before = chunks.len();
        chunks.retain(|kept| !Arc::ptr_eq(kept, chunk));
        if chunks.len() < before {
            self.written.chunks = self.written.chunks.min(chunks.len());
            self.drop_rows(u64::from(chunk.summary.rows));
        }
    }

    /// Notes that all that is there now was read from its files.
    pub(super) fn note_written(&mut self) {
        self.written = Written {
            chunks: self.chunks.len(),
            lanes: self.lanes.len(),
            failures: self.rows(),
            buckets: self.series.last().map_or(0, |bucket| bucket.t_us),
            epoch: self.epoch,
            restarts: self.restarts,
            dropped: self.dropped,
            tail: self.rows(),
        };
    }

    /// Shows the chart as it is now; `outlook` is what the scheduler knows of a live run.
    pub(crate) fn view(&mut self, outlook: &Outlook, now: Time) -> TimelineView {
        let running = self.running_rows(outlook);
        let now_us = micros_since(self.accepted, self.ended.unwrap_or(now)).max(self.end_us);
        if self.ended.is_some() {
            self.sealed_us = u64::MAX;
        } else {
            let waiting = outlook.oldest_waiting.map(|since| micros_since(self.accepted, since));
            let queued = running.iter().map(|(_, row)| row.task.queued).min();
            let reported = now_us.saturating_sub(REPORT_PATIENCE_US);
            let horizon = [queued, waiting].into_iter().flatten().fold(reported, u64::min);
            self.sealed_us = self.sealed_us.max(horizon);
        }
        TimelineView {
            accepted: self.accepted,
            ops: self.ops.clamp(1, MAX_OPS),
            chunks: self.chunks.clone(),
            tail_summary: Summary::of(self.tail_first, &self.tail),
            tail: self.tail.clone(),
            running,
            rows: self.rows(),
            dropped: self.dropped,
            restarts: self.restarts,
            lanes: self.lanes.clone(),
            failures: self.failures.clone(),
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

    /// Returns rows of the attempts that run, each with a number that is its own while it does.
    fn running_rows(&mut self, outlook: &Outlook) -> Vec<(u64, Row)> {
        if self.ended.is_some() {
            return Vec::new();
        }
        let mut hasher = DefaultHasher::new();
        let mut rows = Vec::with_capacity(outlook.running.len());
        for (lease, entry) in &outlook.running {
            let lane = self.lane(&entry.worker, entry.slot, entry.slot + 1);
            let row = Row::new(entry, lane, self.accepted);
            self.extend_to(row.task.batch, row.task.started);
            (row.task.op, row.task.batch, row.task.attempt, lane).hash(&mut hasher);
            rows.push((RUNNING_IDS + lease.sequence, row));
        }
        let running = hasher.finish();
        if running != self.running {
            self.running = running;
            self.version += 1;
        }
        rows
    }

    fn lane(&mut self, worker: &WorkerName, slot: u32, slots: u32) -> u32 {
        match self.lanes.find(worker, slot) {
            Some(lane) => lane,
            None => Arc::make_mut(&mut self.lanes).add(worker, slot, slots),
        }
    }

    fn extend_to(&mut self, batch: u64, end_us: u64) {
        if batch == WHOLE_RUN {
            self.whole_run_row.get_or_insert(self.batch_rows);
        } else {
            self.batch_rows = self.batch_rows.max(batch + 1);
        }
        self.end_us = self.end_us.max(end_us);
    }
}
