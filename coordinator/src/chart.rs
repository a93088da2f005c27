//! The chart of a run: what pages draw from its timeline at any scale.
//!
//! Tiles, bars, tables and totals are made of a [`TimelineView`], which is a run's timeline at one moment; they are as
//! many functions of it and keep nothing. Only an [`Overview`] is kept beside it, and drawn on as rows come.
//!
//! Known weakness: a task that has not started shows its wait only when it starts.
//!
//! [`TimelineView`]: crate::timeline::TimelineView

mod cells;
pub mod fixture;
mod query;
mod raster;
#[cfg(test)]
mod tests;
mod tiles;
mod totals;
mod window;

pub use cells::{Cells, Flag, Seal, Shares, TILE_COLUMNS, TILE_ROWS};
pub use query::{Area, Found, TaskFilter};
pub use tiles::{Arrangement, Overview, TileId};
pub use totals::{Sums, Totals, WaitTimes};
pub use window::Window;
