//! The promises, over many histories; each history is one seed.

use simulator::history;
use simulator::plan::Plan;
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
