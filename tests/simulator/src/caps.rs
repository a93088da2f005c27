//! CAP, POOL: what truly runs is within every cap and pool, through restarts, partitions and changes.
//!
//! Which limit holds follows from the plan and from the journal alone ([`crate::bounds`]). What runs above a limit that was
//! lowered may run to its end, and nothing takes its place.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use common::ids::{OpId, RunId};
use common::job::{Change, Job, LimitsChange, PoolName, Rate};
use common::steering::RunCommand;
use common::time::Time;
use scheduler::{Record, RecordSequence};

use crate::bounds::{Bound, Known};
use crate::jobs;
use crate::plan::Plan;
use crate::sabotage::Sabotage;
use crate::world::World;

/// The limits as the plan and the journal have them.
#[derive(Debug, Default)]
pub(crate) struct Caps {
    /// The cap over all runs.
    all: Bound,
    /// The caps of runs.
    runs: BTreeMap<RunId, Bound>,
    /// The limits of ops.
    ops: BTreeMap<(RunId, OpId), Bound>,
    /// The bounds of runs on batches in flight, where they have one.
    windows: BTreeMap<RunId, Bound>,
    /// The limits shared between runs.
    pools: Vec<Bound>,
    /// Changes of rates that are durable, and that the coordinator does not know to be.
    untold_rates: Vec<(RecordSequence, RunId, LimitsChange)>,
    /// Until when a restarted coordinator does not know what runs.
    unknown_until: Time,
}

impl Caps {
    pub(crate) fn new(plan: &Plan) -> Caps {
        Caps {
            all: Bound::new(plan.terms.global_cap),
            pools: plan.terms.pools.iter().map(|limit| Bound::new(Some(*limit))).collect(),
            ..Caps::default()
        }
    }

    fn bounds(&mut self) -> impl Iterator<Item = &mut Bound> {
        let of_runs = self.runs.values_mut().chain(self.windows.values_mut());
        let of_runs = of_runs.chain(self.ops.values_mut());
        of_runs.chain(&mut self.pools).chain(std::iter::once(&mut self.all))
    }
}

impl World {
    /// Notes the limits of a run that is submitted.
    pub(crate) fn note_limits_of(&mut self, run: RunId, job: usize) {
        let plan = &self.plan.jobs[job];
        self.oracle.caps.runs.insert(run, Bound::new(plan.cap));
        self.oracle.caps.windows.insert(run, Bound::new(plan.max_in_flight));
        self.oracle.shares.submit(run, plan.weight);
        for (place, op) in plan.ops.iter().enumerate() {
            let id = OpId(place as u16 + 1);
            self.oracle.caps.ops.insert((run, id), Bound::new(op.limit));
        }
    }

    /// Returns the pool that an op takes a unit of.
    fn pool_of(&self, run: RunId, op: OpId) -> Option<usize> {
        let plan = &self.plan.jobs[*self.oracle.job_of_run.get(&run)?];
        plan.ops[op.index().checked_sub(1)?].pool
    }

    /// What truly runs is within every cap and pool.
    pub(crate) fn check_caps(&mut self) {
        let mut all = 0_u32;
        let mut of_runs: BTreeMap<RunId, u32> = BTreeMap::new();
        let mut of_ops: BTreeMap<(RunId, OpId), u32> = BTreeMap::new();
        let mut of_pools: BTreeMap<usize, u32> = BTreeMap::new();
        for ((process, _), (run, op)) in &self.oracle.running {
            let counts = self
                .processes
                .get(process)
                .is_some_and(|process| process.counts_from <= self.now);
            if !counts {
                continue;
            }
            all += 1;
            *of_runs.entry(*run).or_default() += 1;
            *of_ops.entry((*run, *op)).or_default() += 1;
            if let Some(pool) = self.pool_of(*run, *op) {
                *of_pools.entry(pool).or_default() += 1;
            }
        }
        let exceeds = |bound: Option<&Bound>, running: u32| {
            let allowed = bound.and_then(Bound::allowed);
            allowed
                .is_some_and(|allowed| running > allowed)
                .then_some((running, allowed))
        };
        let caps = &self.oracle.caps;
        let mut found = exceeds(Some(&caps.all), all).map(|over| ("CAP", format!("in all, {over:?}")));
        for (run, running) in of_runs {
            let over = exceeds(caps.runs.get(&run), running);
            found = found.or(over.map(|over| ("CAP", format!("of {run}, {over:?}"))));
        }
        for ((run, op), running) in of_ops {
            let over = exceeds(caps.ops.get(&(run, op)), running);
            found = found.or(over.map(|over| ("CAP", format!("of {run}/op {}, {over:?}", op.0))));
        }
        for (pool, running) in of_pools {
            let over = exceeds(caps.pools.get(pool), running);
            found = found.or(over.map(|over| ("POOL", format!("of pool {pool}, {over:?}"))));
        }
        if let Some((oracle, text)) = found {
            self.fail(oracle, || format!("more tasks run than may: {text}"));
        }
    }

