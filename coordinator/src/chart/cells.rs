//! The cells of a tile: exact sums of time per op, flags, how two tiles become one, and the bytes that browsers get.

use std::ops::Range;

use super::window::Window;

/// The columns of a tile.
pub const TILE_COLUMNS: usize = 512;
/// The cell rows of a tile.
pub const TILE_ROWS: usize = 64;

const NO_OP: u8 = 255;

/// What is never averaged away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// An attempt failed.
    Failed,
    /// A worker was lost.
    Lost,
    /// An attempt was cancelled.
    Cancelled,
    /// A second or later attempt.
    Retried,
    /// An attempt runs.
    Running,
}

impl Flag {
    /// All of them, in the order of their bits.
    pub const ALL: [Flag; 5] = [Flag::Failed, Flag::Lost, Flag::Cancelled, Flag::Retried, Flag::Running];

    /// Returns its bit in a cell.
    pub fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Whether a tile tells each op's share of its cells: lanes are drawn as stacks of ops, batches are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shares {
    /// It does.
    Told,
    /// It does not.
    LeftOut,
}

/// Whether a tile may still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// It may.
    Open,
    /// It never will under its epoch.
    Sealed,
}

/// The cells of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cells {
    /// What they cover.
    pub window: Window,
    ops: usize,
    /// Per plane (ops, then waiting), row and column: microseconds.
    times: Vec<u64>,
    flags: Vec<u8>,
}

impl Cells {
    pub(crate) fn new(window: Window, ops: usize) -> Cells {
        let cells = window.rows * window.columns;
        Cells {
            window,
            ops,
            times: vec![0; (ops + 1) * cells],
            flags: vec![0; cells],
        }
    }

    pub(crate) fn times_mut(&mut self, plane: usize, row: usize) -> &mut [u64] {
        let Window { columns, rows, .. } = self.window;
        &mut self.times[(plane * rows + row) * columns..][..columns]
    }

    pub(crate) fn times(&self, plane: usize, row: usize) -> &[u64] {
        let Window { columns, rows, .. } = self.window;
        &self.times[(plane * rows + row) * columns..][..columns]
    }

    pub(crate) fn flags_mut(&mut self, row: usize) -> &mut [u8] {
        let columns = self.window.columns;
        &mut self.flags[row * columns..][..columns]
    }

    /// Adds the cells of the same window.
    pub(crate) fn add(&mut self, other: &Cells) {
        debug_assert_eq!((self.window, self.ops), (other.window, other.ops));
        for (mine, theirs) in self.times.iter_mut().zip(&other.times) {
            *mine += theirs;
        }
        for (mine, theirs) in self.flags.iter_mut().zip(&other.flags) {
            *mine |= theirs;
        }
    }

    /// Makes one tile of the next level out of two that lie side by side.
    pub fn merge(earlier: &Cells, later: &Cells) -> Cells {
        let half = earlier.window;
        let window = Window {
            k: half.k + 1,
            column: half.column / 2,
            ..half
        };
        let mut merged = Cells::new(window, earlier.ops);
        for (source, offset) in [(earlier, 0), (later, half.columns / 2)] {
            for (line, times) in source.times.chunks_exact(half.columns).enumerate() {
                let target = &mut merged.times[line * half.columns + offset..];
                for (column, time) in times.iter().enumerate() {
                    target[column / 2] += time;
                }
            }
            for (row, flags) in source.flags.chunks_exact(half.columns).enumerate() {
                let target = &mut merged.flags[row * half.columns + offset..];
                for (column, flag) in flags.iter().enumerate() {
                    target[column / 2] |= flag;
                }
            }
        }
        merged
    }

    /// Returns the running time in all cells, in microseconds.
    pub fn busy_us(&self) -> u64 {
        self.times[..self.ops * self.flags.len()].iter().sum()
    }

    /// Returns the waiting time in all cells, in microseconds.
    pub fn wait_us(&self) -> u64 {
        self.times[self.ops * self.flags.len()..].iter().sum()
    }

    /// Returns the flags of a cell.
    pub fn flags(&self, row: usize, column: usize) -> u8 {
        self.flags[row * self.window.columns + column]
    }

