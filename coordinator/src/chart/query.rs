//! Looking into an area of a chart: how many attempts it holds, which ones, page by page.

use super::ChartView;
use super::row::{BLOCK_ROWS, Outcome, Task};
use super::tiles::Arrangement;
use common::ids::{BatchId, WorkerName};

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
    pub op: Option<u8>,
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
    /// Its place, which names it for ever.
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

impl ChartView {
    /// Returns the attempts that can be seen in an area (waiting counts), from a place on.
    pub fn tasks_in(&self, area: Area, from: u64) -> impl Iterator<Item = Found> + '_ {
        let blocks = (0_u64..).step_by(BLOCK_ROWS).zip(&self.blocks);
        let blocks = blocks.filter(move |(first, block)| {
            first + block.rows.len() as u64 > from
                && self.meets(
                    block,
                    area.by,
                    (area.from_us, area.to_us),
                    (area.first_row, area.end_row),
                )
        });
        let found = blocks.flat_map(|(first, block)| {
            (first..)
                .zip(&block.rows)
                .map(|(id, row)| Found { id, task: row.unpack() })
        });
        found.filter(move |found| found.id >= from && self.is_in(&found.task, &area))
    }

    /// Returns the attempts that pass a filter, from a place on.
    pub fn filter<'a>(&'a self, filter: &'a TaskFilter, from: u64) -> impl Iterator<Item = Found> + 'a {
        self.tasks_in(filter.area, from).filter(|Found { id, task }| {
            let is_of_worker = |name: &WorkerName| self.lanes.get(task.lane).is_some_and(|(worker, _)| worker == name);
            let has_error = |text: &String| {
                let error = self.failures.of_task(*id);
                error.is_some_and(|failure| failure.message.contains(text.as_str()))
            };
            filter.outcome.is_none_or(|outcome| task.outcome == outcome)
                && filter.op.is_none_or(|op| task.op == op)
                && filter.batch.is_none_or(|batch| self.batch(*id, task) == Some(batch))
                && filter.worker.as_ref().is_none_or(is_of_worker)
                && filter.error.as_ref().is_none_or(has_error)
        })
    }

    fn is_in(&self, task: &Task, area: &Area) -> bool {
        let row = self.row_of(task, area.by);
        let ended = task.ended.unwrap_or(self.now_us.max(task.started));
        (area.first_row..area.end_row).contains(&row)
            && task.queued.min(task.started) < area.to_us
            && ended >= area.from_us
    }
}
