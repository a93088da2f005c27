//! The cells of a tile: exact sums of time per op, flags, how two tiles become one, and the bytes that browsers get.

use super::raster::Window;

/// The most ops that are told apart in columns; those behind count as the last one.
pub(crate) const MAX_OPS: usize = 32;
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

    /// Returns the bytes of a tile as API.md has them.
    pub fn encode(&self, seal: Seal) -> Vec<u8> {
        let Window { columns, k, .. } = self.window;
        let cells = self.flags.len();
        let (busy, wait) = self.times.split_at(self.ops * cells);
        let is_used = |row: &usize| {
            let line = row * columns..(row + 1) * columns;
            self.flags[line.clone()].iter().any(|flags| *flags != 0)
                || self
                    .times
                    .chunks_exact(cells)
                    .any(|plane| plane[line.clone()].iter().any(|time| *time > 0))
        };
        let rows = (0..self.window.rows).rev().find(is_used).map_or(0, |row| row + 1);
        let shown = rows * columns;
        let mut bytes = Vec::with_capacity(16 + shown * (6 + self.ops));
        bytes.extend(b"PLT1");
        bytes.extend([u8::try_from(self.ops).unwrap_or(NO_OP), 0]);
        bytes.extend(u16::try_from(rows).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend([u8::from(seal == Seal::Sealed), 0, 0, 0, 0, 0, 0, 0]);

        let mut sums = vec![0_u64; shown];
        let mut best = vec![(0_u64, NO_OP); shown];
        for (op, plane) in (0_u8..).zip(busy.chunks_exact(cells)) {
            for ((time, sum), best) in plane[..shown].iter().zip(&mut sums).zip(&mut best) {
                *sum += time;
                if *time > best.0 {
                    *best = (*time, op);
                }
            }
        }
        bytes.extend(best.iter().map(|(_, op)| op));
        bytes.extend(&self.flags[..shown]);
        bytes.extend(sums.iter().flat_map(|time| average(*time, k).to_le_bytes()));
        bytes.extend(wait[..shown].iter().flat_map(|time| average(*time, k).to_le_bytes()));
        for plane in busy.chunks_exact(cells) {
            bytes.extend(plane[..shown].iter().zip(&sums).map(|(time, sum)| share(*time, *sum)));
        }
        bytes
    }
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
