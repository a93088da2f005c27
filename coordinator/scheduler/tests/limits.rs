//! Pools, rates, weights and live changes of limits, one story each.

mod support;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use common::explain::Obstacle;
use common::ids::{OpId, RunId};
use common::job::{Change, Job, LimitsChange, OpLimitsChange, PoolName, Schedule, Weight};
use common::steering::RunCommand;
use common::time::Time;
use scheduler::{Ask, Config};
use support::World;
use support::jobs::{cap, chain, op_of, rows, two_steps};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("is not zero")
}

fn pool(name: &str) -> PoolName {
    PoolName::new(name).expect("is a name")
}

fn with_pool(limit: u32) -> World {
    World::with(Config {
        pools: BTreeMap::from([(pool("geocoder"), count(limit))]),
        ..Config::default()
    })
}

/// A short op, one of a second that takes a unit of the pool, and a short one.
fn pooled(name: &str) -> Job {
    let mut enrich = op_of("enrich", 1_000);
    enrich.pools = vec![pool("geocoder")];
    chain(
        name,
        vec![op_of("first", 10), enrich, op_of("last", 10)],
        rows(1),
        cap(64),
    )
}

/// A job of which one op of so many milliseconds has a rate.
fn rated(rate: &str, takes: u64) -> Job {
    let mut enrich = op_of("enrich", takes);
    enrich.rate = Some(rate.parse().expect("is a rate"));
    chain(
        "rated",
        vec![op_of("first", 1), enrich, op_of("last", 1)],
        rows(1),
        cap(64),
    )
}

const ENRICH: OpId = OpId(2);

/// Returns when the tasks of an op started, of all runs.
fn starts_of(world: &World, op: OpId) -> Vec<Time> {
    let of_op = world.timeline.values().filter(|entry| entry.op == op);
    let mut starts: Vec<Time> = of_op.map(|entry| entry.started).collect();
    starts.sort_unstable();
    starts
}

/// Returns the most of them that started within a second.
fn most_in_a_second(starts: &[Time]) -> usize {
    let within = |first: usize| {
        starts[first..]
            .iter()
            .take_while(move |at| at.since(starts[first]) < millis(1_000))
    };
    (0..starts.len()).map(|first| within(first).count()).max().unwrap_or(0)
}

/// Returns the most tasks of an op that ran at once, of all runs.
fn peak_of(world: &World, op: OpId) -> i64 {
    let mut edges = Vec::new();
    for entry in world.timeline.values().filter(|entry| entry.op == op) {
        edges.push((entry.started, 1_i64));
        edges.push((entry.finished.unwrap_or(world.now), -1));
    }
    edges.sort_unstable();
    let running = edges.iter().scan(0, |running, (_, edge)| {
        *running += edge;
        Some(*running)
    });
    running.max().unwrap_or(0)
}

fn limits_of(op: OpId, change: OpLimitsChange) -> RunCommand {
    RunCommand::ChangeLimits(LimitsChange {
        ops: BTreeMap::from([(op, change)]),
        ..LimitsChange::default()
    })
}

fn cap_of(cap: u32) -> RunCommand {
    RunCommand::ChangeLimits(LimitsChange {
        max_concurrent: Change::Set(count(cap)),
        ..LimitsChange::default()
    })
}

fn running(world: &World, run: RunId) -> u64 {
    world
        .scheduler
        .summary(run)
        .map_or(0, |summary| summary.tasks_running.now)
}

#[test]
fn a_pool_is_shared_by_runs_and_never_exceeded() {
    let mut world = with_pool(3);
    for worker in ["w1", "w2", "w3", "w4"] {
        world.worker(worker, 2);
    }
    world.run(1, pooled("one"), 20);
    world.run(2, pooled("two"), 20);
    world.run_to_end();
    assert_eq!(peak_of(&world, ENRICH), 3, "used up, and not exceeded");
    assert_eq!(world.scheduler.pools().next().map(|pool| pool.used), Some(0));
}

