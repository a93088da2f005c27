//! Queueing ahead: new batches wait at workers behind their permits, and are recalled when anything else wants a slot.

mod support;

use std::num::NonZeroU32;
use std::time::Duration;

use support::World;
use support::jobs::two_steps;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn queued(world: &World) -> usize {
    world.queued().len()
}

#[test]
fn new_batches_wait_at_the_worker_behind_its_permits_and_count_for_nothing() {
    let mut world = World::new();
    let session = world.worker("w1", 1);
    let run = world.run(1, two_steps(1), 10);
    world.pass(millis(100));
    assert_eq!(queued(&world), 4);
    let summary = world.scheduler.summary(run).expect("goes on");
    assert_eq!((summary.batches_in_flight.now, summary.tasks_running.now), (1, 1));
    world.run_to_end();
    assert_eq!(world.ended[&run].batches_in_flight.peak, 1);
    assert!(
        !world
            .scheduler
            .workers()
            .any(|worker| worker.session == session && worker.busy > 0)
    );
}

#[test]
fn what_is_queued_is_recalled_when_another_run_comes() {
    let mut world = World::new();
    world.worker("w1", 1);
    world.run(1, two_steps(1), 10);
    world.pass(millis(100));
    world.run(2, two_steps(1), 10);
    world.pass(millis(100));
    assert_eq!(queued(&world), 0);
    world.run_to_end();
}

#[test]
fn what_is_queued_is_recalled_when_a_worker_drains() {
    let mut world = World::new();
    let leaving = world.worker("w1", 1);
    world.worker("w2", 1);
    let run = world.run(1, two_steps(2), 20);
    world.pass(millis(100));
    world.drain(leaving);
    world.pass(millis(1));
    assert_eq!(queued(&world), 0);
    world.run_to_end();
    assert_eq!(world.ended[&run].rows.loaded, 20);
}

#[test]
fn nothing_is_queued_where_a_chain_is_cut() {
    let mut world = World::new();
    world.worker("w1", 1);
    let mut job = two_steps(1);
    job.ops[2].max_concurrent = NonZeroU32::new(1);
    world.run(1, job, 10);
    world.pass(millis(100));
    assert_eq!(queued(&world), 0);
}

#[test]
fn an_idle_worker_takes_what_is_queued_elsewhere_when_nothing_else_is_left() {
    let mut world = World::new();
    world.worker("w1", 1);
    let run = world.run(1, two_steps(2), 4);
    world.pass(millis(100));
    assert_eq!(queued(&world), 3);
    world.worker("w2", 1);
    world.run_to_end();
    assert!(
        world.ended[&run].wall_seconds(world.now) < 4.2,
        "two workers share four batches of two seconds"
    );
}

#[test]
fn a_window_below_the_slots_is_kept_and_nothing_is_recalled_in_vain() {
    let mut world = World::new();
    world.worker("w1", 1);
    world.worker("w2", 2);
    let mut job = two_steps(3);
    job.schedule.max_in_flight = NonZeroU32::new(2);
    let run = world.run(1, job, 12);
    world.run_to_end();
    assert_eq!(world.ended[&run].batches_in_flight.peak, 2);
}
