//! RATE, PAUSE: what begins of a limited op, and that nothing begins of a run that is paused.
//!
//! A rate holds for what truly begins, over all workers and over restarts: in any window of `w` no more than
//! `limit x w / per + burst` tokens, and what one attempt takes beyond the burst. A window begins anew when the rate is
//! changed, and what was granted before the change is no part of it.
//!
//! From the answer to a pause until somebody asks for the run to go on, nothing of it is granted, and none of its ops
//! begins anywhere but the first of a lease that was begun before the answer and still fetched what it works on.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::{BatchId, LeaseId, OpId, RunId};
use common::job::{Change, LimitsChange, Rate, RateUnit};
use common::time::Time;
use scheduler::Ticket;

use crate::jobs;
use crate::worker::ProcessId;
use crate::world::World;

/// What is known of rates and pauses.
#[derive(Debug, Default)]
pub(crate) struct Begins {
    rated: BTreeMap<(RunId, OpId), Rated>,
    /// When each lease was granted.
    granted: BTreeMap<LeaseId, Time>,
    /// Runs whose pause was answered, and the leases that were begun then.
    paused: BTreeMap<RunId, BTreeSet<LeaseId>>,
    /// What was asked for last that lets a run go on, since the coordinator was started.
    released: BTreeMap<RunId, Ticket>,
    /// The pause that was asked for last.
    held_back: BTreeMap<RunId, Ticket>,
}

/// Whether a pause that is answered still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Yes,
    No,
}

/// What has begun of an op under the rate that it has.
#[derive(Debug)]
struct Rated {
    rate: Rate,
    since: Time,
    begun: Vec<(Time, u64)>,
}

impl Rated {
    /// Adds a begin, and returns the tokens of the first window that holds too many, and how long it is.
    fn begin(&mut self, now: Time, tokens: u64) -> Option<(u64, f64)> {
        self.begun.push((now, tokens));
        let burst = u64::from(self.rate.burst.get());
        let (mut sum, mut largest) = (0, 0);
        for (at, tokens) in self.begun.iter().rev() {
            sum += tokens;
            largest = largest.max(*tokens);
            let window = now.since(*at).as_secs_f64();
            let most = self.rate.limit * window / self.rate.per.as_secs_f64();
            let allowed = most + (burst + largest.saturating_sub(burst)) as f64;
            if sum as f64 > allowed + 1e-6 {
                return Some((sum, window));
            }
        }
        None
    }
}

impl World {
    /// Notes the rates of a run that is submitted.
    pub(crate) fn note_rates_of(&mut self, run: RunId, job: usize) {
        // The number may have been that of a submission that was lost.
        self.oracle.begins.rated.retain(|(of, _), _| *of != run);
        let rates: Vec<Option<Rate>> = self.plan.jobs[job].ops.iter().map(|op| op.rate).collect();
        for (op, rate) in (1..).map(OpId).zip(rates) {
            if rate.is_some() {
                self.set_rate(run, op, rate);
            }
        }
    }

    fn set_rate(&mut self, run: RunId, op: OpId, rate: Option<Rate>) {
        let rated = &mut self.oracle.begins.rated;
        match rate {
            Some(rate) => {
                let (since, begun) = (self.now, Vec::new());
                rated.insert((run, op), Rated { rate, since, begun });
            }
            None => {
                rated.remove(&(run, op));
            }
        }
    }

    /// Notes rates that are changed: the coordinator knows that it is durable.
    pub(crate) fn note_changed_rates(&mut self, run: RunId, change: &LimitsChange) {
        for (op, change) in &change.ops {
            match change.rate {
                Change::Keep => {}
                Change::Set(rate) => self.set_rate(run, *op, Some(rate)),
                Change::Remove => self.set_rate(run, *op, None),
            }
        }
    }

    pub(crate) fn note_granted(&mut self, lease: LeaseId) {
        let now = self.now;
        self.oracle.begins.granted.insert(lease, now);
    }

    /// Notes that a pause is answered; it holds unless somebody has let the run go on meanwhile.
    pub(crate) fn note_paused(&mut self, run: RunId, ticket: Ticket) -> Holds {
        let begins = &mut self.oracle.begins;
        if begins.released.get(&run).is_some_and(|released| *released > ticket) {
            return Holds::No;
        }
        begins.paused.insert(run, self.oracle.out.leases_of(run));
        Holds::Yes
    }

    /// Notes that somebody lets a run go on.
    pub(crate) fn note_released(&mut self, run: RunId, ticket: Ticket) {
        self.oracle.begins.released.insert(run, ticket);
        self.oracle.begins.paused.remove(&run);
    }

    /// Notes that somebody pauses a run.
    pub(crate) fn note_held_back(&mut self, run: RunId, ticket: Ticket) {
        self.oracle.begins.held_back.insert(run, ticket);
    }

    /// Tells whether nobody has paused a run since something was asked of it.
    pub(crate) fn still_goes_on(&self, run: RunId, ticket: Ticket) -> Holds {
        match self.oracle.begins.held_back.get(&run) {
            Some(paused) if *paused > ticket => Holds::No,
            Some(_) | None => Holds::Yes,
        }
    }

    /// Forgets what was asked of a coordinator that is gone.
    pub(crate) fn forget_tickets(&mut self) {
        self.oracle.begins.released.clear();
        self.oracle.begins.held_back.clear();
    }

    /// Notes that a run is reopened, and so not paused.
    pub(crate) fn note_may_go_on(&mut self, run: RunId) {
        self.oracle.begins.paused.remove(&run);
    }

    /// An op begins on a worker.
    pub(crate) fn check_begin(&mut self, id: ProcessId, lease: LeaseId, run: RunId, batch: Option<BatchId>, op: OpId) {
        let counts = self
            .processes
            .get(&id)
            .is_some_and(|process| process.counts_from <= self.now);
        let is_first = self.oracle.first_ops.get(&lease).is_some_and(|(_, first)| *first == op);
        let paused = self.oracle.begins.paused.get(&run);
        let may_begin = !counts || paused.is_none_or(|begun| is_first && begun.contains(&lease));
        self.require(may_begin, "PAUSE", || {
            format!("{run} is paused, and op {} begins on {batch:?} under {lease}", op.0)
        });
        let Some(batch) = batch else { return };
        let job = self.oracle.job_of_run[&run];
        let now = self.now;
        let begins = &mut self.oracle.begins;
        let Some(rated) = begins.rated.get_mut(&(run, op)) else {
            return;
        };
        if begins.granted.get(&lease).is_some_and(|granted| *granted < rated.since) {
            return;
        }
        let plan = &self.plan.jobs[job];
        let tokens = match rated.rate.unit {
            RateUnit::Batches | RateUnit::Calls => 1,
            RateUnit::Rows => match jobs::rows_of_op(plan, job, op, batch).rows_in {
                // What is not known is counted by the slice.
                0 => jobs::range_of(plan, batch).count() as u64,
                rows => rows,
            },
        };
        let (rate, over) = (rated.rate, rated.begin(now, tokens));
        if let Some((sum, window)) = over {
            self.fail("RATE", || {
                format!(
                    "{sum} tokens of {run}/op {} begin in {window:.3} s, the rate is {rate:?}",
                    op.0
                )
            });
        }
    }

    /// Nothing is granted of a run that is paused.
    pub(crate) fn check_not_paused(&mut self, run: RunId) {
        let is_paused = self.oracle.begins.paused.contains_key(&run);
        self.require(!is_paused, "PAUSE", || {
            format!("{run} is paused, and something of it is granted")
        });
    }
}
