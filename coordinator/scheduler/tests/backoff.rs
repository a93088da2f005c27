//! Batches that wait after a failure: out of the way of others, up to a bound.

mod support;

use std::num::NonZeroU32;
use std::time::Duration;

use common::failure::Failure;
use common::ids::{BatchId, OpId};
use common::job::{Jitter, Job, Retry};
use common::state::RunState;
use support::World;
use support::jobs::two_steps;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Two ops of a second, tried again after a minute.
fn patient(cap: u32, max_in_backoff: u32) -> Job {
    let mut job = two_steps(cap);
    job.schedule.max_in_backoff = NonZeroU32::new(max_in_backoff).expect("is not zero");
    for op in &mut job.ops {
        op.retry = Retry {
            initial_backoff: millis(60_000),
            jitter: Jitter::None,
            ..Retry::default()
        };
    }
    job
}

fn fail_first_attempts(world: &mut World, batches: impl IntoIterator<Item = u64>) {
    for batch in batches {
        let failure = Failure::retryable("is told to fail");
        world.failing.insert((OpId(2), BatchId::whole(batch), 1), failure);
    }
}

#[test]
fn batches_that_wait_after_a_failure_leave_the_window_to_others() {
    let mut world = World::new();
    world.worker("w1", 2);
    let run = world.run(1, patient(2, 100), 20);
    // More than the window of 3 holds: were they in flight, nothing would run for a minute.
    fail_first_attempts(&mut world, 0..6);
    world.pass(millis(30_000));
    let summary = world.scheduler.summary(run).expect("goes on");
    assert_eq!(summary.batches.committed, 14, "all others are done");
    assert_eq!(summary.batches_in_flight.now, 0);
    world.run_to_end();
    assert_eq!(world.ended[&run].state, RunState::Succeeded);
    assert!(world.ended[&run].batches_in_flight.peak <= 3);
}

#[test]
fn beyond_the_second_bound_they_count_as_in_flight() {
    let mut world = World::new();
    world.worker("w1", 2);
    let run = world.run(1, patient(2, 2), 20);
    fail_first_attempts(&mut world, 0..6);
    world.pass(millis(30_000));
    let summary = world.scheduler.summary(run).expect("goes on");
    assert_eq!((summary.batches.committed, summary.batches_in_flight.now), (0, 3));
    world.run_to_end();
    assert_eq!(world.ended[&run].state, RunState::Succeeded);
    assert!(world.ended[&run].batches_in_flight.peak <= 3);
}

#[test]
fn a_batch_that_comes_back_goes_before_new_ones_and_from_where_its_data_is_kept() {
    let mut world = World::new();
    world.worker("w1", 1);
    let run = world.run(1, patient(1, 100), 100);
    fail_first_attempts(&mut world, [0]);
    world.pass(millis(64_000));
    let granted = world.granted();
    let place = granted.iter().position(|name| name == "op2[0]");
    assert!(place.is_some(), "{granted:?}");
    assert!(
        world
            .scheduler
            .summary(run)
            .is_some_and(|summary| summary.batches_in_flight.peak <= 2)
    );
}

#[test]
fn a_run_that_is_cancelled_gives_up_batches_that_were_set_aside() {
    use common::steering::{CancelMode, RunCommand};
    let mut world = World::new();
    world.worker("w1", 2);
    let run = world.run(1, patient(2, 100), 20);
    fail_first_attempts(&mut world, 0..6);
    world.pass(millis(10_000));
    world.steer(run, RunCommand::Cancel(CancelMode::Now));
    world.run_to_end();
    let summary = &world.ended[&run];
    assert_eq!(summary.state, RunState::Cancelled);
    assert!(summary.rows.balances());
}

#[test]
fn a_batch_that_comes_back_is_not_passed_by_smaller_new_ones_that_fit_where_it_does_not() {
    let mut world = World::new();
    world.worker("w1", 1);
    let mut job = patient(4, 100);
    job.batching = support::jobs::rows(4);
    job.schedule.max_in_flight = NonZeroU32::new(10);
    job.schedule.max_in_flight_bytes = std::num::NonZeroU64::new(550);
    for op in &mut job.ops {
        op.retry.initial_backoff = millis(100);
    }
    // Batches of 400, 400 and 100 bytes; the first one waits for the second when it may come back.
    let run = world.run(1, job, 9);
    let failure = Failure::retryable("is told to fail");
    world.failing.insert((OpId(1), BatchId::whole(0), 1), failure);
    world.pass(millis(1_500));
    world.worker("w2", 1);
    world.pass(millis(1_000));
    let begun = |world: &World, batch| {
        world
            .grants
            .iter()
            .any(|(_, grant)| grant.batch == Some(BatchId::whole(batch)))
    };
    assert!(begun(&world, 1) && !begun(&world, 2));
    world.run_to_end();
    assert_eq!(world.ended[&run].state, RunState::Succeeded);
}
