//! CAP: what truly runs is within every cap, through restarts, partitions and changes.
//!
//! Which cap over all runs holds follows from the journal alone. One that was asked for counts from when its record is
//! durable: a higher one may be used from then on, and a lower one binds what is granted from when the coordinator knows
//! that it is durable. What runs above a lowered cap may run to its end, and nothing takes its place.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use common::ids::{OpId, RunId};
use common::time::Time;
use scheduler::{Record, RecordSequence};

use crate::plan::Plan;
use crate::world::World;

/// The cap over all runs as the journal has it.
#[derive(Debug, Default)]
pub(crate) struct GlobalCap {
    /// The cap that the coordinator knows to be durable; none is no bound.
    in_force: Option<u32>,
    /// Caps that are durable, in order, and that the coordinator does not know to be.
    untold: Vec<(RecordSequence, Option<u32>)>,
    /// How many tasks may run in all: the cap, or what was held when it was lowered.
    allowed: Option<u32>,
    /// Until when a restarted coordinator does not know what runs.
    unknown_until: Time,
    /// Every cap that was ever durable.
    ever: BTreeSet<Option<u32>>,
}

impl GlobalCap {
    pub(crate) fn new(plan: &Plan) -> GlobalCap {
        GlobalCap {
            in_force: plan.terms.global_cap,
            allowed: plan.terms.global_cap,
            ever: BTreeSet::from([plan.terms.global_cap]),
            ..GlobalCap::default()
        }
    }

    /// Returns the highest of the cap in force and those that are durable behind it.
    fn highest(&self) -> Option<u32> {
        self.untold.iter().fold(self.in_force, |highest, (_, cap)| {
            highest.zip(*cap).map(|(one, other)| one.max(other))
        })
    }
}

impl World {
    /// CAP: what truly runs is within every cap.
    pub(crate) fn check_caps(&mut self) {
        let mut all = 0_u32;
        let mut of_runs: BTreeMap<RunId, u32> = BTreeMap::new();
        let mut of_ops: BTreeMap<(RunId, OpId), u32> = BTreeMap::new();
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
        }
        let allowed = self.oracle.cap.allowed;
        self.require(allowed.is_none_or(|allowed| all <= allowed), "CAP", || {
            format!("{all} tasks run, {allowed:?} may")
        });
        for (run, running) in of_runs {
            let cap = self.plan.jobs[self.oracle.job_of_run[&run]].cap;
            self.require(cap.is_none_or(|cap| running <= cap), "CAP", || {
                format!("{running} tasks of {run} run, {cap:?} may")
            });
        }
        for ((run, op), running) in of_ops {
            let ops = &self.plan.jobs[self.oracle.job_of_run[&run]].ops;
            let limit = op.index().checked_sub(1).and_then(|place| ops[place].limit);
            self.require(limit.is_none_or(|limit| running <= limit), "CAP", || {
                format!("{running} tasks of {run}/op {} run, {limit:?} may", op.0)
            });
        }
    }

    /// Returns a cap over all runs as the scheduler is told it.
    pub(crate) fn told_cap(&self, cap: Option<u32>) -> Option<NonZeroU32> {
        let factor = self.cap_factor();
        cap.and_then(|cap| NonZeroU32::new(cap * factor))
    }

    /// Notes a cap that is durable: a higher one may be used from now on.
    pub(crate) fn note_durable_cap(&mut self, record: &Record) {
        let Record::CapSet { cap, .. } = record else { return };
        let cap = cap.map(|cap| cap.get() / self.cap_factor());
        let sequence = self.disk.durable_up_to();
        self.oracle.cap.untold.push((sequence, cap));
        self.oracle.cap.ever.insert(cap);
        self.note_cap_change();
    }

    /// Notes that the coordinator knows what is durable: a lower cap binds it.
    pub(crate) fn note_told_caps(&mut self, told: RecordSequence) {
        let cap = &mut self.oracle.cap;
        let known = cap.untold.iter().take_while(|(sequence, _)| *sequence <= told).count();
        if let Some((_, last)) = cap.untold.drain(..known).next_back() {
            cap.in_force = last;
        }
    }

    /// A cap that is lowered binds new tasks at once, and those that run when they end.
    pub(crate) fn note_cap_change(&mut self) {
        let held = self.held();
        let unknown = self.coordinator.is_none() || self.now < self.oracle.cap.unknown_until;
        let before = self.oracle.cap.allowed;
        self.oracle.cap.allowed = self.oracle.cap.highest().map(|cap| match before {
            Some(allowed) if unknown => cap.max(allowed),
            Some(allowed) => cap.max(allowed.min(held)),
            None if unknown => u32::MAX,
            None => cap.max(held),
        });
    }

    /// ACK-DURABLE: a cap that is granted cannot be lost any more.
    pub(crate) fn check_acknowledged_cap(&mut self, cap: Option<NonZeroU32>) {
        let cap = cap.map(|cap| cap.get() / self.cap_factor());
        let is_durable = self.oracle.cap.ever.contains(&cap);
        self.require(is_durable, "ACK-DURABLE", || {
            format!("cap {cap:?} is granted, and not durable")
        });
    }

    /// A coordinator that was started goes on with what is durable.
    pub(crate) fn note_restart(&mut self) {
        let terms = &self.plan.terms;
        self.oracle.cap.unknown_until = self.now + terms.lease_time + terms.lease_margin + Duration::from_millis(1);
        self.note_told_caps(self.disk.durable_up_to());
        self.note_cap_change();
        let in_force = self.oracle.cap.in_force;
        let goes_on_with = self.coordinator.as_ref().and_then(|c| c.scheduler.coordinator_cap());
        let same = goes_on_with == self.told_cap(in_force);
        self.require(same, "REPLAY=LIVE", || {
            format!("the coordinator goes on with cap {goes_on_with:?}, durable is {in_force:?}")
        });
    }

    /// Returns how many permits the scheduler has given out; its own check counts the leases behind them.
    pub(crate) fn held(&self) -> u32 {
        let workers = self.coordinator.iter().flat_map(|c| c.scheduler.workers());
        workers.map(|worker| worker.busy).sum()
    }
}
