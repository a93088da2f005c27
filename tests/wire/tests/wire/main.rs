//! The real edges over a simulated network: the same seed gives the same history, and faults take nothing away.
//!
//! `make simulate-wire SEEDS=500 FIRST=0` looks at more of them.
//!
//! Known weakness: the worker's loop and its slots are written anew here, after those of the worker, without threads and
//! exchange; so is how the parts of a coordinator are put together. The suites on real processes look there.

mod coordinator;
mod disk;
mod history;
mod network;
mod people;
mod slots;
mod trace;
mod worker;

use history::{Outcome, Plan};
use proto::v1::RunState;

/// How many histories every test run looks at, unless the environment wants more.
const SEEDS: u64 = 40;
/// How many of them it lets happen twice.
const SAME_SEEDS: u64 = 8;

/// Returns the seeds to look at: `WIRE_SEEDS` many from `WIRE_FIRST` on.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("is a number"));
    let first = number("WIRE_FIRST").unwrap_or(0);
    first..first + number("WIRE_SEEDS").unwrap_or(SEEDS)
}

#[track_caller]
fn check(plan: &Plan, outcome: &Outcome, undisturbed: &str) {
    let seed = plan.seed;
    let told = || outcome.trace.lines().join("\n");
    assert_eq!(
        outcome.state,
        Some(RunState::Succeeded),
        "seed {seed}: {plan:?}\n{}",
        told()
    );
    assert_eq!(outcome.output.as_deref(), Some(undisturbed), "seed {seed}: {plan:?}");
    assert_eq!(outcome.leftovers, [""; 0], "seed {seed}: {plan:?}");
    let most = outcome.trace.most_running();
    assert!(most <= people::CAP, "seed {seed}: {most} tasks ran at once\n{}", told());
    assert_eq!(outcome.trace.exits_told(), [""; 0], "seed {seed}: {plan:?}");
}

#[test]
fn a_history_without_faults_ends_with_every_row_in_order_and_uses_the_cap() {
    let plan = Plan::calm(1);
    let outcome = history::run(&plan);
    let output = outcome.output.clone().expect("is in place");
    check(&plan, &outcome, &output);
    let mut lines = output.lines();
    assert_eq!(lines.next(), Some("name,id"));
    let names: Vec<String> = lines
        .filter_map(|line| Some(line.split_once(',')?.0.to_owned()))
        .collect();
    assert_eq!(names, people::names());
    assert_eq!(outcome.trace.most_running(), people::CAP);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..SAME_SEEDS {
        let plan = Plan::draw(seed);
        let (first, again) = (history::run(&plan).trace.lines(), history::run(&plan).trace.lines());
        if let Some(place) = first.iter().zip(&again).position(|(one, other)| one != other) {
            let before = first[place.saturating_sub(20)..place].join("\n");
            panic!(
                "seed {seed}, behind\n{before}\ncame\n{}\nand\n{}",
                first[place], again[place]
            );
        }
        assert_eq!(first.len(), again.len(), "seed {seed}");
    }
}

#[test]
fn faults_of_network_and_hosts_take_no_row_away_and_never_break_the_cap() {
    let undisturbed = history::run(&Plan::calm(1)).output.expect("is in place");
    for seed in seeds() {
        let plan = Plan::draw(seed);
        check(&plan, &history::run(&plan), &undisturbed);
    }
}

#[test]
fn workers_that_believe_in_their_leases_for_too_long_are_caught() {
    let caught = (0..SEEDS).find(|seed| {
        let plan = Plan {
            clock_rate: 25,
            ..Plan::draw(*seed)
        };
        history::run(&plan).trace.most_running() > people::CAP
    });
    assert!(caught.is_some(), "no history shows that clocks are four times too slow");
}
