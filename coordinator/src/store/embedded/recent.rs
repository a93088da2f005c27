//! Parts that are in records and in no block yet: those behind the snapshot.
//!
//! The committer keeps them while it keeps the records, and folds both away with a snapshot; readers of parts look here
//! and at the blocks. A part may be in both for a moment, and is the same in both.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::ids::{BatchId, RunId};
use common::part::Part;

use crate::store::packed::checkpoints::Change;

/// The parts of some batches of several runs, in order.
pub(super) type PartsByBatch = BTreeMap<(RunId, BatchId), Vec<Part>>;

/// What happened to the checkpoints of some batches of several runs, in order.
pub(super) type CheckpointsByBatch = BTreeMap<(RunId, BatchId), Change>;

/// The parts behind the snapshot, shared by the committer and readers.
#[derive(Clone, Debug, Default)]
pub(super) struct RecentParts {
    parts: Arc<Mutex<PartsByBatch>>,
}

impl RecentParts {
    /// Returns what is there, for as long as the guard lives.
    pub(super) fn lock(&self) -> MutexGuard<'_, PartsByBatch> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first parts of a run behind a batch, at most so many batches.
    pub(super) fn page(&self, run: RunId, after: Option<BatchId>, limit: usize) -> BTreeMap<BatchId, Vec<Part>> {
        let parts = self.lock();
        let start = match after {
            Some(batch) => Bound::Excluded((run, batch)),
            None => Bound::Included((run, BatchId::whole(0))),
        };
        let of_run = parts
            .range((start, Bound::Unbounded))
            .take_while(|((of, _), _)| *of == run);
        let page = of_run.take(limit);
        page.map(|((_, batch), parts)| (*batch, parts.clone())).collect()
    }
}
