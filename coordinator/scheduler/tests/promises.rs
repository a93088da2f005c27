//! The scheduler's promises, one story each.

mod support;

use std::num::NonZeroU32;
use std::time::Duration;

use common::failure::{Failure, FailureKind};
use common::ids::{BatchId, OpId};
use common::job::{FailurePolicy, Job, OnFailure, Order};
use common::message::{Input, LeaseEnd, PermitFate, Report};
use common::state::{RunState, TaskState};
use common::steering::{CancelMode, RunCommand};
use common::summary::Stall;
use scheduler::{Ask, EndReason, Event, Record};
use support::jobs::two_steps;
use support::{World, jobs};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_lease_reaches_to_the_end_of_the_chain() {
    let mut world = World::new();
    world.worker("w1", 1);
    world.run(1, two_steps(1), 2);
    world.run_to_end();
    assert_eq!(world.granted(), ["op0..2[0]", "op0..2[1]"]);
}

#[test]
fn a_lease_ends_before_an_op_with_a_limit_of_its_own() {
    let mut world = World::new();
    world.worker("w1", 1);
    let mut job = two_steps(1);
    job.ops[2].max_concurrent = NonZeroU32::new(1);
    world.run(1, job, 2);
    world.run_to_end();
    assert_eq!(world.granted(), ["op0..1[0]", "op2[0]", "op0..1[1]", "op2[1]"]);
}

#[test]
fn breadth_first_grants_one_op_at_a_time_and_earlier_ops_first() {
    let mut world = World::new();
    world.worker("w1", 1);
    let mut job = two_steps(1);
    job.schedule.order = Order::BreadthFirst;
    world.run(1, job, 2);
    world.run_to_end();
    assert_eq!(
        world.granted(),
        ["op0[0]", "op0[1]", "op1[0]", "op1[1]", "op2[0]", "op2[1]"]
    );
}

#[test]
fn explicit_priorities_override_the_order() {
    let mut world = World::new();
    world.worker("w1", 1);
    let mut job = two_steps(1);
    job.schedule.max_in_flight = NonZeroU32::new(9);
    job.ops[1].priority = Some(-1);
    world.run(1, job, 2);
    world.run_to_end();
    assert_eq!(world.granted(), ["op0[0]", "op0[1]", "op1..2[0]", "op1..2[1]"]);
}

#[test]
fn a_lease_cannot_end_prepared_before_its_last_op() {
    let mut world = World::new();
    let session = world.worker("w1", 1);
    world.run(1, two_steps(1), 1);
    world.pass(millis(1));
    let lease = world.grants[0].1.lease;
    let report = Report::LeaseEnded {
        lease,
        end: LeaseEnd::Prepared,
        permit: PermitFate::Returned,
    };
    world.tell(Event::Reported { session, report });
    assert_eq!(world.session_ends, [(session, EndReason::Protocol)]);
    assert!(
        !world
            .records
            .iter()
            .any(|record| matches!(record, Record::BatchCommitted { .. }))
    );
}

#[test]
fn the_holder_of_a_parked_batch_is_preferred() {
    let mut world = World::new();
    world.worker("w1", 1);
    world.worker("w2", 1);
    let mut job = two_steps(2);
    job.ops[2].max_concurrent = NonZeroU32::new(2);
    world.run(1, job, 2);
    world.run_to_end();
    let local = world
        .grants
        .iter()
        .filter(|(_, grant)| matches!(grant.input, Input::Local(_)))
        .count();
    assert_eq!(local, 2);
}

#[test]
fn a_failed_op_is_tried_again_from_its_kept_input() {
    let mut world = World::new();
    world.worker("w1", 1);
    let run = world.run(1, two_steps(1), 1);
    world
        .failing
        .insert((OpId(2), BatchId::whole(0), 1), Failure::retryable("not now"));
    world.run_to_end();
    assert_eq!(world.granted(), ["op0..2[0]", "op2[0]"]);
    assert_eq!(world.grants[1].1.steps[0].attempt.0, 2);
    let summary = &world.ended[&run];
    assert_eq!(
        (summary.state, summary.tasks.failed, summary.tasks.retried),
        (RunState::Succeeded, 1, 1)
    );
}

