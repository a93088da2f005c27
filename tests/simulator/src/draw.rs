//! Drawing a plan from a seed: each history enables some kinds of fault, at rates of its own.

use std::time::Duration;

use common::job::{Bisect, Checkpointing, OnFailure, Order};

use crate::plan::{
    CoordinatorPoint, DrainBy, Exchange, Fault, FaultKind, JobPlan, Notice, OpPlan, Plan, SinkPlan, Terms, Way,
    Weather, WhichFailed, WorkerPlan, WorkerPoint,
};
use crate::random::{Draw, Random};

/// How many kinds of fault there are.
const KINDS: u64 = 18;

impl Plan {
    /// Draws the plan of a seed.
    pub fn draw(seed: u64) -> Plan {
        let mut random = Random::new(seed, 1);
        let terms = terms(&mut random);
        let workers: Vec<WorkerPlan> = (0..random.between(1, 4))
            .map(|place| worker(&mut random, place))
            .collect();
        let jobs: Vec<JobPlan> = (0..random.between(1, 3)).map(|_| job(&mut random)).collect();
        let mut weather = weather(&mut random);
        if weather.bad_rows > 0 {
            weather.mended_at = maybe(&mut random, 500, |random| millis(random, 1_000, 12_000));
        }
        let faults = faults(&mut random, &terms, workers.len(), jobs.len());
        let mut plan = Plan {
            seed,
            terms,
            workers,
            jobs,
            weather,
            faults,
        };
        if plan.weather.bad_rows > 0 && random.happens(600) == Draw::Yes {
            plan.retry_late(&mut random);
        }
        if random.happens(200) == Draw::Yes {
            plan.outlive_leases(&mut random);
        }
        plan.add_limits();
        // Drawn apart, so that a seed's other draws stay what they were.
        plan.keep_checkpoints(&mut Random::new(seed, 11));
        plan.change_windows(&mut Random::new(seed, 12));
        plan.run_again(&mut Random::new(seed, 13));
        plan.change_committing(&mut Random::new(seed, 14));
        plan.retry_reruns_after_restarts(&mut Random::new(seed, 15));
        plan
    }

    /// Lets some ops before the last one be checkpoints.
    fn keep_checkpoints(&mut self, random: &mut Random) {
        for job in &mut self.jobs {
            if random.happens(400) == Draw::No {
                continue;
            }
            let last = job.ops.len() - 1;
            for op in &mut job.ops[..last] {
                if random.happens(600) == Draw::Yes {
                    op.checkpoint = Checkpointing::Yes;
                }
            }
        }
    }

    /// Lets people run the later ops of runs with checkpoints again, if they have ended by then.
    fn run_again(&mut self, random: &mut Random) {
        for (job, plan) in self.jobs.iter().enumerate() {
            let keeps = plan.ops.iter().any(|op| op.checkpoint == Checkpointing::Yes);
            if !keeps || random.happens(500) == Draw::No {
                continue;
            }
            for _ in 0..random.between(1, 2) {
                let at = millis(random, 3_000, 40_000);
                let kind = FaultKind::Rerun { job };
                self.faults.push(Fault { at, kind });
            }
        }
        self.faults.sort_by_key(|fault| fault.at);
    }

    /// Lets coordinators die in the middle of reruns, and people ask for failed batches as soon as there is another one: then it does
    /// not know yet where they begin.
    fn retry_reruns_after_restarts(&mut self, random: &mut Random) {
        let mut added = Vec::new();
        for fault in &self.faults {
            let FaultKind::Rerun { job } = fault.kind else { continue };
            if random.happens(500) == Draw::No {
                continue;
            }
            let at = fault.at + millis(random, 100, 6_000);
            let down = millis(random, 1, 500);
            let kind = FaultKind::CrashCoordinator {
                point: CoordinatorPoint::Now,
                notice: Notice::Told,
                down,
            };
            added.push(Fault { at, kind });
            for _ in 0..3 {
                let at = at + down + Duration::from_micros(random.between(1, 4_000));
                let which = WhichFailed::All;
                let kind = FaultKind::RetryFailed { job, which };
                added.push(Fault { at, kind });
            }
        }
        self.faults.extend(added);
        self.faults.sort_by_key(|fault| fault.at);
    }

    /// Lets people ask for failed batches to be tried again, also when runs have ended.
    fn retry_late(&mut self, random: &mut Random) {
        for job in 0..self.jobs.len() {
            for _ in 0..random.between(1, 3) {
                let at = millis(random, 2_000, 40_000);
                let which = random.one_of(&[WhichFailed::All, WhichFailed::All, WhichFailed::First]);
                let kind = FaultKind::RetryFailed { job, which };
                self.faults.push(Fault { at, kind });
            }
        }
        self.faults.sort_by_key(|fault| fault.at);
    }

