//! The caps that permits are counted against.

use common::ids::{OpId, RunId};
use common::job::PoolName;

/// A number of permits that may not be exceeded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cap {
    /// The coordinator's own.
    Coordinator,
    /// A run's.
    Run(RunId),
    /// An op's own limit.
    Op(RunId, OpId),
    /// A limit shared between runs.
    Pool(PoolName),
}
