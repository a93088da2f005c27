//! Where the batches begin of a run that runs the later ops of another one again: at that one's checkpoints.
//!
//! The source is cut as for any run, because the batches are pieces of it; beside each page of slices the journal's
//! archive is asked for the checkpoints of the same batches. What has none, because it failed or was halved before, begins
//! at its slice. All of it runs on a thread that may block.

use std::sync::Arc;

use common::failure::Failure;
use scheduler::{Origin, Rerun};

use super::{FoundSlices, SliceFinder};
use crate::store::{Archive, beginnings};

/// Finds slices, and the checkpoints of their batches.
pub(super) struct RerunFinder {
    slices: Box<dyn SliceFinder>,
    archive: Arc<dyn Archive>,
    origins: Vec<Origin>,
    /// The number of the next batch.
    next: u64,
}

impl RerunFinder {
    /// Finds the slices of a run beside what it goes on from, if it does.
    pub(super) fn beside(
        slices: Box<dyn SliceFinder>,
        rerun: Option<&Rerun>,
        archive: &Arc<dyn Archive>,
    ) -> Box<dyn SliceFinder> {
        match rerun {
            None => slices,
            Some(rerun) => Box::new(RerunFinder {
                slices,
                archive: Arc::clone(archive),
                origins: rerun.origins.clone(),
                next: 0,
            }),
        }
    }
}

impl SliceFinder for RerunFinder {
    fn next_slices(&mut self, count: u32) -> Result<FoundSlices, Failure> {
        let found = self.slices.next_slices(count)?;
        let (first, end) = (self.next, self.next + found.slices.len() as u64);
        self.next = end;
        let mut checkpoints = Vec::new();
        let mut from = Some(first);
        while let Some(begin) = from.filter(|from| *from < end) {
            let page = usize::try_from(end - begin).unwrap_or(usize::MAX);
            let found = beginnings(&*self.archive, &self.origins, begin, page)
                .map_err(|error| Failure::permanent(error.to_string()))?;
            from = found.next;
            checkpoints.extend(found.kept.into_iter().filter(|(batch, _)| batch.index < end));
        }
        Ok(FoundSlices { checkpoints, ..found })
    }
}