#[test]
fn a_pool_that_is_lowered_lets_nothing_begin_until_enough_has_ended() {
    let mut world = with_pool(4);
    world.worker("w1", 8);
    world.run(1, pooled("one"), 40);
    world.pass(millis(2_500));
    let in_use = |world: &World| world.scheduler.pools().next().map_or(0, |pool| pool.used);
    assert_eq!(in_use(&world), 4);
    world.ask(Ask::SetPool {
        pool: pool("geocoder"),
        limit: count(1),
    });
    world.pass(millis(1_100));
    assert_eq!(in_use(&world), 1);
    world.run_to_end();
}

#[test]
fn what_a_pool_was_set_to_survives_a_restart_until_it_is_declared_anew() {
    let mut world = with_pool(4);
    world.worker("w1", 8);
    let limit = |world: &World| world.scheduler.pools().next().map(|pool| pool.limit);
    world.ask(Ask::SetPool {
        pool: pool("geocoder"),
        limit: count(2),
    });
    world.restart();
    assert_eq!(limit(&world), Some(2));
    world.config.pools = BTreeMap::from([(pool("geocoder"), count(9))]);
    world.restart();
    assert_eq!(limit(&world), Some(9));
    world.config.pools.clear();
    world.restart();
    assert_eq!(limit(&world), Some(9), "a pool never goes away");
}

#[test]
fn what_the_cap_of_the_coordinator_was_set_to_survives_a_restart() {
    let mut world = World::new();
    world.ask(Ask::SetCap { cap: Some(count(3)) });
    world.restart();
    assert_eq!(world.scheduler.coordinator_cap(), Some(count(3)));
    world.ask(Ask::SetCap { cap: None });
    world.restart();
    assert_eq!(world.scheduler.coordinator_cap(), None);
}

#[test]
fn a_rate_is_reached_by_eight_workers_over_a_minute_and_exceeded_in_no_second() {
    let mut world = World::new();
    for worker in 0..8 {
        world.worker(&format!("w{worker}"), 2);
    }
    world.run(1, rated("50/s", 100), 100_000);
    world.pass(millis(61_000));
    let starts = starts_of(&world, ENRICH);
    let first = starts[0];
    let in_a_minute = starts.iter().filter(|at| at.since(first) < millis(60_000)).count();
    assert!(
        (45 * 60..=50 * 60 + 1).contains(&in_a_minute),
        "{in_a_minute} in a minute"
    );
    assert!(most_in_a_second(&starts) <= 55, "{}", most_in_a_second(&starts));
}

#[test]
fn a_rate_in_rows_counts_the_rows_that_go_in() {
    let mut world = World::new();
    world.worker("w1", 8);
    let mut job = rated("100 rows/s", 1);
    job.batching = rows(25);
    let run = world.run(1, job, 500);
    let took = world.run_to_end();
    assert_eq!(world.ended[&run].rows.loaded, 500);
    // The first batch is begun when the bucket is full, and each other one when its rows have come.
    assert!((millis(4_700)..millis(5_300)).contains(&took), "{took:?}");
}

#[test]
fn a_rate_starts_empty_after_a_restart_and_after_a_change() {
    let mut world = World::new();
    world.worker("w1", 8);
    let mut job = rated("1/s", 1);
    job.ops[ENRICH.index()].rate = Some(common::job::Rate {
        burst: count(5),
        ..job.ops[ENRICH.index()].rate.expect("has a rate")
    });
    // The bucket fills while the run is paused.
    let run = world.run(1, job, 30);
    world.steer(run, RunCommand::Pause { reason: None });
    world.pass(millis(10_000));
    world.restart();
    let restarted = world.now;
    world.steer(run, RunCommand::Resume);
    world.pass(millis(1_900));
    let begun = |world: &World, since: Time| starts_of(world, ENRICH).iter().filter(|at| **at >= since).count();
    assert_eq!(begun(&world, restarted), 1);
    world.steer(
        run,
        limits_of(
            ENRICH,
            OpLimitsChange {
                rate: Change::Set("2/s".parse().expect("is a rate")),
                ..OpLimitsChange::default()
            },
        ),
    );
    let changed = world.now;
    world.pass(millis(400));
    assert_eq!(begun(&world, changed), 0);
    world.pass(millis(1_700));
    assert_eq!(begun(&world, changed), 4);
}

