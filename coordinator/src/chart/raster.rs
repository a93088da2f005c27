//! Drawing attempts into columns: a grid of cells that adds up time, exactly, whatever the number of attempts.
//!
//! An attempt costs the same whether it covers one column or all: its ends are added to the columns they lie in, and
//! the columns between count it by a difference (+1 where it begins to cover them whole, -1 where it stops). Reading
//! sums the differences up. One plane per op has running time, one more has waiting time, one per flag who touches.
//!
//! A grid that is finer than a tile can be read as the tile ([`Raster::read`]): that is the pyramid's base.

use super::cells::{Cells, Flag, MAX_OPS};
use super::row::{Outcome, Task};

/// Which part of the chart a grid covers: levels, the first column and cell row, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// A column is `2^k` microseconds wide.
    pub k: u32,
    /// A cell is `2^r` rows high.
    pub r: u32,
    /// The first column, counted from the run's start.
    pub column: u64,
    /// How many columns.
    pub columns: usize,
    /// The first cell row.
    pub row: u64,
    /// How many cell rows.
    pub rows: usize,
}

impl Window {
    /// Returns the first microsecond.
    pub fn from_us(&self) -> u64 {
        self.column << self.k
    }

    /// Returns the microsecond after the last.
    pub fn to_us(&self) -> u64 {
        (self.column + self.columns as u64) << self.k
    }

    /// Returns the first row.
    pub fn first_row(&self) -> u64 {
        self.row << self.r
    }

    /// Returns the row after the last.
    pub fn end_row(&self) -> u64 {
        (self.row + self.rows as u64) << self.r
    }
}

/// A grid that attempts are drawn into.
#[derive(Clone, Debug)]
pub(crate) struct Raster {
    window: Window,
    ops: usize,
    /// Per plane, row and column: time at ends of attempts.
    partial: Vec<u64>,
    /// Per plane, row and column (and one behind the last): how many more attempts cover it whole than the one before.
    cover: Vec<i32>,
    /// Per flag: the same for touching; empty until one is raised.
    touch: [Vec<i32>; Flag::ALL.len()],
    /// Whether anything is drawn in a plane's row.
    drawn: Vec<bool>,
}

impl Raster {
    pub(crate) fn new(window: Window, ops: usize) -> Raster {
        let ops = ops.clamp(1, MAX_OPS);
        let rows = (ops + 1) * window.rows;
        Raster {
            window,
            ops,
            partial: vec![0; rows * window.columns],
            cover: vec![0; rows * (window.columns + 1)],
            touch: std::array::from_fn(|_| Vec::new()),
            drawn: vec![false; rows],
        }
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Draws an attempt that stands in `row`; one that runs is drawn up to `now`.
    #[inline]
    pub(crate) fn draw(&mut self, task: &Task, row: u64, now: u64) {
        let row = (row >> self.window.r).wrapping_sub(self.window.row);
        if row >= self.window.rows as u64 {
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is less than a number of rows")]
        let row = row as usize;
        let ended = task.ended.unwrap_or_else(|| now.max(task.started));
        let plane = usize::from(task.op).min(self.ops - 1);
        self.span(plane, row, task.started, ended);
        self.span(self.ops, row, task.queued, task.started);
        match task.outcome {
            Outcome::Succeeded => {}
            Outcome::Running => self.flag(Flag::Running, row, task.started, ended),
            Outcome::Failed => self.flag(Flag::Failed, row, task.started, ended),
            Outcome::Cancelled => self.flag(Flag::Cancelled, row, task.started, ended),
            Outcome::Lost => self.flag(Flag::Lost, row, task.started, ended),
        }
        if task.attempt > 1 {
            self.flag(Flag::Retried, row, task.started, ended);
        }
    }

    #[inline]
    fn span(&mut self, plane: usize, row: usize, from: u64, to: u64) {
        let Window { k, columns, .. } = self.window;
        let origin = self.window.from_us();
        let from = from.max(origin) - origin;
        let to = to.min(self.window.to_us()).saturating_sub(origin);
        if from >= to {
            return;
        }
        let line = plane * self.window.rows + row;
        self.drawn[line] = true;
        #[expect(clippy::cast_possible_truncation, reason = "they are at most the number of columns")]
        let (first, last) = ((from >> k) as usize, (to >> k) as usize);
        let partial = &mut self.partial[line * columns..(line + 1) * columns];
        if first == last {
            partial[first] += to - from;
            return;
        }
        partial[first] += ((first as u64 + 1) << k) - from;
        if last < columns {
            partial[last] += to - ((last as u64) << k);
        }
        let cover = &mut self.cover[line * (columns + 1)..(line + 1) * (columns + 1)];
        cover[first + 1] += 1;
        cover[last] -= 1;
    }

    /// Raises a flag in every column from that of `from` to that of `to`, both included.
    fn flag(&mut self, flag: Flag, row: usize, from: u64, to: u64) {
        let Window { k, columns, rows, .. } = self.window;
        let origin = self.window.from_us();
        if from >= self.window.to_us() || to < origin {
            return;
        }
        let touch = &mut self.touch[flag as usize];
        if touch.is_empty() {
            touch.resize(rows * (columns + 1), 0);
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is cut to the number of columns")]
        let column = |at: u64| ((at.max(origin) - origin) >> k).min(columns as u64 - 1) as usize;
        let line = row * (columns + 1);
        touch[line + column(from)] += 1;
        touch[line + column(to) + 1] -= 1;
    }

    /// Reads a window whose levels are at least as coarse as the grid's, as far as the grid covers it.
    pub(crate) fn read(&self, window: Window) -> Cells {
        let own = self.window;
        debug_assert!(
            window.k >= own.k && window.r >= own.r,
            "a grid cannot be read finer than it is"
        );
        let mut cells = Cells::new(window, self.ops);
        let (by_k, by_r) = (window.k - own.k, window.r - own.r);
        let width = 1_u64 << own.k;
        for line in (0..self.drawn.len()).filter(|line| self.drawn[*line]) {
            let (plane, row) = (line / own.rows, line % own.rows);
            let Some(target) = place((own.row + row as u64) >> by_r, window.row, window.rows) else {
                continue;
            };
            let partial = &self.partial[line * own.columns..][..own.columns];
            let cover = &self.cover[line * (own.columns + 1)..][..own.columns];
            let times = cells.times_mut(plane, target);
            let mut covering = 0_i64;
            for (column, (partial, cover)) in partial.iter().zip(cover).enumerate() {
                covering += i64::from(*cover);
                let time = partial + width * covering.unsigned_abs();
                if time > 0
                    && let Some(column) = place((own.column + column as u64) >> by_k, window.column, window.columns)
                {
                    times[column] += time;
                }
            }
        }
        for flag in Flag::ALL {
            let touch = &self.touch[flag as usize];
            for (row, touch) in touch.chunks_exact(own.columns + 1).enumerate() {
                let Some(target) = place((own.row + row as u64) >> by_r, window.row, window.rows) else {
                    continue;
                };
                let flags = cells.flags_mut(target);
                let mut touching = 0;
                for (column, touch) in touch[..own.columns].iter().enumerate() {
                    touching += touch;
                    if touching > 0
                        && let Some(column) = place((own.column + column as u64) >> by_k, window.column, window.columns)
                    {
                        flags[column] |= flag.bit();
                    }
                }
            }
        }
        cells
    }
}

/// Returns where a number lies in `count` numbers from `first` on.
#[inline]
fn place(number: u64, first: u64, count: usize) -> Option<usize> {
    let place = usize::try_from(number.checked_sub(first)?).ok()?;
    (place < count).then_some(place)
}
