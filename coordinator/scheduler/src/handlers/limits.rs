//! Live changes of limits: what is in force is replaced at once, and nothing is begun that the new limits forbid.
//!
//! A run's job in force is its submitted job with every change applied. Caps that are lowered below what is in use are
//! honoured exactly: chains are cut behind the op that runs, and nothing begins until enough has ended
//! ([`crate::rules::lowered`]). An op that gets its first limit cuts the chains that would run into it; tasks of it that run
//! already count. Pools and the coordinator's cap are set here too.

use std::num::NonZeroU32;
use std::sync::Arc;

use common::ids::{OpId, RunId};
use common::job::{Job, LimitsChange, PoolName};
use common::time::Time;

use crate::scheduler::Scheduler;
use crate::state::bucket::{Bucket, Filling};
use crate::state::cap::Cap;
use crate::state::lease::{Permit, Truncation};
use crate::state::pool::Pool;
use crate::state::turn::TookTurns;

impl Scheduler {
    /// Puts other limits of a run into force.
    pub(crate) fn change_limits(&mut self, id: RunId, change: &LimitsChange, now: Time) {
        let Some(run) = self.runs.get(&id) else { return };
        let before = Arc::clone(&run.job);
        let job = Arc::new(change.apply(&before));
        let (units, op_units) = (run.units, run.op_units.clone());
        self.note_lowered(Cap::Run(id), units);
        for op in before.op_ids() {
            self.note_lowered(Cap::Op(id, op), op_units[op.index()]);
        }
        let took_turns = self.remove_turn(id);
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.put_into_force(job);
        if took_turns == TookTurns::Yes {
            self.add_turn(id);
        }
        self.limit_what_runs(id, &before);
        self.change_buckets(id, &before, now);
        self.let_begin_nothing_above(&Cap::Run(id), &[id]);
    }

    /// Takes back what waits at workers of some runs; if a cap is exceeded, cuts their chains too, because each further op
    /// would be a new task above it.
    pub(crate) fn let_begin_nothing_above(&mut self, cap: &Cap, runs: &[RunId]) {
        let is_exceeded = self.in_use(cap).is_some_and(|(in_use, limit)| in_use > limit);
        for run in runs {
            if is_exceeded {
                self.cut_off(*run);
            } else {
                self.recall_all_of(*run);
            }
        }
    }

    /// Lets leases that were granted before an op had a limit keep to it.
    fn limit_what_runs(&mut self, id: RunId, before: &Job) {
        let Some(run) = self.runs.get(&id) else { return };
        let is_new = |op: &OpId| run.job.op(*op).has_own_limit() && !before.op(*op).has_own_limit();
        for op in run.job.op_ids().filter(is_new).collect::<Vec<_>>() {
            let of_run = self
                .leases
                .values()
                .filter(|lease| lease.run == id && lease.permit == Permit::Held);
            let mut counted = Vec::new();
            let mut cut = Vec::new();
            for lease in of_run {
                let is_next = lease.started == 0 && lease.steps[0].op == op;
                if is_next || lease.running.is_some_and(|running| running.step.op == op) {
                    counted.push(lease.id);
                } else if lease.truncation == Truncation::None
                    && lease.steps[lease.started..].iter().any(|step| step.op == op)
                {
                    cut.push(lease.id);
                }
            }
            for lease in counted {
                self.count_limited_op(lease, op);
            }
            for lease in cut {
                self.truncate(lease);
            }
        }
    }

    /// Fills the buckets of changed rates anew, from nothing.
    fn change_buckets(&mut self, id: RunId, before: &Job, now: Time) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        for op in run.job.op_ids() {
            let rate = run.job.op(op).rate;
            if rate == before.op(op).rate {
                continue;
            }
            run.buckets.remove(&op);
            if let Some(rate) = rate {
                let mut bucket = Bucket::new(rate, Filling::Nothing, now);
                let of_op = self
                    .leases
                    .values()
                    .filter(|lease| lease.run == id && lease.limited_op == Some(op));
                bucket.promised = of_op.filter_map(|lease| lease.tokens).sum();
                run.buckets.insert(op, bucket);
            }
        }
        let promised = self.leases.values().filter(|lease| {
            lease.run == id && lease.started == 0 && lease.tokens.is_none() && lease.limited_op.is_some()
        });
        for lease in promised.map(|lease| lease.id).collect::<Vec<_>>() {
            self.promise_tokens(lease);
        }
        self.note_rated(id);
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
}
