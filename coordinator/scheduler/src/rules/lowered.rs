//! Caps that are lower than what is in use of them: what may be in use meanwhile is remembered, for the invariants.

use std::collections::BTreeMap;

use common::ids::{LeaseId, RunId};

use crate::scheduler::Scheduler;
use crate::state::cap::Cap;

impl Scheduler {
    /// Returns what is in use of a cap, and the cap; `None` where there is none any more.
    pub(crate) fn in_use(&self, cap: &Cap) -> Option<(u32, u32)> {
        match cap {
            Cap::Coordinator => Some((self.units, self.config.global_cap?.get())),
            Cap::Run(run) => {
                let run = self.runs.get(run)?;
                Some((run.units, run.job.schedule.max_concurrent?.get()))
            }
            Cap::Op(run, op) => {
                let run = self.runs.get(run)?;
                Some((run.op_units[op.index()], run.job.op(*op).max_concurrent?.get()))
            }
            Cap::Pool(pool) => self.pools.get(pool).map(|pool| (pool.used, pool.limit.get())),
        }
    }

    /// Returns how much of a cap may be in use: the cap, or what was in use when it was lowered and has not ended since.
    pub(crate) fn allowed(&self, cap: &Cap) -> Option<u32> {
        let (_, limit) = self.in_use(cap)?;
        Some(self.lowered.get(cap).map_or(limit, |allowed| limit.max(*allowed)))
    }

    /// Tells whether more tasks may run than a cap over the run's tasks allows, because it was lowered.
    pub(crate) fn is_above_a_cap(&self, run: RunId) -> bool {
        let caps = [Cap::Coordinator, Cap::Run(run)];
        let mut in_use = caps.iter().filter_map(|cap| self.in_use(cap));
        in_use.any(|(in_use, limit)| in_use > limit)
    }

    /// Remembers that more of something may be in use than is about to be allowed.
    pub(crate) fn note_lowered(&mut self, cap: Cap, in_use: u32) {
        if in_use > 0 {
            self.lowered.insert(cap, in_use);
        }
    }

    /// Remembers caps that what runs since before a restart is above: they were lowered when it ran already.
    pub(crate) fn note_what_is_exceeded(&mut self, run: RunId) {
        for cap in [Cap::Coordinator, Cap::Run(run)] {
            if let Some((in_use, limit)) = self.in_use(&cap)
                && in_use > limit
            {
                self.note_lowered(cap, in_use);
            }
        }
    }

    /// Forgets caps that are honoured again, and lowers what may be in use of the others to what is.
    pub(crate) fn settle_lowered(&mut self) {
        if self.lowered.is_empty() {
            return;
        }
        let lowered = std::mem::take(&mut self.lowered);
        let still = lowered.into_iter().filter_map(|(cap, allowed)| {
            let (in_use, limit) = self.in_use(&cap)?;
            (in_use > limit).then_some((cap, allowed.min(in_use)))
        });
        self.lowered = still.collect::<BTreeMap<Cap, u32>>();
    }

    /// Remembers pools of a lease that are in use above their limits: it was granted before a restart.
    pub(crate) fn note_pools_of(&mut self, id: LeaseId) {
        let pools = self
            .leases
            .get(&id)
            .map(|lease| lease.pools.clone())
            .unwrap_or_default();
        for pool in pools {
            if let Some(held) = self.pools.get(&pool).filter(|held| held.used > held.limit.get()) {
                self.note_lowered(Cap::Pool(pool), held.used);
            }
        }
    }
}
