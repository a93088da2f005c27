//! The numbers of attempts, and the budgets that they spend: a number that is used up is not given out again.
//!
//! The next attempt at an op has one more than the highest number that is known of the op and the batch. What is known
//! outlives a restart in two ways: an attempt that spent a budget, because it failed or because its worker process was
//! lost, is in the journal with its number; and a worker that comes back says what it has begun. The numbers are kept as
//! long as the batch may be begun again, so also behind the end of a run that can be reopened.
//!
//! Known weakness: grants are not journaled. An attempt that spent no budget, and that nobody holds any more when the
//! coordinator is started again, leaves no number behind.

use common::ids::{Attempt, BatchId, Halves};
use common::message::Step;
use common::slice::Slice;
use common::time::Time;

use crate::journal::budgets::UsedUp;
use crate::state::batch::Batch;
use crate::state::run::{Run, RunPhase};

impl Run {
    /// Remembers attempts at a batch that count for nothing, so that those to come have other numbers.
    pub(crate) fn keep_attempts(&mut self, id: BatchId, slice: &Slice, steps: &[Step], now: Time) {
        let known = self.batches.get_mut(&id).or_else(|| self.put_back.get_mut(&id));
        if let Some(batch) = known {
            return batch.take_attempts(steps);
        }
        if let Some(failed) = self.failed.get_mut(&id) {
            return failed.use_up_all(steps);
        }
        let is_open = if id.halves == Halves::WHOLE {
            !self.is_past(id)
        } else {
            self.halves.contains_key(&id)
        };
        if !is_open {
            return;
        }
        if self.phase != RunPhase::Active || id.halves != Halves::WHOLE || self.awaits_beginning(id) {
            // A half's slice waits already where it is known, and that of a run that begins nothing is found again when the
            // run is reopened; where a batch of a rerun begins is found with its slice.
            self.budgets.entry(id).or_default().use_up_all(steps);
            return;
        }
        let mut batch = Box::new(Batch::new(id, slice.clone(), self.job.ops.len(), now));
        batch.take_attempts(steps);
        if let Some(budgets) = self.budgets.remove(&id) {
            batch.take_budgets(&budgets);
        }
        let place = self.slices.partition_point(|(other, _)| *other < id);
        if self.slices.get(place).is_none_or(|(other, _)| *other != id) {
            self.slices.insert(place, (id, slice.clone()));
        }
        self.put_back.insert(id, batch);
    }

    /// Remembers attempts at ops over the whole run that count for nothing.
    pub(crate) fn keep_finish_attempts(&mut self, steps: &[Step]) {
        self.finishing.use_up_all(steps);
        for step in steps {
            if let Some(finish) = self.finish_op(step.op) {
                finish.attempts = finish.attempts.max(step.attempt.0);
            }
        }
    }

    /// Returns what the batches that are left undone, and the ops over the whole run, have used up.
    pub(crate) fn used_up(&self) -> UsedUp {
        let mut whole = self.finishing.refreshed();
        for finish in &self.finish {
            whole.use_up(finish.op, Attempt(finish.attempts));
        }
        UsedUp {
            batches: self.budgets.clone(),
            whole,
        }
    }
}
