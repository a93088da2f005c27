//! The promises, over many histories; each history is one seed.

use simulator::history;
use simulator::plan::{Fault, FaultKind, Plan};
use simulator::sabotage::Sabotage;
use simulator::trace::Telling;

/// How many histories every test run looks at.
const SEEDS: u64 = 2_000;

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..50 {
        let plan = Plan::draw(seed);
        let first = history::run(&plan, Sabotage::None, Telling::Hash);
        let again = history::run(&plan, Sabotage::None, Telling::Lines);
        assert_eq!(first.hash, again.hash, "seed {seed}");
        assert_eq!(first.happenings, again.happenings, "seed {seed}");
    }
}

#[test]
fn every_promise_holds_in_every_history() {
    if let Some(failure) = history::hunt(0..SEEDS, Sabotage::None) {
        panic!("{}", history::tell(&failure, Sabotage::None));
    }
}

/// Whoever runs later ops again does begin at checkpoints of other runs, in some histories.
#[test]
fn runs_begin_at_the_checkpoints_of_others() {
    let begins_at_anothers = |line: &String| {
        let Some((grant, file)) = line.split_once(" of checkpoint /checkpoints/") else {
            return false;
        };
        let made_by = file.split('/').next().unwrap_or_default();
        !grant.contains(&format!(" {made_by}["))
    };
    let again = |fault: &Fault| matches!(fault.kind, FaultKind::Rerun { .. });
    let plans = (0..400).map(Plan::draw).filter(|plan| plan.faults.iter().any(again));
    let found = plans.take(40).filter(|plan| {
        let outcome = history::run(plan, Sabotage::None, Telling::Lines);
        outcome.lines.iter().any(begins_at_anothers)
    });
    assert!(found.count() >= 3);
}

/// Seeds that have broken a promise once.
#[test]
fn what_broke_a_promise_once_does_not_again() {
    // Attempts of a run that had ended; halves; a pause asked for twice; one behind a resume; a refused lease of a limited op;
    // two pauses behind a resume; what is left of a run that ended in a restart; a pause while something waits at a worker that is cut off; pauses and resumes behind a
    // resume; an op over the whole run that may have begun unheard; debts of a rate over a restart; a retry asked for twice. What the oracles had
    // wrong: permits behind checkpoints; checkpoints that nobody was told of; batches begun behind checkpoints; an attempt of
    // before a restart taken for the one of its number that another worker got; permits of a session that was refused; a run
    // whose new beginning is durable and not heard of; a lease of a batch that was cut in two since; leases that were asked back and
    // had not come back when a permit was given; a checkpoint that the run which made it lost when it was reopened beside its rerun;
    // slices that were found of a run before it was reopened (the simulator's coordinator and the real one had that wrong);
    // batches of a rerun that begin at checkpoints in the step of a grant and behind it.
    let seeds = [
        5_756, 12_320, 13_495, 541, 1_201, 590, 21_816, 100_858, 304_361, 401_343, 502_720, 403_179, 100_286, 105_920,
        506_940, 1_004_065, 1_032_732, 1_008_746, 1_037_253, 2_014_408, 6_002_622, 12_005_560, 12_015_106, 12_016_036,
        13_006_465,
    ];
    for seed in seeds {
        let outcome = history::run(&Plan::draw(seed), Sabotage::None, Telling::Hash);
        assert_eq!(outcome.broken, None, "seed {seed}");
    }
}
