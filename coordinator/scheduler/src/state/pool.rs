//! A pool: a limit that ops of several runs share.

use std::num::NonZeroU32;

/// A limit shared between runs.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) limit: NonZeroU32,
    /// Units in use, over all runs.
    pub(crate) used: u32,
}
