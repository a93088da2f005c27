//! The halves of a batch that was cut in two: they wait in its place.

use common::ids::BatchId;
use common::slice::Slice;

use crate::state::run::{Run, RunPhase};

/// Two slices that a batch is cut into.
#[derive(Debug)]
pub(crate) struct TwoHalves {
    pub(crate) first: Slice,
    pub(crate) second: Slice,
}

impl Run {
    /// Tells whether a half is there to be worked on, made of this piece of the source: it is neither committed nor failed nor cut
    /// itself.
    pub(crate) fn is_open_half(&self, id: BatchId, slice: &Slice) -> bool {
        self.halves.get(&id) == Some(slice)
    }

    /// Keeps the halves of a batch, and lets them wait to be begun if the run begins any.
    pub(crate) fn add_halves(&mut self, id: BatchId, halves: TwoHalves) {
        let Some((first, second)) = id.halves.split() else {
            return;
        };
        for (half, slice) in [(first, halves.first), (second, halves.second)] {
            let half = BatchId { halves: half, ..id };
            self.halves.insert(half, slice.clone());
            if self.phase == RunPhase::Active {
                self.add_slice(half, slice);
            }
        }
    }
}
