//! Obstacles: the predicates that say what is in the way of another task, if anything is.
//!
//! Each bound has one, which names what is in the way ([`Obstacle`]) or nothing. Granting asks whether there is one;
//! explaining shows them all. So an explanation cannot say what is not so.

use common::explain::Obstacle;
use common::ids::{BatchId, OpId};

use crate::rules::rates::tokens_for;
use crate::scheduler::Scheduler;
use crate::state::bucket::TokenWait;
use crate::state::run::Run;

impl Scheduler {
    /// Returns how many tasks of a run may run at once now: the least of its cap, the coordinator's, and the slots.
    pub(crate) fn cap_in_force(&self, run: &Run) -> u64 {
        let run_cap = run
            .job
            .schedule
            .max_concurrent
            .map_or(u64::MAX, |cap| u64::from(cap.get()));
        let global_cap = self.config.global_cap.map_or(u64::MAX, |cap| u64::from(cap.get()));
        run_cap.min(global_cap).min(self.live_slots)
    }

    /// Tells whether the coordinator's cap has room for another permit.
    pub(crate) fn has_global_room(&self) -> bool {
        self.coordinator_obstacle().is_none()
    }

    /// Tells whether a run's own cap has room for another permit.
    pub(crate) fn has_run_room(&self, run: &Run) -> bool {
        self.run_obstacle(run).is_none()
    }

    /// Tells whether an op's own limits have room for another of its tasks.
    pub(crate) fn has_op_room(&self, run: &Run, op: OpId) -> bool {
        self.op_obstacle(run, op).is_none()
    }

    /// Tells whether the coordinator's cap is in the way of another permit.
    pub(crate) fn coordinator_obstacle(&self) -> Option<Obstacle> {
        let cap = self.config.global_cap?.get();
        let used = self.units + self.former.units();
        (used >= cap).then_some(Obstacle::CoordinatorCap { cap, used })
    }

    /// Tells whether a run's own cap is in the way of another permit.
    pub(crate) fn run_obstacle(&self, run: &Run) -> Option<Obstacle> {
        let cap = run.job.schedule.max_concurrent?.get();
        let used = run.units + self.former.units();
        (used >= cap).then_some(Obstacle::RunCap { cap, used })
    }

    /// Tells whether a limit, a pool or the rate of an op is in the way of another of its tasks.
    pub(crate) fn op_obstacle(&self, run: &Run, op: OpId) -> Option<Obstacle> {
        if !run.job.op(op).has_own_limit() {
            return None;
        }
        let first = run.ready.waiting_for(op).first();
        let rate = || first.and_then(|first| self.rate_obstacle(run, op, *first));
        self.unit_obstacle(run, op).or_else(rate)
    }

    /// Tells whether a limit or a pool of an op is in the way of another of its tasks. Who holds the pool is left out.
    pub(crate) fn unit_obstacle(&self, run: &Run, op: OpId) -> Option<Obstacle> {
        let unknown = self.former.units();
        let of_job = run.job.op(op);
        if let Some(limit) = of_job.max_concurrent.map(std::num::NonZeroU32::get) {
            let used = run.op_units[op.index()] + unknown;
            if used >= limit {
                return Some(Obstacle::OpLimit { limit, used });
            }
        }
        of_job.pools.iter().find_map(|name| {
            let pool = self.pools.get(name)?;
            let (limit, used) = (pool.limit.get(), pool.used + unknown);
            (used >= limit).then(|| Obstacle::Pool {
                pool: name.clone(),
                limit,
                used,
                holders: Vec::new(),
            })
        })
    }

    /// Tells whether the rate of an op is in the way of a batch that waits for it.
    pub(crate) fn rate_obstacle(&self, run: &Run, op: OpId, batch: BatchId) -> Option<Obstacle> {
        let bucket = run.buckets.get(&op)?;
        let tokens = tokens_for(run, op, batch, &bucket.rate);
        let next = match bucket.may_promise(tokens, self.now) {
            Ok(()) => return None,
            Err(TokenWait::Until(at)) => Some(at),
            Err(TokenWait::ForStarts) => None,
        };
        Some(Obstacle::Rate {
            rate: bucket.rate,
            next,
        })
    }
}