fn with_a_bad_batch(on_failure: OnFailure) -> (World, common::summary::RunSummary) {
    let mut world = World::new();
    world.worker("w1", 2);
    let mut job = two_steps(2);
    job.failure = FailurePolicy {
        on_failure,
        ..FailurePolicy::default()
    };
    let run = world.run(1, job, 10);
    world
        .failing
        .insert((OpId(1), BatchId::whole(0), 1), Failure::bad_input("row 3 is ragged"));
    world.run_to_end();
    let summary = world.ended[&run].clone();
    (world, summary)
}

#[test]
fn a_bad_batch_is_not_tried_again_and_by_default_the_run_drains_and_fails() {
    let (_, summary) = with_a_bad_batch(OnFailure::Drain);
    assert_eq!(summary.state, RunState::Failed);
    assert_eq!(
        (summary.batches.failed, summary.batches.committed),
        (1, 1),
        "the begun batch was finished"
    );
    let failure = summary.failure.expect("says why");
    assert_eq!((failure.op, failure.batch), (Some(OpId(1)), Some(BatchId::whole(0))));
    assert_eq!(failure.failure.kind, FailureKind::BadInput);
}

#[test]
fn a_run_that_goes_on_completes_with_failures() {
    let (_, summary) = with_a_bad_batch(OnFailure::Continue);
    assert_eq!(summary.state, RunState::CompletedWithFailures);
    assert_eq!(
        (summary.rows.loaded, summary.rows.failed, summary.rows.read),
        (9, 1, 10)
    );
}

#[test]
fn a_run_that_cancels_stops_what_runs() {
    let (world, summary) = with_a_bad_batch(OnFailure::Cancel);
    assert_eq!((summary.state, summary.batches.committed), (RunState::Failed, 0));
    assert!(world.timeline.values().any(|entry| entry.state == TaskState::Cancelled));
}

#[test]
fn a_cancelled_run_ends_at_once_and_its_rows_are_accounted_for() {
    let mut world = World::new();
    world.worker("w1", 2);
    let run = world.run(1, two_steps(2), 10);
    world.pass(millis(1_500));
    world.steer(run, RunCommand::Cancel(CancelMode::Now));
    let waited = world.run_to_end();
    let summary = &world.ended[&run];
    assert_eq!((summary.state, waited), (RunState::Cancelled, Duration::ZERO));
    assert!(summary.rows.balances() && summary.rows.failed == 2, "{summary:?}");
}

#[test]
fn a_run_of_higher_priority_gets_the_slots_of_a_lower_one_at_the_next_op() {
    let mut world = World::new();
    world.worker("w1", 1);
    world.run(1, two_steps(4), 2);
    world.pass(millis(500));
    let mut urgent = two_steps(4);
    urgent.schedule.priority = 1;
    let urgent = world.run(2, urgent, 1);
    world.run_to_end();
    assert_eq!(world.grants[1].1.run, urgent);
    assert_eq!(world.granted(), ["op0..2[0]", "op0..2[0]", "op2[0]", "op0..2[1]"]);
}

#[test]
fn runs_of_equal_priority_share_the_slots() {
    let mut world = World::new();
    world.worker("w1", 4);
    let first = world.run(1, two_steps(4), 40);
    let second = world.run(2, two_steps(4), 40);
    world.pass(millis(4_100));
    let running = |run| world.scheduler.summary(run).expect("goes on").tasks_running.now;
    assert_eq!((running(first), running(second)), (2, 2));
}

#[test]
fn the_global_cap_holds_over_runs_and_workers_and_can_be_changed() {
    let mut world = World::new();
    world.worker("w1", 4);
    world.worker("w2", 4);
    world.ask(Ask::SetCap {
        cap: NonZeroU32::new(3),
    });
    let first = world.run(1, two_steps(8), 40);
    let second = world.run(2, two_steps(8), 40);
    let running = |world: &World| {
        [first, second]
            .map(|run| world.scheduler.summary(run).expect("goes on").tasks_running.now)
            .iter()
            .sum::<u64>()
    };
    world.pass(millis(2_500));
    assert_eq!(running(&world), 3);
    world.ask(Ask::SetCap {
        cap: NonZeroU32::new(5),
    });
    world.pass(millis(100));
    assert_eq!(running(&world), 5);
}

