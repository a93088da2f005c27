//! Live changes of limits: what is in force is replaced at once, and nothing is begun that the new limits forbid.
//!
//! A run's job in force is its submitted job with every change applied. Caps that are lowered below what is in use are
//! honoured exactly: chains are cut behind the op that runs, and nothing begins until enough has ended ([`Scheduler::note_lowered`] remembers what may be in use
//! meanwhile, for the invariants). An op that gets its first limit cuts the chains that would run into it; tasks of it that
//! run already count.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::ids::{LeaseId, OpId, RunId};
use common::job::{Job, LimitsChange};
use common::time::Time;

use crate::lease::{Lease, Permit, Truncation};
use crate::limits::{Cap, TookTurns};
use crate::rates::{Bucket, Filling};
use crate::run::Run;
use crate::scheduler::Scheduler;

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

    /// Cuts a chain that runs since before a restart behind the op that runs, if nothing of its run may begin.
    pub(crate) fn cut_if_nothing_begins(&mut self, run: RunId, lease: LeaseId) {
        let begins_nothing = self.runs.get(&run).is_some_and(Run::begins_nothing);
        let goes_on = |lease: &Lease| lease.batch.is_some() && lease.truncation == Truncation::None;
        let goes_on = self
            .leases
            .get(&lease)
            .is_some_and(|lease| goes_on(lease) && lease.has_more_steps());
        if begins_nothing && goes_on {
            self.truncate(lease);
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

    /// Takes back everything of a run that waits at workers.
    pub(crate) fn recall_all_of(&mut self, id: RunId) {
        let Some(run) = self.runs.get(&id) else { return };
        let queued: Vec<LeaseId> = run.queued.difference(&run.recalled).copied().collect();
        self.recall(id, &queued);
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

    /// Makes the buckets of a run's rates.
    pub(crate) fn fill_buckets(&mut self, id: RunId, filling: Filling, now: Time) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        for op in run.job.op_ids() {
            if let Some(rate) = run.job.op(op).rate {
                run.buckets.insert(op, Bucket::new(rate, filling, now));
            }
        }
        self.note_rated(id);
    }

    fn note_rated(&mut self, id: RunId) {
        let has_rate = self.runs.get(&id).is_some_and(|run| !run.buckets.is_empty());
        if has_rate {
            self.rated.insert(id);
        } else {
            self.rated.remove(&id);
        }
    }

    /// Remembers pools of a lease that are in use above their limits: it was granted before a restart.
    fn note_pools_of(&mut self, id: LeaseId) {
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

    /// Counts a unit of an op's own limit for a lease that began it, or begins with it.
    pub(crate) fn count_limited_op(&mut self, id: LeaseId, op: OpId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if lease.limited_op.is_some() {
            return;
        }
        lease.limited_op = Some(op);
        let run_id = lease.run;
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        run.op_units[op.index()] += 1;
        let in_use = run.op_units[op.index()];
        if run.job.op(op).max_concurrent.is_some_and(|limit| in_use > limit.get()) {
            self.note_lowered(Cap::Op(run_id, op), in_use);
        }
        self.take_pool_units(id, op);
        self.note_pools_of(id);
    }
}
