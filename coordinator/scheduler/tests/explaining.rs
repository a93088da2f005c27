//! Why nothing more of a run begins: each obstacle is named where it is in the way, and nowhere else.

mod support;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use common::explain::{Obstacle, OpExplanation};
use common::failure::Failure;
use common::ids::{BatchId, OpId, RunId};
use common::job::{Checkpointing, Jitter, PoolName, Retry};
use common::steering::RunCommand;
use scheduler::{Ask, Config, Record};
use support::World;
use support::jobs::two_steps;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("is not zero")
}

fn op(world: &World, run: RunId, op: u16) -> OpExplanation {
    let explanation = world.scheduler.explain(run).expect("goes on");
    explanation.ops[usize::from(op)].clone()
}

fn obstacles(world: &World, run: RunId, of: u16) -> Vec<Obstacle> {
    op(world, run, of).obstacles
}

#[test]
fn without_workers_batches_wait_for_one() {
    let mut world = World::new();
    let run = world.run(1, two_steps(2), 5);
    world.pass(millis(10));
    assert_eq!(
        obstacles(&world, run, 0),
        [Obstacle::BatchesInFlight { bound: 1, now: 0 }, Obstacle::NoWorkers][1..]
    );
    assert_eq!(obstacles(&world, run, 1), [Obstacle::NothingWaits]);
}

#[test]
fn where_the_cap_is_reached_it_says_so() {
    let mut world = World::new();
    world.worker("w1", 8);
    let run = world.run(1, two_steps(2), 50);
    world.pass(millis(500));
    let found = obstacles(&world, run, 0);
    assert!(found.contains(&Obstacle::RunCap { cap: 2, used: 2 }), "{found:?}");
    assert_eq!(op(&world, run, 1).running, 2);
}

#[test]
fn where_the_coordinators_cap_is_reached_it_says_so() {
    let mut world = World::new();
    world.worker("w1", 8);
    world.ask(Ask::SetCap { cap: Some(count(1)) });
    let run = world.run(1, two_steps(2), 50);
    world.pass(millis(500));
    let found = obstacles(&world, run, 0);
    assert!(
        found.contains(&Obstacle::CoordinatorCap { cap: 1, used: 1 }),
        "{found:?}"
    );
}

#[test]
fn where_an_ops_own_limit_is_reached_it_says_so_and_what_waits_behind_it_fills_the_window() {
    let mut world = World::new();
    world.worker("w1", 8);
    let mut job = two_steps(8);
    job.ops[2].max_concurrent = Some(count(2));
    let run = world.run(1, job, 100);
    world.pass(millis(6_500));
    let limited = op(&world, run, 2);
    assert_eq!(limited.obstacles, [Obstacle::OpLimit { limit: 2, used: 2 }]);
    assert_eq!((limited.running, limited.waiting), (2, 6));
    let found = obstacles(&world, run, 0);
    assert_eq!(found, [Obstacle::BatchesInFlight { bound: 10, now: 10 }]);
}

#[test]
fn a_used_up_pool_says_who_holds_it() {
    let name = PoolName::new("geocoder").expect("is a name");
    let mut world = World::with(Config {
        pools: BTreeMap::from([(name.clone(), count(2))]),
        ..Config::default()
    });
    world.worker("w1", 8);
    let mut job = two_steps(8);
    job.ops[2].pools = vec![name.clone()];
    let (first, second) = (world.run(1, job.clone(), 20), world.run(2, job, 20));
    world.pass(millis(3_500));
    let Some(Obstacle::Pool {
        pool, used, holders, ..
    }) = obstacles(&world, second, 2).first().cloned()
    else {
        panic!("{:?}", obstacles(&world, second, 2));
    };
    assert_eq!((pool, used), (name, 2));
    assert_eq!(holders.iter().map(|(_, units)| units).sum::<u32>(), 2);
    assert!(holders.iter().all(|(run, _)| [first, second].contains(run)));
}

#[test]
fn a_rate_says_when_its_next_tokens_come() {
    let mut world = World::new();
    world.worker("w1", 8);
    let mut job = two_steps(8);
    job.ops[2].rate = Some("1/10s".parse().expect("is a rate"));
    let run = world.run(1, job, 20);
    world.pass(millis(2_000));
    let found = obstacles(&world, run, 2);
    let Some(Obstacle::Rate { next: Some(next), .. }) = found.first() else {
        panic!("{found:?}");
    };
    let wait = next.since(world.now);
    assert!(wait > millis(8_500) && wait < millis(10_000), "{wait:?}");
}