#[test]
fn bytes_in_flight_hold_batches_back_but_a_large_one_is_begun_alone() {
    let peak = |bytes: u64| {
        let mut world = World::new();
        world.worker("w1", 8);
        let mut job = two_steps(8);
        job.schedule.max_in_flight_bytes = std::num::NonZeroU64::new(bytes);
        let run = world.run(1, job, 20);
        world.run_to_end();
        (
            world.ended[&run].batches_in_flight.peak,
            world.ended[&run].bytes_in_flight.peak,
        )
    };
    assert_eq!(peak(3 * support::ROW_BYTES), (3, 300));
    assert_eq!(peak(1), (1, 100));
}

#[test]
fn a_run_without_workers_says_that_it_is_stalled() {
    let mut world = World::new();
    let run = world.run(1, two_steps(1), 1);
    world.pass(millis(10));
    assert_eq!(
        world.scheduler.summary(run).expect("waits").stalled,
        Some(Stall::NoWorkers)
    );
    world.worker_with("w1", 1, &["extract"]);
    world.pass(millis(10));
    assert_eq!(
        world.scheduler.summary(run).expect("waits").stalled,
        Some(Stall::NoWorkerWithOp { op: OpId(1) })
    );
    world.worker("w2", 1);
    world.run_to_end();
}

/// A job that writes one file.
fn into_a_file() -> Job {
    jobs::chain("files", vec![jobs::into_a_file()], jobs::rows(1), jobs::cap(1))
}

#[test]
fn a_run_whose_output_cannot_be_made_sweeps_once_more_and_fails() {
    let mut world = World::new();
    world.worker("w1", 1);
    let run = world.run(1, into_a_file(), 1);
    let failure = Failure::permanent("a part is gone");
    world.failing_whole.insert((OpId(1), 1), failure.clone());
    world.run_to_end();
    assert_eq!(world.granted(), ["op0..1[0]", "op1", "op1"], "the second one sweeps");
    let summary = &world.ended[&run];
    assert_eq!(summary.state, RunState::Failed);
    assert_eq!(summary.failure.as_ref().map(|found| &found.failure), Some(&failure));
    // The ending is not durable until the run has ended: a sweep that counted as a commit would make the run a success
    // if the coordinator was killed in between.
    let is_commit = |record: &&Record| matches!(record, Record::RunOpCommitted { .. });
    assert_eq!(world.records.iter().find(is_commit), None);
}

#[test]
fn a_run_whose_sweep_fails_too_still_ends() {
    let mut world = World::new();
    world.worker("w1", 1);
    let run = world.run(1, into_a_file(), 1);
    for attempt in 1..=2 {
        world
            .failing_whole
            .insert((OpId(1), attempt), Failure::permanent("no disk"));
    }
    world.run_to_end();
    assert_eq!(world.granted(), ["op0..1[0]", "op1", "op1"]);
    assert_eq!(world.ended[&run].state, RunState::Failed);
}

#[test]
fn a_file_sink_is_finished_by_an_op_over_the_whole_run() {
    let mut world = World::new();
    world.worker("w1", 1);
    let run = world.run(1, into_a_file(), 2);
    world.run_to_end();
    assert_eq!(world.granted(), ["op0..1[0]", "op0..1[1]", "op1"]);
    assert!(
        world
            .records
            .iter()
            .any(|record| matches!(record, Record::RunOpCommitted { .. }))
    );
    assert_eq!(world.ended[&run].state, RunState::Succeeded);
}

#[test]
fn an_empty_source_is_a_run_that_succeeds() {
    let mut world = World::new();
    let run = world.run(1, two_steps(1), 0);
    world.run_to_end();
    assert_eq!(
        (world.ended[&run].state, world.ended[&run].batches.total),
        (RunState::Succeeded, 0)
    );
}

#[test]
fn a_source_that_fails_fails_its_run_after_the_begun_batches() {
    let mut world = World::new();
    world.worker("w1", 1);
    let mut job = two_steps(1);
    job.batching = jobs::rows(1);
    let run = world.run(1, job, 500);
    world.pass(millis(2_500));
    world.tell(Event::SourceFailed {
        run,
        failure: Failure::bad_input("line 7: a quote is never closed"),
    });
    world.run_to_end();
    let summary = &world.ended[&run];
    assert_eq!(summary.state, RunState::Failed);
    assert!(summary.rows.balances() && summary.batches.committed >= 2, "{summary:?}");
}
