//! What is kept of a batch that failed for good: enough to name it, and to try it again.

use std::collections::BTreeMap;

use common::counts::RowCounts;
use common::failure::Failure;
use common::ids::{BatchId, OpId};
use common::job::OnFailure;
use common::slice::{BadRow, Slice};
use common::summary::RunFailure;
use serde::{Deserialize, Serialize};

use crate::attempts::Budgets;
use crate::batch::Batch;
use crate::ledger::Hold;
use crate::run::{Run, Sharding};

/// A batch that failed for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedBatch {
    /// The op it failed in.
    pub op: OpId,
    /// Why.
    pub failure: Failure,
    /// The piece of the source it is made of.
    pub slice: Slice,
    /// Where its rows went.
    pub rows: RowCounts,
    /// Attempts begun, per op that was begun: a later attempt goes on counting.
    pub attempts: BTreeMap<OpId, u32>,
    /// How many worker processes were lost while they ran it.
    pub crashes: u32,
    /// The row, if the batch was halved down to a single one.
    pub row: Option<BadRow>,
}

/// Whether a run goes on with the batches that have failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tolerance {
    /// They are tolerated.
    #[default]
    Within,
    /// They are too many: the policy has acted.
    Exceeded,
}

impl FailedBatch {
    /// Makes what is kept of a batch that is given up now.
    pub(crate) fn of(batch: &Batch, op: OpId, failure: Failure, row: Option<BadRow>) -> FailedBatch {
        FailedBatch {
            op,
            failure,
            slice: batch.slice.clone(),
            rows: batch.rows_when_given_up(),
            attempts: batch.attempts_begun().attempts,
            crashes: batch.crashes(),
            row,
        }
    }

    /// Returns fresh budgets, with which the batch is tried again.
    pub(crate) fn fresh_budgets(&self) -> Budgets {
        Budgets {
            attempts: self.attempts.clone(),
            ..Budgets::default()
        }
    }
}

impl Run {
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

    /// Lets a slice wait in its place among those that are not begun.
    pub(crate) fn add_slice(&mut self, id: BatchId, slice: Slice) {
        let place = self.slices.partition_point(|(other, _)| *other < id);
        self.slices.insert(place, (id, slice));
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
}