    /// Returns a cap over all runs as the scheduler is told it.
    pub(crate) fn told_cap(&self, cap: Option<u32>) -> Option<NonZeroU32> {
        let factor = self.cap_factor();
        cap.and_then(|cap| NonZeroU32::new(cap * factor))
    }

    /// Gives the ops of a job the pools and rates as the scheduler is told them.
    pub(crate) fn limit_ops(&self, job: usize, told: &mut Job) {
        if self.sabotage == Sabotage::WeightsIgnored {
            told.schedule.weight = jobs::weight(1);
        }
        for (op, plan) in told.ops.iter_mut().skip(1).zip(&self.plan.jobs[job].ops) {
            op.rate = plan.rate.map(|rate| self.told_rate(rate));
            op.pools = plan.pool.map(|pool| self.pool_name(pool, job)).into_iter().collect();
        }
    }

    /// Returns a rate as the scheduler is told it: that of all workers, unless each is to have the whole of it.
    pub(crate) fn told_rate(&self, rate: Rate) -> Rate {
        if self.sabotage != Sabotage::RatePerWorker {
            return rate;
        }
        let workers = self.plan.workers.len() as u32;
        Rate {
            limit: rate.limit * f64::from(workers),
            burst: rate
                .burst
                .saturating_mul(NonZeroU32::new(workers).unwrap_or(NonZeroU32::MIN)),
            ..rate
        }
    }

    /// Returns the pools as the coordinator is started with them.
    pub(crate) fn declared_pools(&self) -> BTreeMap<PoolName, NonZeroU32> {
        let jobs = 0..self.plan.jobs.len();
        let pools = self.plan.terms.pools.iter().enumerate();
        let limits = pools.flat_map(|(pool, limit)| {
            let limit = NonZeroU32::new(*limit).unwrap_or(NonZeroU32::MIN);
            jobs.clone().map(move |job| (self.pool_name(pool, job), limit))
        });
        limits.collect()
    }

    /// Returns the names that a pool goes by for a job: the same for all, unless each run is to have its own.
    pub(crate) fn pool_name(&self, pool: usize, job: usize) -> PoolName {
        let name = if self.sabotage == Sabotage::PoolPerRun {
            format!("pool-{pool}-of-{job}")
        } else {
            format!("pool-{pool}")
        };
        PoolName::new(&name).expect("is a name")
    }

    /// Notes a limit that is durable: a higher one may be used from now on.
    pub(crate) fn note_durable_limit(&mut self, record: &Record) {
        let sequence = self.disk.durable_up_to();
        match record {
            Record::CapSet { cap, .. } => {
                let cap = cap.map(|cap| cap.get() / self.cap_factor());
                self.oracle.caps.all.note(sequence, cap);
            }
            Record::PoolSet { pool, limit, .. } => {
                if let Some(bound) = self
                    .place_of(pool)
                    .and_then(|place| self.oracle.caps.pools.get_mut(place))
                {
                    bound.note(sequence, Some(limit.get()));
                }
            }
            Record::RunCommanded { run, activity } => {
                if let RunCommand::ChangeLimits(change) = &activity.command {
                    self.note_durable_change(*run, change, sequence);
                }
            }
            Record::RunAccepted { .. }
            | Record::RunStarted { .. }
            | Record::MarksRisen { .. }
            | Record::WorkerReturned { .. }
            | Record::SessionOpened { .. }
            | Record::SessionClosed { .. }
            | Record::BatchCommitted { .. }
            | Record::AttemptFailed { .. }
            | Record::WorkerCrashed { .. }
            | Record::BatchFailed { .. }
            | Record::BatchCheckpointed { .. }
            | Record::CheckpointLost { .. }
            | Record::BatchHalved { .. }
            | Record::FailedRetried { .. }
            | Record::RunReopened { .. }
            | Record::RunFailing { .. }
            | Record::RunFinishing { .. }
            | Record::RunOpCommitted { .. }
            | Record::RunEnded { .. } => {}
        }
    }

    fn note_durable_change(&mut self, run: RunId, change: &LimitsChange, sequence: RecordSequence) {
        let factor = self.cap_factor();
        let caps = &mut self.oracle.caps;
        caps.untold_rates.push((sequence, run, change.clone()));
        let limit_of = |change: &Change<NonZeroU32>| match change {
            Change::Keep => None,
            Change::Set(limit) => Some(Some(limit.get())),
            Change::Remove => Some(None),
        };
        if let (Some(limit), Some(bound)) = (limit_of(&change.max_concurrent), caps.runs.get_mut(&run)) {
            bound.note(sequence, limit.map(|limit| limit / factor));
        }
        if let (Some(limit), Some(bound)) = (limit_of(&change.max_in_flight), caps.windows.get_mut(&run)) {
            bound.note(sequence, limit);
        }
        for (op, change) in &change.ops {
            if let (Some(limit), Some(bound)) = (limit_of(&change.max_concurrent), caps.ops.get_mut(&(run, *op))) {
                bound.note(sequence, limit);
            }
        }
    }