    /// Turns the plan into one where leases are short, ops long and caps tight, and where somebody is not heard for long:
    /// then a lease that is over and still worked on shows.
    fn outlive_leases(&mut self, random: &mut Random) {
        self.terms.lease_time = Duration::from_secs(1);
        self.terms.lease_margin = Duration::from_millis(100);
        self.terms.heartbeat = Duration::from_millis(200);
        self.terms.patience = Duration::from_millis(300);
        while self.workers.len() < 3 {
            let place = self.workers.len() as u64;
            self.workers.push(worker(random, place));
        }
        for job in &mut self.jobs {
            job.cap = Some(random.between(1, 2) as u32);
            job.max_in_flight = None;
            for op in &mut job.ops {
                op.takes = millis(random, 500, 5_000);
            }
        }
        for _ in 0..random.between(2, 5) {
            let at = millis(random, 3_000, 12_000);
            let worker = random.below(self.workers.len() as u64) as usize;
            let lasts = millis(random, 500, 4_000);
            let way = random.one_of(&[Way::Up, Way::Down, Way::Both]);
            let kind = random.one_of(&[
                FaultKind::Partition { worker, lasts },
                FaultKind::BlockNetwork { worker, way, lasts },
                FaultKind::FreezeWorker { worker, lasts },
                FaultKind::StallCoordinator { lasts },
            ]);
            self.faults.push(Fault { at, kind });
        }
        self.faults.sort_by_key(|fault| fault.at);
    }
}

pub(crate) fn millis(random: &mut Random, low: u64, high: u64) -> Duration {
    Duration::from_millis(random.between(low, high))
}

pub(crate) fn maybe<T>(random: &mut Random, permille: u64, value: impl FnOnce(&mut Random) -> T) -> Option<T> {
    match random.happens(permille) {
        Draw::Yes => Some(value(random)),
        Draw::No => None,
    }
}

fn terms(random: &mut Random) -> Terms {
    let lease_time = random.one_of(&[1_000, 1_000, 2_000, 5_000]);
    Terms {
        lease_time: Duration::from_millis(lease_time),
        lease_margin: Duration::from_millis(lease_time / 10),
        heartbeat: Duration::from_millis(lease_time / 5),
        patience: Duration::from_millis(lease_time / random.between(2, 10)),
        global_cap: maybe(random, 600, |random| random.between(1, 3) as u32),
        pools: Vec::new(),
    }
}

fn worker(random: &mut Random, place: u64) -> WorkerPlan {
    let kinds = ["extract", "noop", "write"];
    let first = place == 0;
    WorkerPlan {
        slots: random.between(1, 4) as u32,
        lacks: if first {
            None
        } else {
            maybe(random, 200, |random| random.one_of(&kinds))
        },
        exchange: match random.happens(200) {
            Draw::Yes => Exchange::None,
            Draw::No => Exchange::Listens,
        },
        clock_rate: random.between(950_000, 1_050_000),
        joins_at: if first {
            Duration::ZERO
        } else {
            random.up_to(Duration::from_secs(3))
        },
    }
}

fn job(random: &mut Random) -> JobPlan {
    let batches = random.between(1, 14);
    let mut ops: Vec<OpPlan> = (0..random.between(1, 3)).map(|_| op(random)).collect();
    ops.push(op(random));
    JobPlan {
        submitted_at: millis(random, 0, 4_000),
        batches: (0..batches).map(|_| random.between(1, 20)).collect(),
        ops,
        sink: random.one_of(&[SinkPlan::Discard, SinkPlan::Parts, SinkPlan::Join]),
        cap: maybe(random, 600, |random| random.between(1, 3) as u32),
        max_in_flight: maybe(random, 400, |random| random.between(1, 5) as u32),
        max_rows_in_flight: maybe(random, 200, |random| random.between(5, 50)),
        max_committing: maybe(random, 200, |random| random.between(1, 3) as u32).unwrap_or(1_024),
        weight: 1,
        priority: random.one_of(&[0, 0, 0, 1, 5]),
        on_failure: random.one_of(&[OnFailure::Continue, OnFailure::Drain, OnFailure::Cancel]),
        order: random.one_of(&[Order::DepthFirst, Order::DepthFirst, Order::BreadthFirst]),
        attempts: random.between(2, 5) as u32,
        bisect: match random.happens(500) {
            Draw::Yes => Bisect::Yes,
            Draw::No => Bisect::No,
        },
        tolerated: maybe(random, 300, |random| random.between(0, 4) as u32),
        deadline: maybe(random, 50, |random| millis(random, 500, 20_000)),
    }
}

