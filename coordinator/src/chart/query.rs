//! Looking into an area of a chart: how many attempts it holds, which ones, page by page.

use std::ops::ControlFlow;

use common::ids::{BatchId, WorkerName};

use super::tiles::Arrangement;
use crate::timeline::{Outcome, Row, Summary, Task, TimelineError, TimelineView};

/// A part of a chart: a span of time and of rows, ends excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// What the rows are.
    pub by: Arrangement,
    /// The first microsecond.
    pub from_us: u64,
    /// The microsecond after the last.
    pub to_us: u64,
    /// The first row.
    pub first_row: u64,
    /// The row after the last.
    pub end_row: u64,
}

/// Which attempts are wanted.
#[derive(Clone, Debug)]
pub struct TaskFilter {
    /// Those that can be seen in an area.
    pub area: Area,
    /// Those that are doing so.
    pub outcome: Option<Outcome>,
    /// Those of an op.
    pub op: Option<u16>,
    /// Those of a batch.
    pub batch: Option<BatchId>,
    /// Those of a worker.
    pub worker: Option<WorkerName>,
    /// Those whose error has this in it.
    pub error: Option<String>,
}

/// An attempt with its place in the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place, which names it for ever once it has ended.
    pub id: u64,
    /// The attempt.
    pub task: Task,
}

impl Area {
    /// Covers everything.
    pub fn all(by: Arrangement) -> Area {
        Area {
            by,
            from_us: 0,
            to_us: u64::MAX,
            first_row: 0,
            end_row: u64::MAX,
        }
    }
}

impl TimelineView {
    /// Returns up to `limit` attempts that can be seen in an area (waiting counts), from a place on.
    ///
    /// # Errors
    /// [`TimelineError`] when what is kept cannot be read.
    pub fn tasks_in(&self, area: Area, from: u64, limit: usize) -> Result<Vec<Found>, TimelineError> {
        let mut found = Vec::new();
        self.each_in(area, from, |id, task| {
            if found.len() == limit {
                return ControlFlow::Break(());
            }
            found.push(Found { id, task: *task });
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Counts the attempts that can be seen in an area, up to a bound.
    ///
    /// # Errors
    /// [`TimelineError`] when what is kept cannot be read.
    pub fn count_in(&self, area: Area, most: usize) -> Result<usize, TimelineError> {
        let lies_in = |summary: &Summary| self.lies_in(summary, &area);
        let whole = self
            .chunks
            .iter()
            .map(|chunk| chunk.known())
            .filter(|summary| lies_in(summary));
        let mut count: usize = whole.map(|summary| summary.rows as usize).sum();
        let is_cut = |summary: &Summary| {
            let is_chunk = summary.first < self.tail_summary.first;
            self.meets_area(summary, &area) && !(is_chunk && lies_in(summary))
        };
        self.tasks_from(0, is_cut, |_, task| {
            count += usize::from(self.is_in(task, &area));
            if count >= most {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// Returns up to `limit` attempts that pass a filter, from a place on, with all that is known of them.
    ///
    /// # Errors
    /// [`TimelineError`] when what is kept cannot be read.
    pub fn filter(&self, filter: &TaskFilter, from: u64, limit: usize) -> Result<Vec<(u64, Row)>, TimelineError> {
        let mut found = Vec::new();
        let wants = |summary: &Summary| {
            filter.outcome.is_none_or(|outcome| summary.has(outcome)) && self.meets_area(summary, &filter.area)
        };
        self.tasks_from(from, wants, |id, task| {
            if found.len() == limit {
                return ControlFlow::Break(());
            }
            if self.passes(filter, id, task) {
                found.push(id);
            }
            ControlFlow::Continue(())
        })?;
        self.rows_at(&found)
    }

    /// Returns the rows at some places, which are in order.
    fn rows_at(&self, places: &[u64]) -> Result<Vec<(u64, Row)>, TimelineError> {
        let mut scratch = crate::timeline::Scratch::default();
        let mut rows = Vec::with_capacity(places.len());
        let mut next = places.iter().copied().peekable();
        for chunk in self.chunks.iter() {
            let summary = chunk.summary;
            let end = summary.first + u64::from(summary.rows);
            if next.peek().is_none_or(|id| *id >= end) {
                continue;
            }
            let all = chunk.rows(&mut scratch)?;
            while let Some(id) = next.next_if(|id| *id < end) {
                let place = usize::try_from(id.saturating_sub(summary.first)).unwrap_or(usize::MAX);
                rows.extend(all.get(place).map(|row| (id, *row)));
            }
        }
        for id in next {
            let place = usize::try_from(id.saturating_sub(self.tail_summary.first)).unwrap_or(usize::MAX);
            let running = || {
                self.running
                    .iter()
                    .find(|(running, _)| *running == id)
                    .map(|(_, row)| row)
            };
            rows.extend(self.tail.get(place).or_else(running).map(|row| (id, *row)));
        }
        Ok(rows)
    }

    fn each_in(
        &self,
        area: Area,
        from: u64,
        mut each: impl FnMut(u64, &Task) -> ControlFlow<()>,
    ) -> Result<(), TimelineError> {
        self.tasks_from(
            from,
            |summary| self.meets_area(summary, &area),
            |id, task| {
                if self.is_in(task, &area) {
                    each(id, task)
                } else {
                    ControlFlow::Continue(())
                }
            },
        )
    }

    fn passes(&self, filter: &TaskFilter, id: u64, task: &Task) -> bool {
        let is_of_worker = |name: &WorkerName| self.lanes.get(task.lane).is_some_and(|(worker, _)| worker == name);
        let has_error = |text: &String| {
            let error = self.failures.of_task(id);
            error.is_some_and(|failure| failure.message.contains(text.as_str()))
        };
        filter.outcome.is_none_or(|outcome| task.outcome == outcome)
            && filter.op.is_none_or(|op| task.op == op)
            && filter.batch.is_none_or(|batch| task.batch_id() == Some(batch))
            && self.is_in(task, &filter.area)
            && filter.worker.as_ref().is_none_or(is_of_worker)
            && filter.error.as_ref().is_none_or(has_error)
    }

    fn meets_area(&self, summary: &Summary, area: &Area) -> bool {
        self.meets(
            summary,
            area.by,
            (area.from_us, area.to_us),
            (area.first_row, area.end_row),
        )
    }

    /// Tells whether all of some rows can be seen in an area.
    fn lies_in(&self, summary: &Summary, area: &Area) -> bool {
        let (first, last) = match area.by {
            Arrangement::BySlot => (u64::from(summary.lanes.0), u64::from(summary.lanes.1)),
            Arrangement::ByBatch if summary.whole_run > 0 => (0, u64::MAX),
            Arrangement::ByBatch => summary.batches,
        };
        area.by.begin_of(summary) >= area.from_us
            && summary.last_us < area.to_us
            && first >= area.first_row
            && last < area.end_row
    }

    fn is_in(&self, task: &Task, area: &Area) -> bool {
        let row = self.row_of(task, area.by);
        let ended = task.ended.unwrap_or(self.now_us.max(task.started));
        (area.first_row..area.end_row).contains(&row) && area.by.seen_from(task) < area.to_us && ended >= area.from_us
    }
}
