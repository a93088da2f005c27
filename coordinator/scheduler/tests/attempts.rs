//! The numbers of attempts: one that is used up is not given out again, whatever is started again in between.

mod support;

use std::time::Duration;

use common::failure::Failure;
use common::ids::{BatchId, OpId, RunId};
use common::job::Job;
use common::state::TaskState;
use common::steering::Asker;
use scheduler::Event;
use support::{World, jobs};

const RUN: RunId = RunId(1);
fn batch() -> BatchId {
    BatchId::whole(0)
}
const WORK: OpId = OpId(1);

/// One batch, one op of 100 ms behind `extract`.
fn job() -> Job {
    jobs::chain("job", vec![jobs::op_of("work", 100)], jobs::rows(1), jobs::cap(1))
}

fn joined() -> Job {
    jobs::chain("joined", vec![jobs::into_a_file()], jobs::rows(1), jobs::cap(1))
}

fn fail(world: &mut World, attempt: u32) {
    world
        .failing
        .insert((WORK, batch(), attempt), Failure::retryable("the disk is full"));
}

/// The numbers at an op, as they were granted.
fn numbers(world: &World, op: OpId, batch: Option<BatchId>) -> Vec<u32> {
    let of_batch = world.grants.iter().filter(|(_, grant)| grant.batch == batch);
    of_batch
        .flat_map(|(_, grant)| grant.steps.iter())
        .filter(|step| step.op == op)
        .map(|step| step.attempt.0)
        .collect()
}

fn retry_all(world: &mut World) {
    let failed = world.scheduler.retryable(RUN).expect("can be retried");
    let batches = failed.map(|(batch, _)| batch).collect();
    let (run, by) = (RUN, Asker::Grpc);
    world.tell(Event::RetryRequested { run, batches, by });
}

#[test]
fn the_number_of_a_failed_attempt_is_not_used_again_after_a_restart_though_one_before_it_was_lost() {
    let mut world = World::new();
    let lost = world.worker("w1", 1);
    world.run(1, job(), 1);
    world.pass(Duration::from_millis(50));
    world.kill(lost);
    world.worker("w2", 1);
    fail(&mut world, 2);
    // Long enough for the lost worker's unit to be free, and for the second attempt to fail.
    world.pass(world.config.lease_time + world.config.lease_margin + Duration::from_millis(150));
    assert_eq!(numbers(&world, WORK, Some(batch())), [1, 2]);
    world.restart();
    world.run_to_end();
    assert_eq!(numbers(&world, WORK, Some(batch())), [1, 2, 3]);
}

#[test]
fn the_number_of_an_attempt_whose_worker_was_lost_is_not_used_again_after_a_restart() {
    let mut world = World::new();
    let lost = world.worker("w1", 1);
    world.run(1, job(), 1);
    world.pass(Duration::from_millis(50));
    world.kill(lost);
    world.pass(world.config.lease_time + world.config.lease_margin + Duration::from_millis(50));
    assert!(world.timeline.values().any(|entry| entry.state == TaskState::Lost));
    world.restart();
    world.worker("w2", 1);
    world.run_to_end();
    assert_eq!(numbers(&world, WORK, Some(batch())), [1, 2]);
}

#[test]
fn an_op_over_the_whole_run_goes_on_counting_over_a_restart_and_over_the_end_of_its_run() {
    let mut world = World::new();
    world.worker("w1", 1);
    let full = || Failure::retryable("the disk is full");
    let first = world.run(1, joined(), 1);
    world.failing_whole.insert((WORK, 1), full());
    world.pass(Duration::from_millis(10));
    world.restart();
    let attempts = world
        .scheduler
        .job(first)
        .expect("goes on")
        .op(WORK)
        .retry
        .max_attempts
        .get();
    // The rest fail too, and then a sweep ends the run as failed.
    for attempt in 2..=attempts {
        world.failing_whole.insert((WORK, attempt), full());
    }
    world.run_to_end();
    world.restart();
    retry_all(&mut world);
    world.run_to_end();
    let numbers = numbers(&world, WORK, None);
    let expected: Vec<u32> = (1..=attempts + 2).collect();
    assert_eq!(numbers, expected, "each failed once, one swept, one joined");
}

