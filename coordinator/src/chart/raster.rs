//! Drawing attempts into columns: a grid of cells that adds up time, exactly, whatever the number of attempts.
//!
//! An attempt costs the same whether it covers one column or all: its ends are added to the columns they lie in, and
//! the columns between count it by a difference (+1 where it begins to cover them whole, -1 where it stops). Reading
//! sums the differences up. One plane per op has running time, one more has waiting time, one per flag who touches.
//!
//! A grid that is finer than a tile can be read as the tile ([`Raster::read`]): that is the pyramid's base.

use super::cells::{Cells, Flag};
use super::window::Window;
use crate::timeline::{MAX_OPS, Outcome, Task};

/// Whether an attempt's wait is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Shown,
    Hidden,
}

/// A grid that attempts are drawn into.
#[derive(Clone, Debug)]
pub(crate) struct Raster {
    window: Window,
    ops: usize,
    /// Per plane and row: time.
    lines: Vec<Line>,
    /// Per flag and row: who touches; empty until one is raised.
    touch: [Vec<Line>; Flag::ALL.len()],
}

/// What is drawn in one row of a plane, from the first column that has anything on.
#[derive(Clone, Debug, Default)]
struct Line {
    start: usize,
    cells: Vec<Cell>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// Time at ends of attempts.
    partial: u64,
    /// How many more attempts cover it whole than the one before.
    cover: i64,
}

impl Line {
    /// Makes room for the cells from `first` to `last`, both included.
    #[inline]
    fn reach(&mut self, first: usize, last: usize) -> &mut [Cell] {
        if self.cells.is_empty() {
            self.start = first;
        } else if first < self.start {
            let more = self.start - first;
            self.cells.splice(0..0, std::iter::repeat_n(Cell::default(), more));
            self.start = first;
        }
        let end = last + 1 - self.start;
        if end > self.cells.len() {
            self.cells.resize(end, Cell::default());
        }
        &mut self.cells[first - self.start..]
    }
}

impl Raster {
    pub(crate) fn new(window: Window, ops: usize) -> Raster {
        let ops = ops.clamp(1, MAX_OPS);
        Raster {
            window,
            ops,
            lines: vec![Line::default(); (ops + 1) * window.rows],
            touch: std::array::from_fn(|_| Vec::new()),
        }
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Returns about how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        let lines = self.lines.iter().chain(self.touch.iter().flatten());
        let of_line = |line: &Line| size_of::<Line>() + line.cells.capacity() * size_of::<Cell>();
        lines.map(of_line).sum()
    }

    /// Returns the same drawing in wider columns or higher rows.
    pub(crate) fn coarser(&self, window: Window) -> Raster {
        let cells = self.read(window);
        let mut raster = Raster::new(window, self.ops);
        for plane in 0..=self.ops {
            for row in 0..window.rows {
                let times = cells.times(plane, row);
                let drawn = times.iter().enumerate().filter(|(_, time)| **time > 0);
                let line = &mut raster.lines[plane * window.rows + row];
                drawn.for_each(|(column, time)| line.reach(column, column)[0].partial = *time);
            }
        }
        for flag in Flag::ALL {
            for row in 0..window.rows {
                let touched = (0..window.columns).filter(|column| cells.flags(row, *column) & flag.bit() != 0);
                touched.for_each(|column| raster.raise(flag, row, (column, column)));
            }
        }
        raster
    }

