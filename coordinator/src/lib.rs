//! Skeleton.

pub mod source;
