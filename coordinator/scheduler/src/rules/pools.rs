//! Pools: limits that ops of several runs share, by name. What leases hold of them is counted here.
//!
//! They and the coordinator's own cap are declared when it is started, can be set while it runs, and are kept in the
//! journal. What was set holds after a restart too, until the declaration itself is another one. A pool never goes away, so
//! that no run is left with a name that means nothing.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use common::ids::{LeaseId, OpId, RunId};
use common::job::{Job, PoolName};

use crate::journal::ledger::{CoordinatorLimits, Setting};
use crate::journal::record::{Record, SetBy};
use crate::scheduler::Scheduler;
use crate::state::pool::Pool;

impl Scheduler {
    /// Returns who holds units of a pool, and how many.
    pub(crate) fn holders(&self, pool: &PoolName) -> Vec<(RunId, u32)> {
        let mut holders: BTreeMap<RunId, u32> = BTreeMap::new();
        for lease in self.leases.values().filter(|lease| lease.pools.contains(pool)) {
            *holders.entry(lease.run).or_default() += 1;
        }
        holders.into_iter().collect()
    }

    /// Returns the job of a run that goes on, or of one that has ended and of which more is kept than its summary.
    pub(crate) fn known_job(&self, run: RunId) -> Option<Arc<Job>> {
        let live = self.runs.get(&run).map(|run| Arc::clone(&run.job));
        let ended = || {
            self.ended
                .get(&run)
                .map(|ended| Arc::new(ended.limits.apply(&ended.job)))
        };
        let checkpointed = || self.checkpointed.get(&run).map(|context| Arc::clone(&context.job));
        live.or_else(ended).or_else(checkpointed)
    }

    /// Counts a unit of every pool of the op that a lease begins with. The lease keeps their names: its run may be
    /// forgotten before it.
    pub(crate) fn take_pool_units(&mut self, id: LeaseId, op: OpId) {
        let job = self.leases.get(&id).and_then(|lease| self.known_job(lease.run));
        let (Some(job), Some(lease)) = (job, self.leases.get_mut(&id)) else {
            return;
        };
        lease.pools.clone_from(&job.op(op).pools);
        for name in &lease.pools {
            if let Some(pool) = self.pools.get_mut(name) {
                pool.used += 1;
            }
        }
    }

    /// Frees the units of pools that a lease holds.
    pub(crate) fn release_pool_units(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        for name in lease.pools.drain(..) {
            if let Some(pool) = self.pools.get_mut(&name) {
                pool.used = pool.used.saturating_sub(1);
            }
        }
    }

    /// Takes the settings over that the journal ends with, and those that are declared anew.
    pub(crate) fn settle_declared(&mut self, kept: &CoordinatorLimits) {
        let declared = self.config.global_cap;
        if kept.cap.declared == declared {
            self.config.global_cap = kept.cap.now;
        } else {
            let (cap, by) = (declared, SetBy::Start);
            self.append(Record::CapSet { cap, by });
        }
        let limits = |(name, setting): (&PoolName, &Setting)| Some((name.clone(), setting.now?));
        let mut pools: BTreeMap<PoolName, NonZeroU32> = kept.pools.iter().filter_map(limits).collect();
        for (pool, limit) in std::mem::take(&mut self.config.pools) {
            let before = kept.pools.get(&pool).and_then(|setting| setting.declared);
            if before != Some(limit) {
                pools.insert(pool.clone(), limit);
                let by = SetBy::Start;
                self.append(Record::PoolSet { pool, limit, by });
            }
        }
        let unused = |limit| Pool { limit, used: 0 };
        self.pools = pools.into_iter().map(|(name, limit)| (name, unused(limit))).collect();
    }
}