    /// Returns the bytes of a tile as API.md has them: of each row the columns between the first and the last that hold
    /// anything.
    pub fn encode(&self, seal: Seal, shares: Shares) -> Vec<u8> {
        let Window { columns, k, .. } = self.window;
        let cells = self.flags.len();
        let spans: Vec<Range<usize>> = (0..self.window.rows).map(|row| self.span(row)).collect();
        let rows = spans.iter().rposition(|span| !span.is_empty()).map_or(0, |row| row + 1);
        let spans = &spans[..rows];
        let shown: usize = spans.iter().map(Range::len).sum();
        let places = || {
            let of_row = |(row, span): (usize, &Range<usize>)| row * columns + span.start..row * columns + span.end;
            spans.iter().enumerate().flat_map(of_row)
        };
        let (busy, wait) = self.times.split_at(self.ops * cells);
        let mut sums = Vec::with_capacity(shown);
        let mut best = Vec::with_capacity(shown);
        for place in places() {
            let (mut sum, mut most, mut op) = (0, 0, NO_OP);
            for (number, plane) in (0_u8..).zip(busy.chunks_exact(cells)) {
                let time = plane[place];
                sum += time;
                if time > most {
                    (most, op) = (time, number);
                }
            }
            sums.push(sum);
            best.push(op);
        }

        let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
        let mut bytes = Vec::with_capacity(16 + 4 * rows + shown * (6 + self.ops));
        bytes.extend(b"PLT2");
        bytes.extend([
            u8::try_from(self.ops).unwrap_or(NO_OP),
            u8::from(shares == Shares::Told),
        ]);
        bytes.extend(short(rows));
        bytes.extend([u8::from(seal == Seal::Sealed), 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(spans.iter().flat_map(|span| short(span.start)));
        bytes.extend(spans.iter().flat_map(|span| short(span.len())));
        bytes.extend(sums.iter().flat_map(|time| average(*time, k).to_le_bytes()));
        bytes.extend(places().flat_map(|place| average(wait[place], k).to_le_bytes()));
        bytes.extend(best);
        bytes.extend(places().map(|place| self.flags[place]));
        if shares == Shares::Told {
            for plane in busy.chunks_exact(cells) {
                bytes.extend(places().zip(&sums).map(|(place, sum)| share(plane[place], *sum)));
            }
        }
        bytes
    }

    /// Returns the columns of a row from the first to the last that hold anything.
    fn span(&self, row: usize) -> Range<usize> {
        let flags = &self.flags[row * self.window.columns..][..self.window.columns];
        let of_flags = ends(flags, |flags| *flags != 0);
        let of_times = (0..=self.ops).filter_map(|plane| ends(self.times(plane, row), |time| *time > 0));
        let spans = of_flags.into_iter().chain(of_times);
        let wider = |one: Range<usize>, other: Range<usize>| one.start.min(other.start)..one.end.max(other.end);
        spans.reduce(wider).unwrap_or(0..0)
    }
}

/// Returns the places from the first to the last that are used, if any is.
fn ends<T>(all: &[T], is_used: impl Fn(&T) -> bool) -> Option<Range<usize>> {
    let first = all.iter().position(&is_used)?;
    let last = all.iter().rposition(&is_used)?;
    Some(first..last + 1)
}

/// How many tasks that is on average over a column, in 1/256.
fn average(time: u64, k: u32) -> u16 {
    if time == 0 {
        return 0;
    }
    let average = (u128::from(time) << 8) >> k;
    u16::try_from(average).unwrap_or(u16::MAX).max(1)
}

#[expect(clippy::cast_possible_truncation, reason = "a part of a whole is at most 255")]
fn share(time: u64, sum: u64) -> u8 {
    if time == 0 {
        return 0;
    }
    // Sums beyond 2^55 lose their lowest bits, so that the product fits.
    let cut = if sum >> 55 == 0 { 0 } else { 16 };
    let share = (time >> cut) * 255 / (sum >> cut).max(1);
    (share as u8).max(1)
}
