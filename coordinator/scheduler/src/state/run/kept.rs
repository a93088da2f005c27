//! A run made from what is kept of it, and what is kept of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::ids::RunId;
use common::summary::RunFailure;

use crate::interface::event::NewRun;
use crate::journal::ending::Ending;
use crate::journal::failed::Tolerance;
use crate::journal::run_ledger::{Hold, RunLedger};
use crate::state::run::{Run, RunPhase, Sharding, Told};

impl Run {
    /// Makes a run from what its records add up to.
    pub(crate) fn from_ledger(id: RunId, ledger: &RunLedger) -> Run {
        let new = NewRun {
            run: id,
            job: Arc::clone(&ledger.job),
            source: Arc::clone(&ledger.source),
            seed: ledger.seed,
            request_id: ledger.request_id.clone(),
            rerun: ledger.rerun.clone(),
        };
        let mut run = Run::new(new, ledger.accepted);
        run.phase = RunPhase::Active;
        run.put_into_force(Arc::new(ledger.limits.apply(&ledger.job)));
        run.hold = ledger.hold;
        run.cancelled = ledger.cancelled;
        run.committed = ledger.committed.clone();
        run.batch_counts.committed = ledger.committed_count;
        run.batch_counts.failed = ledger.failed.len() as u64;
        run.has_started = ledger.started;
        run.begun = ledger.committed_count + run.batch_counts.failed;
        run.rows = ledger.rows;
        run.first_loaded = ledger.first_loaded;
        run.task_counts.succeeded = ledger.succeeded;
        run.take_marks(ledger.marks);
        run.checkpoints = ledger.checkpoints.clone();
        run.given_up = ledger.given_up.clone();
        run.budgets = ledger.budgets.clone();
        run.finishing = ledger.finishing.clone();
        run.committed_ops = ledger.run_ops.clone();
        for (batch, failed) in &ledger.failed {
            run.note_failure(&failed.failure, Some(failed.op), Some(*batch));
        }
        run.failed = ledger.failed.clone();
        run.tolerance = ledger.tolerance;
        run.reopened = ledger.reopened;
        run.told = Told {
            limits: ledger.limits.clone(),
            activity: ledger.activity.clone(),
        };
        run.halves = ledger.halves.clone();
        run.halvings = ledger.halvings;
        let halves = ledger.halves.keys().chain(ledger.failed.keys()).copied();
        let halves = halves
            .filter(|batch| batch.halves.depth() > 0)
            .chain(ledger.committed.halves());
        run.halved = halves.map(|batch| batch.index).collect();
        run.batch_counts.total = ledger.halvings;
        if let Some(RunFailure { failure, op, batch }) = &ledger.failing {
            run.note_failure(failure, *op, *batch);
        }
        let exceeds = ledger.tolerance == Tolerance::Exceeded && !run.stays_active_past_tolerance();
        if ledger.failing.is_some() || exceeds {
            run.phase = RunPhase::Draining(Ending::Failed);
        } else {
            run.slices = ledger.halves.clone().into_iter().collect();
        }
        if let Some(finishing) = ledger.ends {
            run.phase = RunPhase::Finishing(finishing.ending);
            run.slices.clear();
            run.sharding = Sharding::Over;
            run.finish_after = finishing.after;
            run.batch_counts.total = finishing.batches;
            run.bytes_sharded = finishing.bytes_sharded;
        }
        run
    }

    /// Returns what the run would go on from if it were reopened after its end.
    pub(crate) fn into_ledger(self) -> RunLedger {
        let mut rows = self.rows;
        rows -= self.rows_given_up;
        let used = self.used_up();
        let marks = self.marks();
        RunLedger {
            seed: self.context.seed,
            job: self.job,
            source: self.source,
            request_id: self.request_id,
            accepted: self.accepted,
            started: self.has_started,
            committed: self.committed,
            committed_count: self.batch_counts.committed,
            failed: self.failed,
            tolerance: self.tolerance,
            halves: self.halves,
            halvings: self.halvings,
            rows,
            first_loaded: self.first_loaded,
            succeeded: self.task_counts.succeeded,
            marks,
            checkpoints: self.checkpoints,
            given_up: self.given_up,
            rerun: self.rerun,
            budgets: used.batches,
            finishing: used.whole,
            run_ops: BTreeMap::new(),
            ends: None,
            failing: None,
            cancelled: None,
            hold: Hold::GoesOn,
            limits: self.told.limits,
            activity: self.told.activity,
            reopened: self.reopened,
        }
    }
}
