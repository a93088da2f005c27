//! What is kept of a batch that failed for good: enough to name it, and to try it again.

use std::collections::BTreeMap;

use common::counts::RowCounts;
use common::failure::Failure;
use common::ids::OpId;
use common::message::Step;
use common::slice::{BadRow, Slice};
use serde::{Deserialize, Serialize};

use crate::journal::budgets::Budgets;

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
    /// Returns fresh budgets, with which the batch is tried again.
    pub(crate) fn fresh_budgets(&self) -> Budgets {
        Budgets {
            attempts: self.attempts.clone(),
            ..Budgets::default()
        }
    }

    /// Notes that the numbers of attempts are used up.
    pub(crate) fn use_up_all(&mut self, steps: &[Step]) {
        for step in steps {
            let used = self.attempts.entry(step.op).or_default();
            *used = step.attempt.0.max(*used);
        }
    }
}