#[test]
fn an_op_over_the_whole_run_that_may_have_begun_unheard_gets_another_number() {
    let mut world = World::new();
    let worker = world.worker("w1", 1);
    let mut job = joined();
    job.ops[1].delay = jobs::op_of("slow", 100).delay;
    world.run(1, job, 1);
    world.pass(Duration::from_millis(50));
    // The grant is on its way, and nobody will say what became of it.
    world.hold_back(worker);
    world.pass(Duration::from_millis(100));
    world.cut(worker);
    world.pass(world.config.reconnect_patience);
    world.worker("w2", 1);
    world.run_to_end();
    assert_eq!(numbers(&world, WORK, None), [2]);
}

/// A job of two batches that stops at its deadline, in the middle of the second op.
fn stopped() -> Job {
    let ops = vec![jobs::op_of("work", 100), jobs::op_of("more", 5_000)];
    Job {
        deadline: Some(Duration::from_secs(1)),
        ..jobs::chain("stopped", ops, jobs::rows(1), jobs::cap(1))
    }
}

#[test]
fn a_run_that_is_reopened_goes_on_counting_where_it_gave_its_batches_up_also_after_a_restart() {
    let mut world = World::new();
    world.worker("w1", 1);
    world.run(1, stopped(), 1);
    world.run_to_end();
    world.restart();
    retry_all(&mut world);
    world.pass(Duration::from_millis(500));
    assert_eq!(numbers(&world, WORK, Some(batch())), [1, 2]);
    assert_eq!(numbers(&world, OpId(2), Some(batch())), [1, 2]);
}

#[test]
fn what_a_worker_still_held_when_its_run_had_ended_counts_when_the_run_is_reopened() {
    let mut world = World::new();
    let worker = world.worker("w1", 1);
    world.run(1, stopped(), 1);
    world.pass(Duration::from_millis(500));
    let listing = world.listing(worker);
    // The coordinator is down past the deadline.
    world.now = world.now + Duration::from_secs(2);
    world.restart_apart();
    world.pass(world.config.reattach_patience + Duration::from_millis(1));
    assert_eq!(world.ended.len(), 1, "nobody came, and the run failed at its deadline");
    let back = world.reattach(worker, "w1", 1, listing);
    world.pass(Duration::from_millis(1));
    assert!(world.adopted.is_empty());
    assert!(world.timeline.values().any(|entry| entry.state == TaskState::Cancelled));
    retry_all(&mut world);
    world.pass(Duration::from_millis(500));
    assert!(world.scheduler.workers().any(|view| view.session == back));
    assert_eq!(numbers(&world, OpId(2), Some(batch())), [1, 2]);
}

#[test]
fn a_run_that_drains_when_the_coordinator_dies_finishes_what_its_workers_hold() {
    let mut world = World::new();
    let mut job = jobs::chain("drains", vec![jobs::op_of("work", 100)], jobs::rows(1), jobs::cap(2));
    job.ops[1].retry.max_attempts = std::num::NonZeroU32::MIN;
    world.worker("w1", 2);
    world.run(1, job, 8);
    fail(&mut world, 1);
    world.pass(Duration::from_millis(100));
    world.pass(Duration::from_millis(50));
    let begun = world.grants.len();
    world.restart_under_workers();
    world.run_to_end();
    assert_eq!(world.grants.len(), begun, "nothing was begun behind the failure");
    let summary = &world.ended[&RUN];
    let (committed, failed) = (summary.batches.committed, summary.batches.failed);
    assert_eq!((committed, failed), (begun as u64 - 1, 1), "{:?}", world.adopted);
}
