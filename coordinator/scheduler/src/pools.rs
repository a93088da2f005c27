//! Pools: limits that ops of several runs share, by name; and the coordinator's own cap, which is set in the same way.
//!
//! Both are declared when the coordinator is started, can be set while it runs, and are kept in the journal. What was set
//! holds after a restart too, until the declaration itself is another one. A pool never goes away, so that no run is left
//! with a name that means nothing.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use common::ids::{LeaseId, OpId, RunId};
use common::job::PoolName;

use crate::Record;
use crate::ledger::{CoordinatorLimits, Setting};
use crate::limits::Cap;
use crate::record::SetBy;
use crate::scheduler::Scheduler;
use crate::view::PoolView;

/// A limit shared between runs.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) limit: NonZeroU32,
    /// Units in use, over all runs.
    pub(crate) used: u32,
}

impl Scheduler {
    /// Returns the pools, by name.
    pub fn pools(&self) -> impl Iterator<Item = PoolView> + '_ {
        self.pools.iter().map(|(name, pool)| PoolView {
            name: name.clone(),
            limit: pool.limit.get(),
            used: pool.used,
            holders: self.holders(name),
        })
    }

    /// Returns the coordinator's own cap.
    pub fn coordinator_cap(&self) -> Option<NonZeroU32> {
        self.config.global_cap
    }

    /// Returns who holds units of a pool, and how many.
    pub(crate) fn holders(&self, pool: &PoolName) -> Vec<(RunId, u32)> {
        let mut holders: BTreeMap<RunId, u32> = BTreeMap::new();
        for lease in self.leases.values().filter(|lease| lease.pools.contains(pool)) {
            *holders.entry(lease.run).or_default() += 1;
        }
        holders.into_iter().collect()
    }

    /// Counts a unit of every pool of the op that a lease begins with. The lease keeps their names: its run may be
    /// forgotten before it.
    pub(crate) fn take_pool_units(&mut self, id: LeaseId, op: OpId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        let Some(run) = self.runs.get(&lease.run) else { return };
        lease.pools.clone_from(&run.job.op(op).pools);
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

    /// Sets a pool's limit.
    pub(crate) fn set_pool(&mut self, name: &PoolName, limit: NonZeroU32) {
        if let Some(pool) = self.pools.get(name) {
            self.note_lowered(Cap::Pool(name.clone()), pool.used);
        }
        let pool = self.pools.entry(name.clone()).or_insert(Pool { limit, used: 0 });
        pool.limit = limit;
    }

    /// Sets the coordinator's own cap.
    pub(crate) fn set_cap(&mut self, cap: Option<NonZeroU32>) {
        self.note_lowered(Cap::Coordinator, self.units);
        self.config.global_cap = cap;
        let ids: Vec<RunId> = self.runs.keys().copied().collect();
        self.let_begin_nothing_above(&Cap::Coordinator, &ids);
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
