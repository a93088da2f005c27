//! Tiles out of rows: few rows are drawn as they are, many were drawn before into the run's overview.
//!
//! An [`Overview`] is a grid over the whole run, fine enough that a tile which it cannot give covers only a part of the
//! run's rows; those are drawn directly. By slot there are few rows, each with something in every column, so the grid has more
//! columns and fewer rows than by batch. Chunks are drawn into it once, when somebody looks; rows that may still change
//! are drawn anew for each tile. When the run outgrows the grid, its cells are merged into wider ones.

use std::ops::ControlFlow;
use std::str::FromStr;

use super::cells::{Cells, Seal, Shares, TILE_COLUMNS, TILE_ROWS};
use super::raster::{Raster, Waits};
use super::window::Window;
use crate::timeline::row::WHOLE_RUN;
use crate::timeline::{Scratch, Summary, Task, TimelineError, TimelineView};

/// The coarsest levels there are.
const MAX_LEVEL: u32 = 44;
const MAX_ROW_LEVEL: u32 = 32;
/// The size of an overview by batch.
const OVERVIEW_COLUMNS: usize = 2_048;
const OVERVIEW_ROWS: usize = 512;
/// The least and most rows and columns of one by slot, and how many cells it has at most, all ops together, unless it would
/// have too few columns.
const LANE_ROWS: (usize, usize) = (16, 256);
const LANE_COLUMNS: (usize, usize) = (2_048, 8_192);
const LANE_CELLS: usize = 1 << 20;

/// What a row of the chart is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arrangement {
    /// A batch.
    ByBatch,
    /// A slot of a worker.
    BySlot,
}

impl Arrangement {
    /// Returns its name in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Arrangement::ByBatch => "batch",
            Arrangement::BySlot => "slot",
        }
    }
}

impl FromStr for Arrangement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "batch" => Ok(Arrangement::ByBatch),
            "slot" => Ok(Arrangement::BySlot),
            _ => Err("must be batch or slot".to_owned()),
        }
    }
}

impl Arrangement {
    /// Tells whether tiles of a level of rows tell each op's share: a lane is drawn as a stack of its ops.
    pub fn shares(self, r: u32) -> Shares {
        match self {
            Arrangement::BySlot if r == 0 => Shares::Told,
            Arrangement::BySlot | Arrangement::ByBatch => Shares::LeftOut,
        }
    }
}

/// Names a tile within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// What its rows are.
    pub by: Arrangement,
    /// Its level in time.
    pub k: u32,
    /// Its level in rows.
    pub r: u32,
    /// Its place in time.
    pub i: u64,
    /// Its place in rows.
    pub j: u64,
}

impl TileId {
    /// Returns what the tile covers; `None` when it lies where no tile can be.
    pub fn window(&self) -> Option<Window> {
        if self.k > MAX_LEVEL || self.r > MAX_ROW_LEVEL {
            return None;
        }
        let column = self.i.checked_mul(TILE_COLUMNS as u64)?;
        let row = self.j.checked_mul(TILE_ROWS as u64)?;
        let fits = |place: u64, level: u32| place < 1 << (62 - level);
        (fits(column + TILE_COLUMNS as u64, self.k) && fits(row + TILE_ROWS as u64, self.r)).then_some(Window {
            k: self.k,
            r: self.r,
            column,
            columns: TILE_COLUMNS,
            row,
            rows: TILE_ROWS,
        })
    }
}

impl TimelineView {
    /// Returns the row in which an attempt stands.
    #[inline]
    pub fn row_of(&self, task: &Task, by: Arrangement) -> u64 {
        match by {
            Arrangement::BySlot => u64::from(task.lane),
            Arrangement::ByBatch if task.batch == WHOLE_RUN => self.whole_run_row,
            Arrangement::ByBatch => task.batch,
        }
    }

    /// Returns how many rows an arrangement has.
    pub fn row_count(&self, by: Arrangement) -> u64 {
        match by {
            Arrangement::ByBatch => self.batch_rows,
            Arrangement::BySlot => self.lanes.len() as u64,
        }
    }

    /// Tells whether a window never changes under this epoch.
    pub fn seal(&self, window: &Window) -> Seal {
        if window.to_us() <= self.sealed_us {
            Seal::Sealed
        } else {
            Seal::Open
        }
    }

    /// Returns the cells of a window, drawn from the rows alone.
    ///
    /// # Errors
    /// [`TimelineError`] when what is kept cannot be read.
    pub fn cells(&self, by: Arrangement, window: Window) -> Result<Cells, TimelineError> {
        let mut raster = Raster::new(window, self.ops);
        self.draw(&mut raster, by, 0)?;
        Ok(raster.read(window))
    }

    /// Draws the rows from a place on, those of attempts that run included.
    fn draw(&self, raster: &mut Raster, by: Arrangement, from: u64) -> Result<(), TimelineError> {
        let window = raster.window();
        let (time, rows) = (
            (window.from_us(), window.to_us()),
            (window.first_row(), window.end_row()),
        );
        let wants = |summary: &Summary| self.meets(summary, by, time, rows);
        self.tasks_from(from, wants, |_, task| {
            self.draw_task(raster, by, task);
            ControlFlow::Continue(())
        })
    }