#[test]
fn runs_of_equal_priority_get_permits_by_their_weight() {
    let mut world = World::new();
    world.worker("w1", 8);
    let mut heavy = two_steps(8);
    heavy.schedule.weight = Weight::new(3.0).expect("is a weight");
    let (light, heavy) = (world.run(1, two_steps(8), 100), world.run(2, heavy, 100));
    world.pass(millis(20_500));
    assert_eq!((running(&world, light), running(&world, heavy)), (2, 6));
    world.steer(
        light,
        RunCommand::ChangeLimits(LimitsChange {
            weight: Change::Set(Weight::new(3.0).expect("is a weight")),
            ..LimitsChange::default()
        }),
    );
    world.pass(millis(20_000));
    assert_eq!((running(&world, light), running(&world, heavy)), (4, 4));
}

#[test]
fn a_cap_that_is_lowered_is_answered_when_nothing_begins_above_it_and_survives_a_restart() {
    let mut world = World::new();
    world.worker("w1", 8);
    let run = world.run(1, two_steps(6), 200);
    world.pass(millis(5_500));
    assert_eq!(running(&world, run), 6);
    let ticket = world.steer(run, cap_of(2));
    while !world.answers.contains_key(&ticket) {
        assert!(world.step(), "is answered");
    }
    // The ops that ran end; nothing is begun until there are fewer than two.
    let started = |world: &World| world.timeline.len() as u64 + running(world, run);
    let begun = started(&world);
    while running(&world, run) > 1 {
        assert_eq!(started(&world), begun);
        assert!(world.step(), "ops end");
    }
    world.pass(millis(5_000));
    assert_eq!(running(&world, run), 2);
    world.restart();
    world.pass(millis(7_000));
    assert_eq!(running(&world, run), 2);
    world.steer(run, cap_of(8));
    world.pass(millis(100));
    assert_eq!(running(&world, run), 8);
}

#[test]
fn a_lease_that_takes_over_a_permit_while_its_recall_is_on_its_way_is_cut_above_a_lowered_cap() {
    let mut world = World::new();
    let worker = world.worker("w1", 2);
    let run = world.run(1, two_steps(2), 40);
    world.pass(millis(500));
    assert!(!world.queued().is_empty());
    world.hold_back(worker);
    let ticket = world.steer(run, cap_of(1));
    // Both chains end, and their slots go on with what waited behind them.
    world.pass(millis(2_000));
    assert_eq!((running(&world, run), world.answers.get(&ticket)), (2, None));
    world.let_through(worker);
    while !world.answers.contains_key(&ticket) {
        assert!(world.step(), "is answered");
    }
    let started = |world: &World| world.timeline.len() as u64 + running(world, run);
    let begun = started(&world);
    while running(&world, run) > 0 {
        assert_eq!(started(&world), begun);
        assert!(world.step(), "ops end");
    }
    world.pass(millis(5_000));
    assert_eq!(running(&world, run), 1);
}

#[test]
fn the_coordinators_cap_that_is_lowered_is_honoured_by_all_runs() {
    let mut world = World::new();
    world.worker("w1", 8);
    let runs = [world.run(1, two_steps(8), 60), world.run(2, two_steps(8), 60)];
    world.pass(millis(2_500));
    let all = |world: &World| runs.iter().map(|run| running(world, *run)).sum::<u64>();
    assert_eq!(all(&world), 8);
    let ticket = world.ask(Ask::SetCap { cap: Some(count(3)) });
    world.pass(millis(4_100));
    assert_eq!(world.answers.get(&ticket), Some(&Ok(())));
    assert_eq!(all(&world), 3);
}

#[test]
fn an_op_that_gets_its_first_limit_cuts_the_chains_that_would_run_into_it() {
    let mut world = World::new();
    world.worker("w1", 8);
    let run = world.run(1, two_steps(8), 32);
    // Every batch runs its first op of a second.
    world.pass(millis(500));
    world.steer(
        run,
        limits_of(
            OpId(2),
            OpLimitsChange {
                max_concurrent: Change::Set(count(2)),
                ..OpLimitsChange::default()
            },
        ),
    );
    world.run_to_end();
    assert_eq!(peak_of(&world, OpId(2)), 2);
    assert_eq!(world.ended[&run].batches.committed, 32);
}

