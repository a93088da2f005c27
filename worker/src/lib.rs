//! Skeleton.

pub mod batch;
pub mod ops;
pub mod sink;
