//! Drawing limits and what people do with them: pools, rates, weights, pauses, changes; and a disk that fails.
//!
//! They are drawn from a sequence of their own, so that the rest of a seed's plan stays as it is without them.

use std::num::NonZeroU32;
use std::time::Duration;

use common::job::{Bisect, Order, Rate, RateUnit};

use crate::draw::{maybe, millis};
use crate::plan::{CoordinatorPoint, Fault, FaultKind, LimitPlan, Notice, OpPlan, Plan};
use crate::random::{Draw, Random};

impl Plan {
    /// Adds limits to half of the histories, and a failing disk to some.
    pub(crate) fn add_limits(&mut self) {
        let mut random = Random::new(self.seed, 3);
        if random.happens(150) == Draw::Yes {
            for _ in 0..random.between(1, 2) {
                let (at, down) = (millis(&mut random, 300, 9_000), millis(&mut random, 1, 3_000));
                let kind = FaultKind::FailSync { down };
                self.faults.push(Fault { at, kind });
            }
        }
        if random.happens(500) == Draw::Yes {
            self.limit_ops(&mut random);
            self.let_people_steer(&mut random);
        }
        if random.happens(60) == Draw::Yes {
            self.spend_bursts(&mut random);
        }
        self.faults.sort_by_key(|fault| fault.at);
    }

    /// Turns the first job into one that begins as much as its rate ever lets it, and kills the coordinator again and again
    /// in a time that is short for the rate: then tokens that a restart makes show.
    fn spend_bursts(&mut self, random: &mut Random) {
        self.terms.global_cap = None;
        self.workers[0].slots = 4;
        let Some(job) = self.jobs.first_mut() else { return };
        job.submitted_at = Duration::ZERO;
        job.batches = vec![1; 30];
        (job.cap, job.max_in_flight, job.max_rows_in_flight) = (None, Some(30), None);
        (job.priority, job.order, job.bisect, job.deadline) = (9, Order::BreadthFirst, Bisect::No, None);
        for op in &mut job.ops {
            (op.takes, op.limit, op.rate, op.pool, op.timeout) = (Duration::from_millis(5), None, None, None, None);
        }
        job.ops[0].rate = Some(Rate {
            limit: 2.0,
            per: Duration::from_secs(1),
            burst: NonZeroU32::new(8).unwrap_or(NonZeroU32::MIN),
            unit: RateUnit::Batches,
        });
        for earliest in [2_000, 2_700, 3_400] {
            let (at, down) = (millis(random, earliest, earliest + 500), Duration::from_millis(20));
            let (point, notice) = (CoordinatorPoint::Now, Notice::Told);
            let kind = FaultKind::CrashCoordinator { point, notice, down };
            self.faults.push(Fault { at, kind });
        }
    }

    fn limit_ops(&mut self, random: &mut Random) {
        self.terms.pools = (0..random.between(0, 2)).map(|_| random.between(1, 3) as u32).collect();
        let pools = self.terms.pools.len() as u64;
        for job in &mut self.jobs {
            job.weight = random.one_of(&[1, 1, 2, 4]);
            for op in &mut job.ops {
                op.rate = maybe(random, 250, rate);
                if pools > 0 {
                    op.pool = maybe(random, 350, |random| random.below(pools) as usize);
                }
            }
        }
    }

    /// Lets people change the bounds on batches in flight.
    pub(super) fn change_windows(&mut self, random: &mut Random) {
        if random.happens(250) == Draw::Yes {
            self.change_bounds(random, 6, LimitPlan::InFlight);
        }
    }

    /// Lets people change the bounds on batches that wait for their commit.
    pub(super) fn change_committing(&mut self, random: &mut Random) {
        if random.happens(150) == Draw::Yes {
            self.change_bounds(random, 4, LimitPlan::Committing);
        }
    }

    fn change_bounds(&mut self, random: &mut Random, most: u64, limit: fn(Option<u32>) -> LimitPlan) {
        for _ in 0..random.between(1, 4) {
            let at = millis(random, 500, 9_000);
            let job = random.below(self.jobs.len() as u64) as usize;
            let limit = limit(maybe(random, 850, |random| random.between(1, most) as u32));
            let kind = FaultKind::ChangeLimit { job, limit };
            self.faults.push(Fault { at, kind });
        }
        self.faults.sort_by_key(|fault| fault.at);
    }

    fn let_people_steer(&mut self, random: &mut Random) {
        for _ in 0..random.between(0, 6) {
            let at = millis(random, 500, 9_000);
            let job = random.below(self.jobs.len() as u64) as usize;
            let kind = match random.below(4) {
                0 | 1 => FaultKind::Pause {
                    job,
                    lasts: random.up_to(Duration::from_secs(6)),
                },
                2 if !self.terms.pools.is_empty() => FaultKind::SetPool {
                    pool: random.below(self.terms.pools.len() as u64) as usize,
                    limit: random.between(1, 4) as u32,
                },
                _ => FaultKind::ChangeLimit {
                    job,
                    limit: limit(random, &self.jobs[job].ops),
                },
            };
            self.faults.push(Fault { at, kind });
        }
    }
}

fn rate(random: &mut Random) -> Rate {
    let unit = random.one_of(&[RateUnit::Batches, RateUnit::Calls, RateUnit::Rows]);
    let (limit, burst) = match unit {
        RateUnit::Batches | RateUnit::Calls => (random.between(3, 30), random.between(1, 5)),
        RateUnit::Rows => (random.between(30, 300), random.between(1, 40)),
    };
    Rate {
        limit: limit as f64,
        per: Duration::from_secs(1),
        burst: NonZeroU32::new(burst as u32).unwrap_or(NonZeroU32::MIN),
        unit,
    }
}

/// Draws a limit that there is, or that can be taken on at any time.
fn limit(random: &mut Random, ops: &[OpPlan]) -> LimitPlan {
    let place = random.below(ops.len() as u64) as usize;
    let op = &ops[place];
    match random.below(3) {
        0 if op.limit.is_some() => LimitPlan::Op(place, random.between(1, 3) as u32),
        1 if op.rate.is_some() => LimitPlan::Rate(place, rate(random)),
        2 => LimitPlan::Weight(random.between(1, 4) as u32),
        _ => LimitPlan::Cap(maybe(random, 700, |random| random.between(1, 4) as u32)),
    }
}