    /// Notes that the coordinator knows what is durable: lower limits bind it.
    pub(crate) fn note_told_limits(&mut self, told: RecordSequence) {
        for bound in self.oracle.caps.bounds() {
            bound.tell(told);
        }
        let untold = std::mem::take(&mut self.oracle.caps.untold_rates);
        for (sequence, run, change) in untold {
            if sequence <= told {
                self.oracle.shares.change(run, &change);
                self.note_changed_rates(run, &change);
            } else {
                self.oracle.caps.untold_rates.push((sequence, run, change));
            }
        }
    }

    /// Returns the bound on a run's batches in flight that the coordinator knows to be durable, and how many may be now.
    pub(crate) fn window_of(&self, run: RunId) -> (Option<u32>, Option<u32>) {
        let bound = self.oracle.caps.windows.get(&run);
        (bound.and_then(Bound::in_force), bound.and_then(Bound::allowed))
    }

    /// Tells whether the coordinator is up for long enough to know what workers hold.
    pub(crate) fn knows_what_runs(&self) -> bool {
        self.coordinator.is_some() && self.now >= self.oracle.caps.unknown_until
    }

    /// A limit that is lowered binds new tasks at once, and those that run when they end.
    pub(crate) fn settle_limits(&mut self) {
        let known = if self.knows_what_runs() { Known::Yes } else { Known::No };
        let of_pools: Vec<u32> = (0..self.plan.terms.pools.len())
            .map(|pool| self.oracle.out.at(|run, op| self.pool_of(run, op) == Some(pool)))
            .collect();
        let scheduler = self.coordinator.as_ref().map(|c| &c.scheduler);
        let in_flight = |run| scheduler.and_then(|scheduler| Some(scheduler.summary(run)?.batches_in_flight.now));
        let (caps, out) = (&mut self.oracle.caps, &self.oracle.out);
        for (run, bound) in &mut caps.windows {
            // The scheduler's own check counts the batches behind this number.
            bound.settle(in_flight(*run).unwrap_or(0) as u32, known);
        }
        caps.all.settle(out.all(), known);
        for (run, bound) in &mut caps.runs {
            bound.settle(out.of_run(*run), known);
        }
        for ((run, op), bound) in &mut caps.ops {
            bound.settle(out.at(|of, at| (of, at) == (*run, *op)), known);
        }
        for (bound, held) in caps.pools.iter_mut().zip(of_pools) {
            bound.settle(held, known);
        }
    }

    /// ACK-DURABLE: a cap that is granted cannot be lost any more.
    pub(crate) fn check_acknowledged_cap(&mut self, cap: Option<NonZeroU32>) {
        let cap = cap.map(|cap| cap.get() / self.cap_factor());
        let is_durable = self.oracle.caps.all.was_durable(cap);
        self.require(is_durable, "ACK-DURABLE", || {
            format!("cap {cap:?} is granted, and not durable")
        });
    }

    /// ACK-DURABLE: so is the limit of a pool.
    pub(crate) fn check_acknowledged_pool(&mut self, pool: &PoolName, limit: NonZeroU32) {
        let bound = self.place_of(pool).and_then(|place| self.oracle.caps.pools.get(place));
        let is_durable = bound.is_some_and(|bound| bound.was_durable(Some(limit.get())));
        self.require(is_durable, "ACK-DURABLE", || {
            format!("pool {pool} is granted {limit}, which is not durable")
        });
    }

    fn place_of(&self, pool: &PoolName) -> Option<usize> {
        let of_name = |place: &usize| (0..self.plan.jobs.len()).any(|job| self.pool_name(*place, job) == *pool);
        (0..self.plan.terms.pools.len()).find(of_name)
    }

    /// A coordinator that was started goes on with what is durable.
    pub(crate) fn note_restart(&mut self) {
        let terms = &self.plan.terms;
        self.oracle.caps.unknown_until = self.now + terms.lease_time + terms.lease_margin + Duration::from_millis(1);
        self.oracle.out.clear();
        self.oracle.shares.forget_recalled();
        self.oracle.begun.forget_batches();
        self.note_told_limits(self.disk.durable_up_to());
        self.settle_limits();
        let in_force = self.oracle.caps.all.in_force();
        let goes_on_with = self.coordinator.as_ref().and_then(|c| c.scheduler.coordinator_cap());
        let same = goes_on_with == self.told_cap(in_force);
        self.require(same, "REPLAY=LIVE", || {
            format!("the coordinator goes on with cap {goes_on_with:?}, durable is {in_force:?}")
        });
    }

    /// Returns how many permits the scheduler has given out.
    pub(crate) fn held(&self) -> u32 {
        let workers = self.coordinator.iter().flat_map(|c| c.scheduler.workers());
        workers.map(|worker| worker.busy).sum()
    }
}
