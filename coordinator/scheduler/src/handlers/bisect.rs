//! Bisecting: a batch that failed for good is halved, and its halves are tried again, down to the rows that are wrong.
//!
//! The scheduler knows no rows. It asks for the slice to be cut between two records ([`Command::CutSlice`]); the answer
//! is two slices, or the row if there is only one. The halves are recorded before they are begun, each with budgets of
//! its own, and wait like slices that were just found: admission counts them as it counts any other batch, and since
//! they are earlier in the source than what is not begun yet, they go first.
//!
//! Only failures that one of the rows may be the reason of are bisected. A batch that loses its workers is not: finding
//! the row would cost many more of them. A run that begins no more batches begins no halves either.

use common::failure::{Failure, FailureKind};
use common::ids::{BatchId, OpId, RunId};
use common::job::Bisect;
use common::slice::BadRow;
use common::time::Time;

use crate::interface::command::Command;
use crate::interface::event::SliceCut;
use crate::journal::record::Record;
use crate::scheduler::Scheduler;
use crate::state::batch::{BatchPhase, Place};
use crate::state::durability::AfterDurable;
use crate::state::run::RunPhase;
use crate::state::run::halves::TwoHalves;

/// Whether a failed batch is halved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halving {
    /// Its cut was asked for.
    Begun,
    /// It fails as it is.
    No,
}

impl Scheduler {
    /// Asks for the cut of a batch that failed for good, if its op wants that and it may help.
    pub(crate) fn begin_halving(&mut self, run_id: RunId, id: BatchId, op: OpId, failure: &Failure) -> Halving {
        let Some(run) = self.runs.get(&run_id) else {
            return Halving::No;
        };
        let wants = run.job.op(op).retry.bisect == Bisect::Yes && may_be_a_row(failure.kind);
        if !wants || run.phase != RunPhase::Active || id.halves.split().is_none() {
            return Halving::No;
        }
        self.place_batch(run_id, id, Place::Source);
        let Some(run) = self.runs.get_mut(&run_id) else {
            return Halving::No;
        };
        let Some(batch) = run.batches.get_mut(&id) else {
            return Halving::No;
        };
        if batch.phase == BatchPhase::Ready {
            run.ready.remove(batch.next_op(), id);
        }
        batch.phase = BatchPhase::Halving { op };
        batch.failure = Some(failure.clone());
        let slice = batch.slice.clone();
        run.recharge(id, 0);
        self.command(Command::CutSlice {
            run: run_id,
            batch: id,
            slice,
        });
        Halving::Begun
    }

    /// Goes on with a batch whose cut was asked for.
    pub(crate) fn on_slice_cut(&mut self, run_id: RunId, id: BatchId, cut: SliceCut, now: Time) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let goes_on = run.phase == RunPhase::Active;
        let Some(batch) = run.batches.get_mut(&id) else { return };
        let BatchPhase::Halving { op } = batch.phase else {
            return;
        };
        match cut {
            SliceCut::Halves { first, second } if goes_on => {
                batch.phase = BatchPhase::Halved;
                let record = Record::BatchHalved {
                    run: run_id,
                    batch: id,
                    first: first.clone(),
                    second: second.clone(),
                };
                let halves = TwoHalves { first, second };
                self.append_then(record, AfterDurable::BatchHalved(run_id, id, halves));
            }
            SliceCut::Halves { .. } | SliceCut::Unreadable => self.fail_halving(run_id, id, op, None, now),
            SliceCut::Single(row) => self.fail_halving(run_id, id, op, Some(row), now),
        }
    }

    fn fail_halving(&mut self, run: RunId, id: BatchId, op: OpId, row: Option<BadRow>, now: Time) {
        let batch = self.runs.get(&run).and_then(|run| run.batches.get(&id));
        let failure = batch.and_then(|batch| batch.failure.clone());
        let failure = failure.unwrap_or_else(|| Failure::permanent("the batch failed"));
        self.fail_batch(run, id, op, failure, row, now);
    }

    /// Puts the halves of a batch in its place, now that this cannot be lost any more.
    pub(crate) fn on_batch_halved(&mut self, run_id: RunId, id: BatchId, halves: TwoHalves, now: Time) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let phase = run.batches.get(&id).map(|batch| batch.phase);
        if phase != Some(BatchPhase::Halved) {
            return;
        }
        let Some(batch) = run.batches.remove(&id) else { return };
        run.leave_flight(batch.charged);
        run.batch_counts.total += 1;
        run.halvings += 1;
        // Whoever comes with the whole batch later, as a worker that was away at a restart, comes too late.
        run.halved.insert(id.index);
        run.halves.remove(&id);
        run.forget_checkpoints(id);
        run.given_up.remove(&id);
        run.add_halves(id, halves);
        self.advance(run_id, now);
    }
}

/// Tells whether a failure may come from one of the rows.
fn may_be_a_row(kind: FailureKind) -> bool {
    match kind {
        FailureKind::BadInput | FailureKind::Retryable | FailureKind::TimedOut | FailureKind::Panicked => true,
        FailureKind::Permanent | FailureKind::LostWorker | FailureKind::Cancelled => false,
    }
}
