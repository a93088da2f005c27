//! What has failed of a run, whether that is tolerated, and which worker processes its batches have lost.

use std::collections::BTreeSet;

use common::failure::Failure;
use common::ids::{BatchId, OpId};
use common::job::OnFailure;
use common::summary::RunFailure;

use crate::journal::failed::Tolerance;
use crate::journal::run_ledger::Hold;
use crate::state::run::{Run, Sharding};

impl Run {
    /// Keeps the first failure that counts.
    pub(crate) fn note_failure(&mut self, failure: &Failure, op: Option<OpId>, batch: Option<BatchId>) {
        if self.failure.is_none() {
            self.failure = Some(RunFailure {
                failure: failure.clone(),
                op,
                batch,
            });
        }
    }

    /// Judges whether the batches that have failed are tolerated. Before the whole source is sharded, the number of all
    /// batches is taken to grow as it has.
    pub(crate) fn judge_failures(&self) -> Tolerance {
        let found = self.batch_counts.total;
        let total = match self.sharding {
            Sharding::Over => found,
            Sharding::Idle | Sharding::Asked if self.bytes_sharded == 0 => found,
            Sharding::Idle | Sharding::Asked => {
                let scaled = u128::from(found) * u128::from(self.source.total_bytes()) / u128::from(self.bytes_sharded);
                u64::try_from(scaled).unwrap_or(u64::MAX).max(found)
            }
        };
        if self.job.failure.tolerates(self.failed.len() as u64, total) {
            Tolerance::Within
        } else {
            Tolerance::Exceeded
        }
    }

    /// Takes failed batches back to be tried again; those that have not failed are left alone.
    pub(crate) fn take_back_failed(&mut self, batches: &[BatchId]) {
        for id in batches {
            let Some(failed) = self.failed.remove(id) else { continue };
            self.rows -= failed.rows;
            self.batch_counts.failed -= 1;
            self.budgets.insert(*id, failed.fresh_budgets());
            if id.halves.depth() > 0 {
                self.halves.insert(*id, failed.slice.clone());
            } else if self.awaits_beginning(*id) {
                // The sharder brings where it begins with its slice.
                continue;
            } else if id.index >= self.found {
                // After a restart the sharder has not come to it yet.
                self.taken_back.insert(id.index);
            }
            self.add_slice(*id, failed.slice);
        }
        self.tolerance = Tolerance::Within;
        let first = self.failed.iter().next();
        self.failure = first.map(|(id, failed)| RunFailure {
            failure: failed.failure.clone(),
            op: Some(failed.op),
            batch: Some(*id),
        });
    }

    /// Tells whether the run was paused because too much of it has failed: then it does not end by itself.
    pub(crate) fn waits_for_somebody(&self) -> bool {
        self.hold == Hold::Paused && self.tolerance == Tolerance::Exceeded
    }

    /// Tells whether the run stays active, or paused, when more batches have failed than are tolerated.
    pub(crate) fn stays_active_past_tolerance(&self) -> bool {
        match self.job.failure.on_failure {
            OnFailure::Continue | OnFailure::Pause => true,
            OnFailure::Drain | OnFailure::Cancel => false,
        }
    }

    /// Returns the processes that each of the batches has lost that may go on.
    pub(crate) fn lost_of_batches(&self) -> impl Iterator<Item = &BTreeSet<String>> {
        let begun = self.batches.values().chain(self.put_back.values());
        let waiting = self.budgets.values().map(|budgets| &budgets.lost);
        begun.map(|batch| &batch.lost).chain(waiting)
    }

    /// Returns the same, to be changed.
    pub(crate) fn lost_of_batches_mut(&mut self) -> impl Iterator<Item = &mut BTreeSet<String>> {
        let begun = self.batches.values_mut().chain(self.put_back.values_mut());
        let waiting = self.budgets.values_mut().map(|budgets| &mut budgets.lost);
        begun.map(|batch| &mut batch.lost).chain(waiting)
    }
}
