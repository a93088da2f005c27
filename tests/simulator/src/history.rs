//! Running histories: one plan, many seeds, and shrinking a plan whose history breaks a promise.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::plan::{Plan, Weather};
use crate::sabotage::Sabotage;
use crate::trace::Telling;
use crate::world::{Broken, Outcome, World};

/// How often a smaller plan is tried.
const TRIES: usize = 400;

/// Runs the history of a plan; a panic in it counts as a broken promise.
pub fn run(plan: &Plan, sabotage: Sabotage, telling: Telling) -> Outcome {
    let history = || World::new(plan.clone(), sabotage, telling).run();
    catch_unwind(AssertUnwindSafe(history)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Outcome {
            broken: Some(Broken {
                oracle: "PANIC".to_owned(),
                found: text.unwrap_or("no message").to_owned(),
                at: Duration::ZERO,
            }),
            hash: 0,
            happenings: 0,
            lines: Vec::new(),
        }
    })
}

/// A seed whose history breaks a promise.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The promise.
    pub broken: Broken,
}

/// Runs seeds until one breaks a promise.
pub fn hunt(seeds: impl IntoIterator<Item = u64>, sabotage: Sabotage) -> Option<Failure> {
    seeds.into_iter().find_map(|seed| {
        let broken = run(&Plan::draw(seed), sabotage, Telling::Hash).broken?;
        Some(Failure { seed, broken })
    })
}

/// Takes pieces of a plan away for as long as its history breaks the same promise.
pub fn shrink(plan: &Plan, sabotage: Sabotage) -> Plan {
    let Some(oracle) = run(plan, sabotage, Telling::Hash).broken.map(|broken| broken.oracle) else {
        return plan.clone();
    };
    let mut smallest = plan.clone();
    let mut tries = 0;
    loop {
        let smaller = candidates(&smallest).into_iter().find(|candidate| {
            tries += 1;
            let broken = run(candidate, sabotage, Telling::Hash).broken;
            tries <= TRIES && broken.is_some_and(|broken| broken.oracle == oracle)
        });
        match smaller {
            Some(smaller) => smallest = smaller,
            None => return smallest,
        }
    }
}

/// Returns plans that are a little smaller.
fn candidates(plan: &Plan) -> Vec<Plan> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Plan)| {
        let mut smaller = plan.clone();
        change(&mut smaller);
        all.push(smaller);
    };
    for place in 0..plan.faults.len() {
        with(&|plan| {
            plan.faults.remove(place);
        });
    }
    for (job, of) in plan.jobs.iter().enumerate() {
        if of.batches.len() > 1 {
            with(&|plan| plan.jobs[job].batches.truncate(of.batches.len() / 2));
            with(&|plan| plan.jobs[job].batches.truncate(of.batches.len() - 1));
        }
        if of.ops.len() > 1 {
            with(&|plan| {
                plan.jobs[job].ops.remove(0);
            });
        }
    }
    let quiet: [fn(&mut Weather); 7] = [
        |weather| weather.jitter = Duration::ZERO,
        |weather| weather.late_messages = 0,
        |weather| weather.slow_syncs = 0,
        |weather| weather.op_failures = 0,
        |weather| weather.bad_rows = 0,
        |weather| (weather.publish_failures, weather.lost_outputs) = (0, 0),
        |weather| weather.stubborn_ops = 0,
    ];
    let noisy = [
        !plan.weather.jitter.is_zero(),
        plan.weather.late_messages > 0,
        plan.weather.slow_syncs > 0,
        plan.weather.op_failures > 0,
        plan.weather.bad_rows > 0,
        plan.weather.publish_failures + plan.weather.lost_outputs > 0,
        plan.weather.stubborn_ops > 0,
    ];
    for (change, _) in quiet.into_iter().zip(noisy).filter(|(_, noisy)| *noisy) {
        with(&|plan| change(&mut plan.weather));
    }
    for worker in 0..plan.workers.len() {
        if plan.workers[worker].clock_rate != 1_000_000 {
            with(&|plan| plan.workers[worker].clock_rate = 1_000_000);
        }
    }
    all
}

/// Tells a failure for people: the seed, the smallest plan that shows it, and how it happens.
pub fn tell(failure: &Failure, sabotage: Sabotage) -> String {
    let plan = shrink(&Plan::draw(failure.seed), sabotage);
    let outcome = run(&plan, sabotage, Telling::Lines);
    let mut text = format!(
        "seed {} breaks {}: {}\n",
        failure.seed, failure.broken.oracle, failure.broken.found
    );
    text.push_str("the smallest plan that does:\n");
    text.push_str(&format!("  terms {:?}\n  weather {:?}\n", plan.terms, plan.weather));
    for worker in &plan.workers {
        text.push_str(&format!("  {worker:?}\n"));
    }
    for job in &plan.jobs {
        text.push_str(&format!("  {job:?}\n"));
    }
    for fault in &plan.faults {
        text.push_str(&format!("  {fault:?}\n"));
    }
    text.push_str("its history:\n");
    for line in &outcome.lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}
