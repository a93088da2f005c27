//! Where the batches of a run begin anew: at their last checkpoints, the run's own or those of the run that it goes on from.

use common::ids::{BatchId, OpId};

use crate::journal::checkpoint::Checkpoint;
use crate::state::batch::{Batch, Place};
use crate::state::run::Run;

impl Run {
    /// Returns where a batch begins that has lost its data: at its last checkpoint, or in the source.
    pub(crate) fn place_to_begin(&self, id: BatchId) -> Place {
        match self.last_checkpoint(id) {
            Some(checkpoint) => Place::Checkpoint(checkpoint.part.clone()),
            None => Place::Source,
        }
    }

    /// Returns the last checkpoint of a batch that is not done: its own, or one of the run that this one goes on from.
    pub(crate) fn last_checkpoint(&self, id: BatchId) -> Option<&Checkpoint> {
        self.checkpoints.get(&id).or_else(|| self.inherited.get(&id))
    }

    /// Returns how many of a batch's ops up to one, itself included, this run has run: those behind the last checkpoint.
    pub(crate) fn ran_up_to(&self, id: BatchId, last: OpId) -> u16 {
        let before = self.last_checkpoint(id).map_or(0, |checkpoint| checkpoint.op().0 + 1);
        (last.0 + 1).saturating_sub(before)
    }

    /// Forgets the checkpoints of a batch that begins at none of them any more.
    pub(crate) fn forget_checkpoints(&mut self, id: BatchId) {
        self.checkpoints.remove(&id);
        self.inherited.remove(&id);
    }

    /// Lets a batch begin at its source, because its last checkpoint cannot be read: in a rerun also if that is found again.
    pub(crate) fn give_up_checkpoints(&mut self, id: BatchId) {
        self.forget_checkpoints(id);
        if self.rerun.is_some() {
            self.given_up.insert(id);
        }
    }

    /// Lets a batch that is begun, or begun again, go on behind its last checkpoint.
    pub(crate) fn begin_at_checkpoint(&self, batch: &mut Batch) {
        if let Some(checkpoint) = self.last_checkpoint(batch.id) {
            batch.place = Place::Checkpoint(checkpoint.part.clone());
            batch.take_done_ops(&checkpoint.done);
        }
    }

    /// Tells whether it is not known yet where a batch begins: the run goes on from others, and what those kept of it comes
    /// with its slice.
    pub(crate) fn awaits_beginning(&self, id: BatchId) -> bool {
        let is_found = id.index < self.found || id.halves.depth() > 0 || self.given_up.contains(&id);
        self.rerun.is_some() && !is_found && self.last_checkpoint(id).is_none()
    }

    /// Tells whether an op was acknowledged to be done on a batch for good.
    pub(crate) fn is_behind_checkpoint(&self, id: BatchId, op: OpId) -> bool {
        self.last_checkpoint(id).is_some_and(|last| op <= last.op())
    }
}
