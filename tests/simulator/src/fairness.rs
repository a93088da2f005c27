//! FAIR SHARE: a permit goes to the run that has the fewest for its weight, among those of one priority that could use it.
//!
//! Which permits a run has follows from what was sent and reported, and its weight from the plan and the journal. That a run
//! could have used a permit is the scheduler's own word: it explains that nothing is in the way of one of its ops but a
//! free slot, or a cap that all runs share. Batches that wait at a worker and are asked back cannot use one until they are back.
//! Worlds in which a slot is not as good as another are left out.

use std::collections::BTreeMap;

use common::explain::{Explanation, Obstacle};
use common::ids::{LeaseId, OpId, RunId, SessionId};
use common::job::{Change, LimitsChange};
use common::message::Report;

use crate::plan::Exchange;
use crate::world::World;

/// What is known of shares.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    /// In thousandths.
    weights: BTreeMap<RunId, u64>,
    /// The runs that got permits in this step, in order.
    given: Vec<RunId>,
    /// Leases that wait at workers and are asked back.
    recalled: BTreeMap<LeaseId, (SessionId, RunId)>,
}

impl Shares {
    /// Notes a permit that is given to a run.
    pub(crate) fn give(&mut self, run: RunId) {
        self.given.push(run);
    }

    /// Notes that a lease is asked back.
    pub(crate) fn recall(&mut self, lease: LeaseId, session: SessionId, run: RunId) {
        self.recalled.insert(lease, (session, run));
    }

    /// Notes what a worker reports: a lease is back, or had started.
    pub(crate) fn report(&mut self, report: &Report) {
        match report {
            Report::LeaseEnded { lease, .. } | Report::OpStarted { lease, .. } => {
                self.recalled.remove(lease);
            }
            Report::ChainRan(ran) => {
                self.recalled.remove(&ran.lease);
            }
            Report::FetchStarted { .. }
            | Report::OpEnded { .. }
            | Report::Truncated { .. }
            | Report::Published { .. }
            | Report::PublishFailed { .. }
            | Report::Draining => {}
        }
    }

    /// Notes that what a session held is over.
    pub(crate) fn close(&mut self, session: SessionId) {
        self.recalled.retain(|_, (at, _)| *at != session);
    }

    /// Notes that the coordinator was started again.
    pub(crate) fn forget_recalled(&mut self) {
        self.recalled.clear();
    }

    /// Counts the leases of a run that are on their way back.
    fn coming_back(&self, run: RunId) -> usize {
        self.recalled.values().filter(|(_, of)| *of == run).count()
    }

    /// Notes the weight that a run is submitted with.
    pub(crate) fn submit(&mut self, run: RunId, weight: u32) {
        self.weights.insert(run, u64::from(weight) * 1_000);
    }

    /// Notes a change that the coordinator knows to be durable.
    pub(crate) fn change(&mut self, run: RunId, change: &LimitsChange) {
        match change.weight {
            Change::Keep => {}
            Change::Set(weight) => {
                self.weights.insert(run, u64::from(weight.thousandths().get()));
            }
            Change::Remove => {
                self.weights.insert(run, 1_000);
            }
        }
    }

    /// Tells whether so many permits are more than others, each for its run's weight.
    fn is_more(&self, (one, permits): (RunId, u64), (other, others): (RunId, u64)) -> bool {
        let weight = |run| self.weights.get(&run).copied().unwrap_or(1_000);
        permits * weight(other) > others * weight(one)
    }
}

impl World {
    /// No run got a permit while another one of its priority had fewer for its weight, and could have used it.
    pub(crate) fn check_shares(&mut self) {
        let given = std::mem::take(&mut self.oracle.shares.given);
        let Some(scheduler) = self.coordinator.as_ref().map(|c| &c.scheduler) else {
            return;
        };
        let all_alike = self
            .plan
            .workers
            .iter()
            .all(|worker| worker.lacks.is_none() && worker.exchange == Exchange::Listens);
        if given.is_empty() || !all_alike || !self.knows_what_runs() {
            return;
        }
        let priority = |run: RunId| {
            let job = self.oracle.job_of_run.get(&run);
            job.map(|job| self.plan.jobs[*job].priority)
        };
        // Permits before the one at a place of this step: what a run has now, less what it got from there on.
        let had = |run: RunId, place: usize| {
            let since = given[place..].iter().filter(|other| **other == run).count() as u64;
            u64::from(self.oracle.out.of_run(run)).saturating_sub(since)
        };
        let mut found = None;
        for other in scheduler.runs() {
            let is_passed_over = |place: &usize| {
                let run = given[*place];
                run != other
                    && priority(run) == priority(other)
                    && self
                        .oracle
                        .shares
                        .is_more((run, had(run, *place)), (other, had(other, *place)))
            };
            // What will go on behind its checkpoint in a moment has the next slot of its run.
            let is_about_to_go_on = || {
                let mut batches = scheduler.batches(other);
                batches.any(|batch| self.waits_for_checkpoint(other, batch.id))
            };
            if let Some(place) = (0..given.len()).find(is_passed_over)
                && !is_about_to_go_on()
                && scheduler
                    .explain(other)
                    .is_some_and(|explained| could_use(&explained, self.oracle.shares.coming_back(other)))
            {
                let run = given[place];
                found = Some(format!(
                    "{run} had {} permits and got another, and {other} had {}",
                    had(run, place),
                    had(other, place)
                ));
            }
        }
        if let Some(found) = found {
            self.fail("FAIR SHARE", || found);
        }
    }
}

/// Tells whether a run waits for a permit and for nothing else; so many of those that wait to begin are not back yet.
fn could_use(explained: &Explanation, coming_back: usize) -> bool {
    let is_shared =
        |obstacle: &Obstacle| matches!(obstacle, Obstacle::NoFreeSlot { .. } | Obstacle::CoordinatorCap { .. });
    let away = |op: OpId| if op == OpId::EXTRACT { coming_back as u64 } else { 0 };
    let mut ops = explained.ops.iter().filter(|op| op.waiting > away(op.op));
    ops.any(|op| !op.obstacles.is_empty() && op.obstacles.iter().all(is_shared))
}