fn op(random: &mut Random) -> OpPlan {
    // Some ops outlive leases.
    let takes = match random.happens(150) {
        Draw::Yes => millis(random, 400, 6_000),
        Draw::No => millis(random, 1, 400),
    };
    OpPlan {
        takes,
        limit: maybe(random, 200, |random| random.between(1, 2) as u32),
        rate: None,
        pool: None,
        // Some are too short for the op at its best.
        timeout: maybe(random, 100, |random| takes * random.between(8, 40) as u32 / 10),
        checkpoint: Checkpointing::No,
    }
}

fn weather(random: &mut Random) -> Weather {
    let mut rate = |chance: u64, most: u64| maybe(random, chance, |random| random.between(1, most)).unwrap_or(0);
    Weather {
        latency: Duration::from_micros(rate(1_000, 3_000)),
        jitter: Duration::from_micros(rate(600, 40_000)),
        late_messages: rate(200, 20),
        sync: Duration::from_micros(rate(1_000, 8_000)),
        slow_syncs: rate(200, 50),
        op_failures: rate(300, 200),
        bad_rows: rate(250, 25),
        mended_at: None,
        publish_failures: rate(200, 200),
        lost_outputs: rate(200, 200),
        stubborn_ops: rate(200, 300),
    }
}

fn faults(random: &mut Random, terms: &Terms, workers: usize, jobs: usize) -> Vec<Fault> {
    let enabled: Vec<u64> = (0..KINDS).filter(|_| random.happens(300) == Draw::Yes).collect();
    if enabled.is_empty() {
        return Vec::new();
    }
    let count = random.between(1, 12);
    let mut faults: Vec<Fault> = (0..count)
        .map(|_| {
            let at = millis(random, 100, 9_000);
            let kind = random.one_of(&enabled);
            let kind = fault(random, kind, terms, workers, jobs);
            Fault { at, kind }
        })
        .collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// Draws how long something lasts: mostly less than a lease, often somewhat longer.
fn around_a_lease(random: &mut Random, terms: &Terms) -> Duration {
    let most = terms.lease_time * random.one_of(&[1, 1, 2, 3]);
    random.up_to(most)
}

fn fault(random: &mut Random, kind: u64, terms: &Terms, workers: usize, jobs: usize) -> FaultKind {
    let worker = random.below(workers as u64) as usize;
    let job = random.below(jobs as u64) as usize;
    let notice = random.one_of(&[Notice::Told, Notice::Told, Notice::Silent]);
    let lasts = around_a_lease(random, terms);
    let points = [
        WorkerPoint::Now,
        WorkerPoint::OpStarts,
        WorkerPoint::OpEnds,
        WorkerPoint::Staged,
    ];
    match kind {
        0 | 1 => FaultKind::CrashWorker {
            worker,
            point: random.one_of(&points),
            notice,
        },
        2 => FaultKind::FreezeWorker { worker, lasts },
        3 => FaultKind::SlowWorker { worker, lasts },
        4 => FaultKind::CutConnection { worker, notice },
        5 => FaultKind::BlockNetwork {
            worker,
            way: random.one_of(&[Way::Up, Way::Down, Way::Both]),
            lasts,
        },
        6 => FaultKind::SecondProcess { worker },
        7 => FaultKind::DrainWorker {
            worker,
            by: random.one_of(&[DrainBy::Signal, DrainBy::TwoSignals, DrainBy::Coordinator]),
        },
        8 => FaultKind::LoseOutputs { worker },
        13 | 14 => FaultKind::Partition { worker, lasts },
        16 | 17 => FaultKind::RetryFailed {
            job,
            which: random.one_of(&[WhichFailed::All, WhichFailed::All, WhichFailed::First]),
        },
        9 | 10 => FaultKind::CrashCoordinator {
            point: random.one_of(&[
                CoordinatorPoint::Now,
                CoordinatorPoint::BeforeSync,
                CoordinatorPoint::InSync,
                CoordinatorPoint::AfterSync,
            ]),
            notice,
            down: millis(random, 1, 3_000),
        },
        11 => random.one_of(&[FaultKind::StallCoordinator { lasts }, FaultKind::SlowDisk { lasts }]),
        12 => random.one_of(&[FaultKind::Cancel { job }, FaultKind::Resubmit { job }]),
        _ => FaultKind::ChangeGlobalCap {
            cap: maybe(random, 700, |random| random.between(1, 4) as u32),
        },
    }
}
