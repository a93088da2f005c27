//! Skeleton.

pub mod batch;
mod column;
pub mod ops;
pub mod sink;
