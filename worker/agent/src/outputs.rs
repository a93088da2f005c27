//! What the agent knows of a kept output.

use std::sync::Arc;

use common::done::Past;

/// A kept output.
#[derive(Clone, Debug)]
pub(crate) struct KeptOutput {
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// What lies behind it; `None` when its lease did not say, and then it is of no use to a restarted coordinator.
    pub(crate) past: Option<Arc<Past>>,
}