#[test]
fn bytes_in_flight_are_named() {
    let mut world = World::new();
    world.worker("w1", 8);
    let mut job = two_steps(8);
    job.schedule.max_in_flight_bytes = NonZeroU64::new(2 * support::ROW_BYTES);
    let run = world.run(1, job, 20);
    world.pass(millis(500));
    let bound = 2 * support::ROW_BYTES;
    assert_eq!(
        obstacles(&world, run, 0),
        [Obstacle::BytesInFlight { bound, now: bound }]
    );
}

#[test]
fn a_paused_run_says_so() {
    let mut world = World::new();
    world.worker("w1", 2);
    let run = world.run(1, two_steps(2), 20);
    world.pass(millis(500));
    world.steer(run, RunCommand::Pause { reason: None });
    world.pass(millis(5_000));
    assert_eq!(obstacles(&world, run, 2), [Obstacle::Paused]);
    assert_eq!(op(&world, run, 2).waiting, 2);
}

#[test]
fn an_op_that_nobody_can_do_is_named() {
    let mut world = World::new();
    world.worker_with("w1", 2, &["extract"]);
    let run = world.run(1, two_steps(2), 20);
    world.pass(millis(500));
    assert!(obstacles(&world, run, 1).contains(&Obstacle::NoWorkerWithOp));
}

#[test]
fn slots_that_are_all_in_use_are_named() {
    let mut world = World::new();
    world.worker("w1", 2);
    let (_, run) = (world.run(1, two_steps(2), 20), world.run(2, two_steps(2), 20));
    world.pass(millis(500));
    let found = obstacles(&world, run, 0);
    assert!(found.contains(&Obstacle::NoFreeSlot { slots: 2 }), "{found:?}");
}

#[test]
fn a_slot_that_is_kept_for_a_batch_whose_checkpoint_becomes_durable_is_named() {
    let mut world = World::new();
    world.worker("w1", 4);
    let mut job = two_steps(1);
    job.ops[1].checkpoint = Checkpointing::Yes;
    let run = world.run(1, job, 5);
    world.pass(millis(10));
    world.stop_the_disk();
    let is_written = |world: &World| {
        let is_one = |record: &Record| matches!(record, Record::BatchCheckpointed { .. });
        world.records.iter().any(is_one)
    };
    while !is_written(&world) {
        assert!(world.step(), "a checkpoint is written");
    }
    assert_eq!(obstacles(&world, run, 0), [Obstacle::Checkpointing { batches: 1 }]);
    world.start_the_disk();
    assert_eq!(obstacles(&world, run, 0)[0], Obstacle::RunCap { cap: 1, used: 1 });
}

#[test]
fn batches_in_backoff_are_counted_with_the_next_retry() {
    let mut world = World::new();
    world.worker("w1", 2);
    let mut job = two_steps(2);
    job.ops[2].retry = Retry {
        initial_backoff: millis(60_000),
        jitter: Jitter::None,
        ..Retry::default()
    };
    let run = world.run(1, job, 2);
    let failure = Failure::retryable("is told to fail");
    world.failing.insert((OpId(2), BatchId::whole(0), 1), failure);
    world.pass(millis(3_000));
    let failing = op(&world, run, 2);
    assert_eq!((failing.in_backoff, failing.waiting), (1, 0));
    let wait = failing.next_retry.map(|at| at.since(world.now));
    assert!(
        wait.is_some_and(|wait| wait > millis(58_000) && wait <= millis(60_000)),
        "{wait:?}"
    );
}

#[test]
fn what_can_begin_has_no_obstacle_left_once_the_scheduler_is_done() {
    let mut world = World::new();
    world.worker("w1", 4);
    let run = world.run(1, two_steps(4), 30);
    for _ in 0..200 {
        if !world.step() || world.scheduler.explain(run).is_none() {
            break;
        }
        let explanation = world.scheduler.explain(run).expect("goes on");
        for op in &explanation.ops {
            assert!(
                !op.obstacles.is_empty(),
                "at {}: {op:?} could begin, and does not",
                world.now
            );
        }
    }
}
