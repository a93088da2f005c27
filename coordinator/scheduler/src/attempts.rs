//! The numbers of attempts, and the budgets that they spend: a number that is used up is not given out again.
//!
//! The next attempt at an op has one more than the highest number that is known of the op and the batch. What is known
//! outlives a restart in two ways: an attempt that spent a budget, because it failed or because its worker process was
//! lost, is in the journal with its number; and a worker that comes back says what it has begun. The numbers are kept as
//! long as the batch may be begun again, so also behind the end of a run that can be reopened.
//!
//! Known weakness: grants are not journaled. An attempt that spent no budget, and that nobody holds any more when the
//! coordinator is started again, leaves no number behind.

use std::collections::{BTreeMap, BTreeSet};

use common::holdings::HeldLease;
use common::ids::{Attempt, BatchId, Halves, OpId};
use common::message::Step;
use common::slice::Slice;
use common::time::Time;
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::ledger::RunLedger;
use crate::run::{Run, RunPhase};
use crate::scheduler::Scheduler;

/// What a batch, or the ops over a whole run, have used up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budgets {
    /// Per op: the highest number that is known to be used up.
    pub attempts: BTreeMap<OpId, u32>,
    /// Per op: failures that count.
    pub failures: BTreeMap<OpId, u32>,
    /// Worker processes that were lost while they ran it, and not seen again.
    pub lost: BTreeSet<String>,
}

/// What was used up by what a run leaves undone at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedUp {
    /// By batches that are neither committed nor failed.
    pub batches: BTreeMap<BatchId, Budgets>,
    /// By the ops over the whole run.
    pub whole: Budgets,
}

impl Budgets {
    /// Notes that a number is used up.
    pub(crate) fn use_up(&mut self, op: OpId, attempt: Attempt) {
        let used = self.attempts.entry(op).or_default();
        *used = attempt.0.max(*used);
    }

    /// Notes an attempt that failed and counts.
    pub(crate) fn fail(&mut self, op: OpId, attempt: Attempt) {
        self.use_up(op, attempt);
        *self.failures.entry(op).or_default() += 1;
    }

    /// Returns fresh budgets that remember the numbers.
    pub(crate) fn refreshed(&self) -> Budgets {
        Budgets {
            attempts: self.attempts.clone(),
            ..Budgets::default()
        }
    }

    fn use_up_all(&mut self, steps: &[Step]) {
        for step in steps {
            self.use_up(step.op, step.attempt);
        }
    }
}

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
        if self.phase != RunPhase::Active || id.halves != Halves::WHOLE {
            // A half's slice waits already where it is known, and that of a run that begins nothing is found again when the
            // run is reopened.
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

impl RunLedger {
    /// Remembers attempts of a run that has ended, for the case that it is reopened.
    fn keep_attempts(&mut self, batch: Option<BatchId>, steps: &[Step]) {
        let Some(id) = batch else {
            return self.finishing.use_up_all(steps);
        };
        if let Some(failed) = self.failed.get_mut(&id) {
            failed.use_up_all(steps);
        } else if !self.committed.contains(id) && (id.halves == Halves::WHOLE || self.halves.contains_key(&id)) {
            self.budgets.entry(id).or_default().use_up_all(steps);
        }
    }
}

impl Scheduler {
    /// Remembers the attempts of a lease that a worker holds and that counts for nothing.
    pub(crate) fn keep_attempts(&mut self, held: &HeldLease, now: Time) {
        let is_possible = |ops: usize| held.steps.iter().all(|step| step.op.index() < ops);
        if let Some(run) = self.runs.get_mut(&held.run) {
            if !is_possible(run.job.ops.len()) {
                return;
            }
            match &held.batch {
                Some(batch) => run.keep_attempts(batch.id, &batch.slice, &held.steps, now),
                None => run.keep_finish_attempts(&held.steps),
            }
        } else if let Some(ended) = self.ended.get_mut(&held.run)
            && is_possible(ended.job.ops.len())
        {
            ended.keep_attempts(held.batch.as_ref().map(|batch| batch.id), &held.steps);
        }
    }
}

impl crate::FailedBatch {
    fn use_up_all(&mut self, steps: &[Step]) {
        for step in steps {
            let used = self.attempts.entry(step.op).or_default();
            *used = step.attempt.0.max(*used);
        }
    }
}