#[test]
fn the_bound_on_what_waits_for_its_commit_changes_while_a_run_goes_on_and_survives_a_restart() {
    let mut world = World::new();
    world.worker("w1", 2);
    let run = world.run(1, two_steps(2), 500);
    world.pass(millis(500));
    let change = |max_committing| {
        RunCommand::ChangeLimits(LimitsChange {
            max_committing,
            ..LimitsChange::default()
        })
    };
    world.steer(run, change(Change::Set(count(5))));
    // What is begun when the bound is reached still comes to its end: two batches that run.
    let committing = |world: &World| world.scheduler.summary(run).expect("goes on").committing.now;
    world.stop_the_disk();
    world.pass(millis(60_000));
    assert!((5..=7).contains(&committing(&world)), "{}", committing(&world));
    let explained = world.scheduler.explain(run).expect("goes on");
    let obstacles = &explained.ops[0].obstacles;
    let reached = |obstacle: &Obstacle| matches!(obstacle, Obstacle::Committing { bound: 5, .. });
    assert!(obstacles.iter().any(reached), "{obstacles:?}");
    world.start_the_disk();
    world.restart();
    let in_force = |world: &World| world.scheduler.job(run).map(|job| job.schedule.max_committing);
    assert_eq!(in_force(&world), Some(count(5)));
    world.steer(run, change(Change::Remove));
    assert_eq!(in_force(&world), Some(Schedule::DEFAULT_COMMITTING));
    world.run_to_end();
    assert_eq!(world.ended[&run].batches.committed, 500);
}

#[test]
fn an_op_that_loses_its_limit_flows_with_the_chain_again() {
    let mut world = World::new();
    world.worker("w1", 4);
    let mut job = two_steps(4);
    job.ops[2].max_concurrent = Some(count(1));
    let run = world.run(1, job, 40);
    world.pass(millis(5_500));
    world.steer(
        run,
        limits_of(
            OpId(2),
            OpLimitsChange {
                max_concurrent: Change::Remove,
                ..OpLimitsChange::default()
            },
        ),
    );
    world.pass(millis(10_000));
    assert!(world.granted().last().is_some_and(|last| last.starts_with("op0..2")));
    world.run_to_end();
}

/// A quick op, and one of 40 ms of which two may run: with 8 slots priority alone lets most batches pile up.
fn limited() -> Job {
    let mut second = op_of("second", 40);
    second.max_concurrent = Some(count(2));
    chain(
        "limited",
        vec![op_of("first", 10), second, op_of("last", 10)],
        rows(1),
        cap(8),
    )
}

#[test]
fn an_op_limited_to_two_of_eight_slots_holds_a_thousand_batches_within_the_window_and_costs_no_time() {
    let ended = |window: Option<u32>| {
        let mut world = World::new();
        world.worker("w1", 4);
        world.worker("w2", 4);
        let mut job = limited();
        job.schedule.max_in_flight = window.and_then(NonZeroU32::new);
        let run = world.run(1, job, 1_000);
        let took = world.run_to_end();
        (took, world.ended[&run].batches_in_flight.peak)
    };
    let (admitted, in_flight) = ended(None);
    let (priority_only, piled_up) = ended(Some(1_000));
    assert_eq!(in_flight, 10, "cap + cap / 4");
    assert!(piled_up > 300, "{piled_up}");
    assert!(
        admitted <= priority_only,
        "{admitted:?} with a window, {priority_only:?} without"
    );
}

#[test]
fn a_cap_that_was_lowered_before_a_restart_lets_what_runs_on_end_and_nothing_begin_above_it() {
    let mut world = World::new();
    world.worker("w1", 2);
    let run = world.run(1, two_steps(2), 10);
    world.pass(millis(500));
    world.ask(Ask::SetCap { cap: Some(count(1)) });
    world.restart_under_workers();
    assert_eq!(running(&world, run), 2, "what runs goes on");
    world.pass(millis(2_000));
    assert_eq!(running(&world, run), 1);
    world.run_to_end();
    assert_eq!(world.ended[&run].batches.committed, 10);
}
