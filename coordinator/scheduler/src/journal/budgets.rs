//! What a batch has used up: the numbers of its attempts, its failures that count, the workers it has lost.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::{Attempt, BatchId, OpId};
use common::message::Step;
use serde::{Deserialize, Serialize};

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

    /// Notes that the numbers of attempts are used up.
    pub(crate) fn use_up_all(&mut self, steps: &[Step]) {
        for step in steps {
            self.use_up(step.op, step.attempt);
        }
    }
}
