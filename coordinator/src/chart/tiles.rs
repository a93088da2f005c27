//! Tiles out of rows: few rows are drawn as they are, many were drawn before into the run's overview.
//!
//! An [`Overview`] is a grid over the whole run, fine enough that a tile which it cannot give covers only a part of the
//! run's rows; those are drawn directly. Full blocks are drawn into it once, when somebody looks; rows that may still
//! change are drawn anew for each tile. When the run outgrows the grid it is made again with wider columns.
//!
//! Known weakness: a block that holds an attempt which never ends is drawn directly each time.

use std::str::FromStr;

use super::ChartView;
use super::cells::{Cells, Seal, TILE_COLUMNS, TILE_ROWS};
use super::raster::{Raster, Window};
use super::row::{Block, Task, WHOLE_RUN};

/// The coarsest levels there are.
const MAX_LEVEL: u32 = 44;
const MAX_ROW_LEVEL: u32 = 32;
/// The size of an overview.
const OVERVIEW_COLUMNS: usize = 2_048;
const OVERVIEW_ROWS: usize = 256;

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

impl ChartView {
    /// Returns the row in which an attempt stands.
    #[inline]
    pub fn row_of(&self, task: &Task, by: Arrangement) -> u64 {
        match by {
            Arrangement::BySlot => u64::from(task.lane),
            Arrangement::ByBatch if task.batch == WHOLE_RUN => self.whole_run_row,
            Arrangement::ByBatch => u64::from(task.batch),
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
    pub fn cells(&self, by: Arrangement, window: Window) -> Cells {
        let mut raster = Raster::new(window, self.ops);
        for block in &self.blocks {
            self.draw_block(&mut raster, by, block);
        }
        raster.read(window)
    }

    fn draw_block(&self, raster: &mut Raster, by: Arrangement, block: &Block) {
        let window = raster.window();
        if !self.meets(
            block,
            by,
            (window.from_us(), window.to_us()),
            (window.first_row(), window.end_row()),
        ) {
            return;
        }
        for row in &block.rows {
            let task = row.unpack();
            raster.draw(&task, self.row_of(&task, by), self.now_us);
        }
    }

    /// Tells whether a block can hold anything of an area.
    pub(crate) fn meets(&self, block: &Block, by: Arrangement, time: (u64, u64), rows: (u64, u64)) -> bool {
        let (first, last) = match by {
            Arrangement::BySlot => (u64::from(block.lanes.0), u64::from(block.lanes.1)),
            Arrangement::ByBatch if block.batches.1 == WHOLE_RUN => (0, u64::MAX),
            Arrangement::ByBatch => (u64::from(block.batches.0), u64::from(block.batches.1)),
        };
        block.first_us < time.1 && block.last_us >= time.0 && first < rows.1 && last >= rows.0
    }
}

/// The rows of a run drawn once, for tiles that cover much of it.
#[derive(Debug)]
pub struct Overview {
    by: Arrangement,
    epoch: u32,
    raster: Raster,
    /// Which blocks are drawn.
    drawn: Vec<bool>,
}

impl Overview {
    /// Draws what cannot change any more.
    pub fn new(view: &ChartView, by: Arrangement) -> Overview {
        let window = Self::window(view, by);
        let mut overview = Overview {
            by,
            epoch: view.epoch,
            raster: Raster::new(window, view.ops),
            drawn: Vec::new(),
        };
        overview.draw_closed(view);
        overview
    }

    /// Returns a tile's cells.
    pub fn cells(&mut self, view: &ChartView, window: Window) -> Cells {
        let own = self.raster.window();
        if Self::window(view, self.by) != own || self.epoch != view.epoch {
            *self = Overview::new(view, self.by);
        }
        let own = self.raster.window();
        if window.k < own.k || window.r < own.r {
            return view.cells(self.by, window);
        }
        self.draw_closed(view);
        let mut cells = self.raster.read(window);
        let mut changing = Raster::new(window, view.ops);
        let blocks = view.blocks.iter().zip(&self.drawn);
        for (block, _) in blocks.filter(|(_, drawn)| !**drawn) {
            view.draw_block(&mut changing, self.by, block);
        }
        cells.add(&changing.read(window));
        cells
    }

    fn draw_closed(&mut self, view: &ChartView) {
        self.drawn.resize(view.blocks.len(), false);
        for (block, drawn) in view.blocks.iter().zip(&mut self.drawn) {
            if !*drawn && block.is_closed() {
                view.draw_block(&mut self.raster, self.by, block);
                *drawn = true;
            }
        }
    }

    /// The whole run in at most as many columns and rows as an overview has.
    fn window(view: &ChartView, by: Arrangement) -> Window {
        let level = |extent: u64, cells: usize| (0..=MAX_LEVEL).find(|level| extent >> level < cells as u64);
        Window {
            k: level(view.end_us, OVERVIEW_COLUMNS).unwrap_or(MAX_LEVEL),
            r: level(view.row_count(by), OVERVIEW_ROWS).unwrap_or(MAX_ROW_LEVEL),
            column: 0,
            columns: OVERVIEW_COLUMNS,
            row: 0,
            rows: OVERVIEW_ROWS,
        }
    }
}
