//! Which part of a chart is drawn, and how finely.

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