    /// Draws an attempt that stands in `row`; one that runs is drawn up to `now`.
    #[inline]
    pub(crate) fn draw(&mut self, task: &Task, row: u64, waits: Waits, now: u64) {
        let row = (row >> self.window.r).wrapping_sub(self.window.row);
        if row >= self.window.rows as u64 {
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is less than a number of rows")]
        let row = row as usize;
        let ended = task.ended.unwrap_or_else(|| now.max(task.started));
        let plane = usize::from(task.op).min(self.ops - 1);
        self.span(plane, row, task.started, ended);
        if waits == Waits::Shown {
            self.span(self.ops, row, task.queued, task.started);
        }
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
        let line = &mut self.lines[plane * self.window.rows + row];
        #[expect(clippy::cast_possible_truncation, reason = "they are at most the number of columns")]
        let (first, last) = ((from >> k) as usize, (to >> k) as usize);
        let cells = line.reach(first, last.min(columns - 1));
        if first == last {
            cells[0].partial += to - from;
            return;
        }
        cells[0].partial += ((first as u64 + 1) << k) - from;
        if last < columns {
            cells[last - first].partial += to - ((last as u64) << k);
        }
        if last > first + 1 {
            cells[1].cover += 1;
            if let Some(end) = cells.get_mut(last - first) {
                end.cover -= 1;
            }
        }
    }

    /// Raises a flag in every column from that of `from` to that of `to`, both included.
    fn flag(&mut self, flag: Flag, row: usize, from: u64, to: u64) {
        let Window { k, columns, .. } = self.window;
        let origin = self.window.from_us();
        if from >= self.window.to_us() || to < origin {
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is cut to the number of columns")]
        let column = |at: u64| ((at.max(origin) - origin) >> k).min(columns as u64 - 1) as usize;
        self.raise(flag, row, (column(from), column(to)));
    }

    fn raise(&mut self, flag: Flag, row: usize, (first, last): (usize, usize)) {
        let touch = &mut self.touch[flag as usize];
        if touch.is_empty() {
            touch.resize(self.window.rows, Line::default());
        }
        let cells = touch[row].reach(first, last + 1);
        cells[0].cover += 1;
        cells[last + 1 - first].cover -= 1;
    }

    /// Reads a window whose levels are at least as coarse as the grid's, as far as the grid covers it.
    pub(crate) fn read(&self, window: Window) -> Cells {
        let own = self.window;
        debug_assert!(
            window.k >= own.k && window.r >= own.r,
            "a grid cannot be read finer than it is"
        );
        let mut cells = Cells::new(window, self.ops);
        let by_r = window.r - own.r;
        let width = 1_u64 << own.k;
        let targets = |row: usize| place((own.row + row as u64) >> by_r, window.row, window.rows);
        for (place, line) in self.lines.iter().enumerate() {
            let (plane, row) = (place / own.rows, place % own.rows);
            let Some(target) = targets(row) else { continue };
            let times = cells.times_mut(plane, target);
            self.each_cell(line, window, |column, cell, covering| {
                times[column] += cell.partial + width * covering.unsigned_abs();
            });
        }
        for flag in Flag::ALL {
            for (row, line) in self.touch[flag as usize].iter().enumerate() {
                let Some(target) = targets(row) else { continue };
                let flags = cells.flags_mut(target);
                self.each_cell(line, window, |column, _, touching| {
                    flags[column] |= if touching > 0 { flag.bit() } else { 0 };
                });
            }
        }
        cells
    }

    /// Calls back for each cell of a line that lies in a coarser window: its column there, and how many attempts cover it.
    /// Lines that end before the window or begin behind it cost nothing: most do, where a run goes on for long.
    #[inline]
    fn each_cell(&self, line: &Line, window: Window, mut each: impl FnMut(usize, &Cell, i64)) {
        let by_k = window.k - self.window.k;
        let own = |column: u64| {
            (column << by_k)
                .saturating_sub(self.window.column)
                .saturating_sub(line.start as u64)
        };
        let (from, to) = (own(window.column), own(window.column + window.columns as u64));
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(line.cells.len());
        let to = usize::try_from(to).unwrap_or(usize::MAX).min(line.cells.len());
        if from >= to {
            return;
        }
        let mut covering: i64 = line.cells[..from].iter().map(|cell| cell.cover).sum();
        let first = self.window.column + (line.start + from) as u64;
        for (at, cell) in (first..).zip(&line.cells[from..to]) {
            covering += cell.cover;
            #[expect(clippy::cast_possible_truncation, reason = "it is less than the number of columns")]
            each(((at >> by_k) - window.column) as usize, cell, covering);
        }
    }
}

/// Returns where a number lies in `count` numbers from `first` on.
#[inline]
fn place(number: u64, first: u64, count: usize) -> Option<usize> {
    let place = usize::try_from(number.checked_sub(first)?).ok()?;
    (place < count).then_some(place)
}
