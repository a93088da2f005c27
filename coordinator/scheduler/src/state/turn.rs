//! Turns: the order in which runs are served.

use std::cmp::Reverse;

use common::ids::RunId;
use common::job::Weight;

use crate::state::run::Run;

/// What a run has of the permits, for its weight: runs of equal priority are served by it, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share(u64);

/// Whether a run took turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TookTurns {
    Yes,
    No,
}

impl Share {
    /// Makes the share of a run with so many permits.
    pub(crate) fn new(units: u32, weight: Weight) -> Share {
        Share((u64::from(units) << 24) / u64::from(weight.thousandths().get()))
    }
}

/// Returns a run's place in the order in which runs are served.
pub(crate) fn turn_of(run: &Run) -> (Reverse<i32>, Share, RunId) {
    let schedule = &run.job.schedule;
    (
        Reverse(schedule.priority),
        Share::new(run.units, schedule.weight),
        run.id,
    )
}