    #[inline]
    fn draw_task(&self, raster: &mut Raster, by: Arrangement, task: &Task) {
        raster.draw(task, self.row_of(task, by), by.waits(task), self.now_us);
    }

    /// Tells whether any of some rows can be in an area.
    pub(crate) fn meets(&self, summary: &Summary, by: Arrangement, time: (u64, u64), rows: (u64, u64)) -> bool {
        let (first, last) = match by {
            Arrangement::BySlot => (u64::from(summary.lanes.0), u64::from(summary.lanes.1)),
            Arrangement::ByBatch if summary.whole_run > 0 => (0, u64::MAX),
            Arrangement::ByBatch => summary.batches,
        };
        by.begin_of(summary) < time.1 && summary.last_us >= time.0 && first < rows.1 && last >= rows.0
    }
}

impl Arrangement {
    /// By batch the wait of `extract` is not shown: a batch that was not begun does not wait in memory. By slot nothing
    /// waits: a gap in a lane is a slot that had nothing to do, whoever came to it later.
    pub(super) fn waits(self, task: &Task) -> Waits {
        match self {
            Arrangement::ByBatch if task.op > 0 => Waits::Shown,
            Arrangement::ByBatch | Arrangement::BySlot => Waits::Hidden,
        }
    }

    /// Returns the first microsecond in which anything is seen of an attempt. Bars show also how long a batch whose
    /// `extract` failed waited for the next attempt.
    pub(super) fn seen_from(self, task: &Task) -> u64 {
        match self {
            Arrangement::ByBatch if task.op > 0 || task.attempt > 1 => task.queued.min(task.started),
            Arrangement::ByBatch | Arrangement::BySlot => task.started,
        }
    }

    /// Returns a microsecond before which nothing is seen of any of some rows.
    pub(super) fn begin_of(self, summary: &Summary) -> u64 {
        match self {
            Arrangement::ByBatch => summary.first_us,
            Arrangement::BySlot => summary.first_started,
        }
    }
}

/// The rows of a run drawn once, for tiles that cover much of it.
#[derive(Debug)]
pub struct Overview {
    by: Arrangement,
    raster: Raster,
    /// The place behind the last row that is drawn.
    drawn: u64,
}

impl Overview {
    /// Makes an overview that nothing is drawn in yet.
    pub fn new(view: &TimelineView, by: Arrangement) -> Overview {
        Overview {
            by,
            raster: Raster::new(Self::window(view, by), view.ops),
            drawn: 0,
        }
    }

    /// Returns a tile's cells.
    ///
    /// # Errors
    /// [`TimelineError`] when what is kept cannot be read.
    pub fn cells(&mut self, view: &TimelineView, window: Window) -> Result<Cells, TimelineError> {
        let wanted = Self::window(view, self.by);
        let own = self.raster.window();
        if (wanted.columns, wanted.rows) != (own.columns, own.rows) {
            // There are more lanes than the grid was made for.
            *self = Overview::new(view, self.by);
        }
        let own = self.raster.window();
        if wanted.k > own.k || wanted.r > own.r {
            let (k, r) = (wanted.k.max(own.k), wanted.r.max(own.r));
            self.raster = self.raster.coarser(Window { k, r, ..own });
        }
        let own = self.raster.window();
        if window.k < own.k || window.r < own.r {
            return view.cells(self.by, window);
        }
        self.draw_chunks(view)?;
        let mut cells = self.raster.read(window);
        if view.rows > self.drawn || !view.running.is_empty() {
            let mut changing = Raster::new(window, view.ops);
            view.draw(&mut changing, self.by, self.drawn)?;
            cells.add(&changing.read(window));
        }
        Ok(cells)
    }

    /// Returns about how many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.raster.bytes()
    }

    /// Draws the chunks that are not drawn yet.
    fn draw_chunks(&mut self, view: &TimelineView) -> Result<(), TimelineError> {
        let mut scratch = Scratch::default();
        let drawn = self.drawn;
        for chunk in view.chunks.iter().filter(|chunk| chunk.summary.first >= drawn) {
            chunk.tasks(&mut scratch, |task| view.draw_task(&mut self.raster, self.by, &task))?;
            self.drawn = chunk.summary.first + u64::from(chunk.summary.rows);
        }
        Ok(())
    }

    /// The whole run in at most as many columns and rows as an overview has.
    fn window(view: &TimelineView, by: Arrangement) -> Window {
        let level = |extent: u64, cells: usize| (0..=MAX_LEVEL).find(|level| extent >> level < cells as u64);
        let (columns, rows) = match by {
            Arrangement::ByBatch => (OVERVIEW_COLUMNS, OVERVIEW_ROWS),
            Arrangement::BySlot => {
                let rows = (view.lanes.len() + 1)
                    .next_power_of_two()
                    .clamp(LANE_ROWS.0, LANE_ROWS.1);
                let most = (LANE_CELLS / (rows * view.ops.max(1))).clamp(LANE_COLUMNS.0, LANE_COLUMNS.1);
                (1 << most.ilog2(), rows)
            }
        };
        Window {
            k: level(view.end_us, columns).unwrap_or(MAX_LEVEL),
            r: level(view.row_count(by), rows).unwrap_or(MAX_ROW_LEVEL),
            column: 0,
            columns,
            row: 0,
            rows,
        }
    }
}
