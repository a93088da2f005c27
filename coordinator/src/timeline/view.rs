//! What a reader sees of a run's timeline: it as it was at one moment.
//!
//! A [`TimelineView`] shares the rows and holds nobody up. Rows in chunks are read from memory or from the disk; what a
//! chunk's summary rules out is not read.

use std::ops::ControlFlow;
use std::sync::Arc;

use common::time::Time;
use common::timeline::TimelineEntry;

use super::chunk::{Scratch, Summary};
use super::failures::Failures;
use super::file::TimelineError;
use super::lanes::Lanes;
use super::row::{Row, Task};
use super::stored::Chunk;

/// The most ops that are told apart in columns; those behind count as the last one.
pub(crate) const MAX_OPS: usize = 32;

/// From here on the places of attempts that run: theirs until they end, when they get a place among the rows.
pub(crate) const RUNNING_IDS: u64 = 1 << 52;

/// What a reader sees: the timeline as it was at one moment.
#[derive(Clone, Debug)]
pub struct TimelineView {
    pub(crate) accepted: Time,
    /// How many ops are told apart.
    pub ops: usize,
    pub(crate) chunks: Arc<Vec<Arc<Chunk>>>,
    /// The rows behind the chunks.
    pub(crate) tail: Arc<Vec<Row>>,
    pub(crate) tail_summary: Summary,
    /// The attempts that run, with their places.
    pub(crate) running: Vec<(u64, Row)>,
    /// How many attempts have ended.
    pub rows: u64,
    /// How many were not kept.
    pub dropped: u64,
    /// How often moments may be missing because the coordinator was started again.
    pub restarts: u32,
    /// The lanes of the by-slot arrangement.
    pub lanes: Arc<Lanes>,
    /// What went wrong.
    pub failures: Arc<Failures>,
    /// How many rows the by-batch arrangement has.
    pub(crate) batch_rows: u64,
    pub(crate) whole_run_row: u64,
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

impl TimelineView {
    /// Returns how many attempts there are, those that run included.
    pub fn tasks(&self) -> u64 {
        self.rows + self.running.len() as u64
    }

    /// Returns the row of an attempt as the timeline's entry.
    pub fn entry(&self, row: &Row) -> TimelineEntry {
        row.entry(&self.lanes, self.accepted)
    }

    /// Calls `each` with the rows from a place on, in order, those of attempts that run behind the others.
    ///
    /// # Errors
    /// [`TimelineError`] when what is kept cannot be read.
    pub fn rows_from(
        &self,
        from: u64,
        mut each: impl FnMut(u64, &Row) -> ControlFlow<()>,
    ) -> Result<(), TimelineError> {
        let mut scratch = Scratch::default();
        for chunk in self.chunks.iter().filter(|chunk| end_of(&chunk.summary) > from) {
            let rows = chunk.rows(&mut scratch)?;
            for (id, row) in (chunk.summary.first..).zip(&rows) {
                if id >= from && each(id, row).is_break() {
                    return Ok(());
                }
            }
        }
        let tail = (self.tail_summary.first..).zip(self.tail.iter());
        let running = self.running.iter().map(|(id, row)| (*id, row));
        for (id, row) in tail.chain(running) {
            if id >= from && each(id, row).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Calls `each` with what is drawn of the rows from a place on, of those chunks that `wants` says it wants.
    pub(crate) fn tasks_from(
        &self,
        from: u64,
        wants: impl Fn(&Summary) -> bool,
        mut each: impl FnMut(u64, &Task) -> ControlFlow<()>,
    ) -> Result<(), TimelineError> {
        let mut scratch = Scratch::default();
        let mut flow = ControlFlow::Continue(());
        let mut tell = |id: u64, task: &Task| {
            if flow.is_continue() && id >= from {
                flow = each(id, task);
            }
            flow
        };
        let wanted = |summary: &Summary| end_of(summary) > from && wants(summary);
        for chunk in self.chunks.iter().filter(|chunk| wanted(&chunk.known())) {
            let mut id = chunk.summary.first;
            let mut last = ControlFlow::Continue(());
            chunk.tasks(&mut scratch, |task| {
                last = tell(id, &task);
                id += 1;
            })?;
            if last.is_break() {
                return Ok(());
            }
        }
        let tail = (self.tail_summary.first..).zip(self.tail.iter());
        let running = self.running.iter().map(|(id, row)| (*id, row));
        for (id, row) in tail.filter(|_| wanted(&self.tail_summary)).chain(running) {
            if tell(id, &row.task).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns what is drawn of one attempt by its place; `None` when there is none.
    ///
    /// # Errors
    /// [`TimelineError`] when what is kept cannot be read.
    pub fn task(&self, id: u64) -> Result<Option<Task>, TimelineError> {
        let mut found = None;
        self.tasks_from(
            id,
            |summary| summary.first <= id,
            |at, task| {
                found = (at == id).then_some(*task);
                ControlFlow::Break(())
            },
        )?;
        Ok(found)
    }
}

fn end_of(summary: &Summary) -> u64 {
    summary.first + u64::from(summary.rows)
}
