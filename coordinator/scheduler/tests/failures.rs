//! What becomes of batches that fail for good: halved down to the rows that are wrong, given up, tolerated.

mod support;

use std::num::NonZeroU32;
use std::time::Duration;

use common::failure::FailureKind;
use common::ids::OpId;
use common::job::{FailurePolicy, OnFailure};
use common::slice::Slice;
use common::state::RunState;
use common::steering::{Asker, RunCommand};
use scheduler::Record;
use support::World;
use support::failing::{RUN, bad_row, committed_rows, ended, failed, failed_now, halving_job, policy, retry};

#[test]
fn a_failing_batch_is_halved_down_to_the_bad_row_and_every_other_row_is_loaded_once() {
    let mut world = World::new();
    world.worker("w1", 1);
    bad_row(&mut world, 5, FailureKind::BadInput);
    world.run(1, halving_job(8), 16);
    world.run_to_end();
    assert_eq!(
        world.granted(),
        [
            "op0..2[0]",
            // The slot does not wait for a cut.
            "op0..2[1]",
            "op0..2[0.0]",
            "op0..2[0.1]",
            "op0..2[0.1.0]",
            "op0..2[0.1.1]",
            "op0..2[0.1.0.0]",
            "op0..2[0.1.0.1]",
        ]
    );
    let summary = ended(&world);
    assert_eq!(summary.state, RunState::CompletedWithFailures);
    assert_eq!(
        (summary.rows.read, summary.rows.loaded, summary.rows.failed),
        (16, 15, 1)
    );
    assert_eq!(
        (summary.batches.total, summary.batches.committed, summary.batches.failed),
        (5, 4, 1)
    );
    let loaded = committed_rows(&world, 8, 16);
    assert!(loaded.values().all(|times| *times == 1) && loaded.len() == 15 && !loaded.contains_key(&5));
    let (batch, kept) = world
        .scheduler
        .retryable(RUN)
        .expect("is kept")
        .next()
        .expect("has failed");
    assert_eq!(batch.to_string(), "0.1.0.1");
    let row = kept.row.as_ref().expect("is a single row");
    assert_eq!((row.line, row.byte, row.text.as_str()), (7, 500, "row 5"));
}

#[test]
fn each_half_has_attempts_of_its_own() {
    let mut world = World::new();
    world.worker("w1", 1);
    bad_row(&mut world, 1, FailureKind::Retryable);
    world.run(1, halving_job(2), 2);
    world.run_to_end();
    // The batch and the row have two attempts each; the op that failed goes on from what was extracted.
    assert_eq!(
        world.granted(),
        ["op0..2[0]", "op1..2[0]", "op0..2[0.0]", "op0..2[0.1]", "op1..2[0.1]"]
    );
    assert_eq!(failed(&world), ["0.1"]);
}

#[test]
fn a_split_is_recorded_before_a_half_is_begun_and_a_restart_goes_on_with_the_halves() {
    let mut world = World::new();
    world.worker("w1", 1);
    bad_row(&mut world, 3, FailureKind::BadInput);
    world.run(1, halving_job(4), 8);
    let is_halved = |world: &World| {
        let halved = |record: &&Record| matches!(record, Record::BatchHalved { .. });
        world.records.iter().any(|record| halved(&record))
    };
    while !is_halved(&world) {
        assert!(
            world
                .grants
                .iter()
                .all(|(_, grant)| grant.batch.is_none_or(|batch| batch.halves.depth() == 0))
        );
        assert!(world.step(), "the batch fails");
    }
    world.restart();
    world.run_to_end();
    assert_eq!(failed(&world), ["0.1.1"]);
    let loaded = committed_rows(&world, 4, 8);
    assert!(loaded.values().all(|times| *times == 1) && loaded.len() == 7);
    let summary = ended(&world);
    assert_eq!((summary.batches.total, summary.batches.committed), (4, 3));
}

#[test]
fn halves_are_begun_within_the_bounds_of_what_is_in_flight() {
    let mut world = World::new();
    world.worker("w1", 4);
    (0..64).for_each(|row| bad_row(&mut world, row, FailureKind::BadInput));
    let mut job = halving_job(16);
    job.schedule.max_concurrent = NonZeroU32::new(4);
    job.schedule.max_in_flight = NonZeroU32::new(3);
    world.run(1, job, 64);
    world.run_to_end();
    let summary = ended(&world);
    assert!(summary.batches_in_flight.peak <= 3, "{summary:?}");
    assert_eq!((summary.rows.failed, summary.batches.failed), (64, 64));
}

#[test]
fn failures_that_no_row_is_the_reason_of_are_not_halved() {
    for kind in [FailureKind::Permanent, FailureKind::LostWorker] {
        let mut world = World::new();
        world.worker("w1", 1);
        bad_row(&mut world, 0, kind);
        world.run(1, halving_job(4), 4);
        world.run_to_end();
        assert_eq!(failed(&world), ["0"], "{kind}");
    }
}

#[test]
fn a_batch_that_loses_five_workers_is_given_up_and_named_with_its_input() {
    let mut world = World::new();
    let mut job = halving_job(4);
    job.schedule.max_concurrent = None;
    world.run(1, job, 4);
    for place in 0..5 {
        let session = world.worker(&format!("w{place}"), 1);
        world.pass(Duration::from_millis(15));
        world.kill(session);
        world.pass(Duration::from_secs(6));
    }
    world.worker("w5", 1);
    world.run_to_end();
    let (batch, kept) = world
        .scheduler
        .retryable(RUN)
        .expect("is kept")
        .next()
        .expect("has failed");
    assert_eq!((batch.to_string().as_str(), kept.crashes), ("0", 5));
    assert_eq!(kept.failure.kind, FailureKind::LostWorker);
    let Slice::Bytes(bytes) = &kept.slice;
    assert_eq!((bytes.first_line, bytes.start, bytes.end), (2, 0, 400));
}

#[test]
fn a_process_that_was_only_away_counts_no_more_when_it_is_back() {
    let mut world = World::new();
    let mut job = halving_job(4);
    job.schedule.max_concurrent = None;
    world.run(1, job, 4);
    let mut lose = |name| {
        let session = world.worker(name, 1);
        world.pass(Duration::from_millis(15));
        world.kill(session);
        world.pass(Duration::from_secs(6));
        failed(&world)
    };
    // One process is frozen again and again; it counts while it is away. Three others die.
    for name in ["w0", "w0", "w1", "w0", "w2", "w0", "w3"] {
        assert!(lose(name).is_empty());
    }
    assert_eq!(lose("w4"), ["0"], "w0 is still away, and with it there are five");
}

#[test]
fn what_a_process_counted_is_taken_back_also_by_a_coordinator_that_was_started_again() {
    let mut world = World::new();
    let mut job = halving_job(4);
    job.schedule.max_concurrent = None;
    world.run(1, job, 4);
    let lose = |world: &mut World, name: &str| {
        let session = world.worker(name, 1);
        world.pass(Duration::from_millis(15));
        world.kill(session);
        world.pass(Duration::from_secs(6));
    };
    ["w0", "w1", "w2", "w3"]
        .into_iter()
        .for_each(|name| lose(&mut world, name));
    world.restart_apart();
    world.pass(Duration::from_secs(6));
    // It is the first one that is frozen again: four have died, and this is one of them.
    lose(&mut world, "w0");
    world.restart_apart();
    world.pass(Duration::from_secs(6));
    world.worker("w0", 1);
    world.run_to_end();
    assert_eq!(ended(&world).state, RunState::Succeeded);
}

#[test]
fn within_what_is_tolerated_a_run_goes_on_and_past_it_the_policy_acts() {
    let end = |bad: u64, on_failure, batches, percent| {
        let mut world = World::new();
        world.worker("w1", 1);
        (0..bad).for_each(|row| bad_row(&mut world, row * 2, FailureKind::Permanent));
        let mut job = halving_job(1);
        job.failure = FailurePolicy {
            on_failure,
            tolerated_batches: batches,
            tolerated_percent: percent,
        };
        world.run(1, job, 20);
        world.run_to_end();
        let summary = ended(&world);
        (summary.state, summary.batches.committed)
    };
    use RunState::{CompletedWithFailures, Failed, Succeeded};
    assert_eq!(end(0, OnFailure::Drain, Some(2), None), (Succeeded, 20));
    assert_eq!(end(2, OnFailure::Drain, Some(2), None), (CompletedWithFailures, 18));
    let (state, committed) = end(3, OnFailure::Drain, Some(2), None);
    assert!(state == Failed && committed < 17, "the run begins no more: {committed}");
    assert_eq!(end(3, OnFailure::Continue, Some(2), None), (Failed, 17));
    assert_eq!(end(3, OnFailure::Continue, None, None), (CompletedWithFailures, 17));
    assert_eq!(end(2, OnFailure::Drain, None, Some(10.0)), (CompletedWithFailures, 18));
    assert_eq!(end(3, OnFailure::Continue, None, Some(10.0)), (Failed, 17));
    assert_eq!(
        end(2, OnFailure::Continue, Some(5), Some(5.0)),
        (Failed, 18),
        "both must hold"
    );
    assert_eq!(end(1, OnFailure::Drain, Some(0), None).0, Failed);
}

#[test]
fn past_what_is_tolerated_a_run_may_be_paused_until_somebody_has_mended_it() {
    let mut world = World::new();
    world.worker("w1", 1);
    bad_row(&mut world, 2, FailureKind::Permanent);
    let mut job = halving_job(1);
    job.failure = policy(OnFailure::Pause);
    world.run(1, job, 6);
    world.pass(Duration::from_secs(60));
    let summary = world.scheduler.summary(RUN).expect("goes on");
    assert_eq!((summary.state, summary.batches.failed), (RunState::Paused, 1));
    assert!(summary.batches.committed < 5, "it begins nothing: {summary:?}");
    world.restart();
    assert_eq!(
        world.scheduler.summary(RUN).map(|summary| summary.state),
        Some(RunState::Paused)
    );
    world.bad_rows.clear();
    let batches = failed_now(&world);
    retry(&mut world, batches);
    world.steer(RUN, RunCommand::Resume);
    world.run_to_end();
    let summary = ended(&world);
    assert_eq!((summary.state, summary.rows.loaded), (RunState::Succeeded, 6));
}

#[test]
fn a_run_that_is_paused_by_its_last_failure_waits_and_ends_with_failures_when_it_is_resumed() {
    let mut world = World::new();
    world.worker("w1", 1);
    bad_row(&mut world, 5, FailureKind::Permanent);
    let mut job = halving_job(1);
    job.failure = policy(OnFailure::Pause);
    world.run(1, job, 6);
    world.pass(Duration::from_secs(60));
    assert_eq!(
        world.scheduler.summary(RUN).map(|summary| summary.state),
        Some(RunState::Paused)
    );
    world.steer(RUN, RunCommand::Resume);
    world.run_to_end();
    let summary = ended(&world);
    assert_eq!(
        (summary.state, summary.batches.failed),
        (RunState::CompletedWithFailures, 1)
    );
}

/// A run that was paused, and is told to go on by a record that is not durable when its bad row fails, which its policy
/// answers with a pause.
fn failed_while_about_to_go_on(row: u64) -> World {
    let mut world = World::new();
    world.worker("w1", 1);
    bad_row(&mut world, row, FailureKind::Permanent);
    let mut job = halving_job(1);
    job.failure = policy(OnFailure::Pause);
    world.run(1, job, 6);
    let is_begun = |world: &World| {
        let mut running = world.scheduler.outlook(RUN).running.into_iter();
        running.any(|(_, entry)| entry.op == OpId(1) && entry.batch == Some(row.into()))
    };
    while !is_begun(&world) {
        assert!(world.step(), "the bad row is begun");
    }
    world.steer(RUN, RunCommand::Pause { reason: None });
    world.stop_the_disk();
    world.steer(RUN, RunCommand::Resume);
    while failed_now(&world).is_empty() {
        assert!(world.step(), "the bad row fails");
    }
    assert_eq!(state_of(&world), Some(RunState::Paused));
    world
}

fn state_of(world: &World) -> Option<RunState> {
    world.scheduler.summary(RUN).map(|summary| summary.state)
}

/// The commands that a run was given, and whether by its policy, in the order of its log.
fn log_of(world: &World) -> Vec<(&'static str, Asker)> {
    let activities = world.records.iter().filter_map(|record| {
        let Record::RunCommanded { activity, .. } = record else {
            return None;
        };
        Some((activity.command.name(), activity.by))
    });
    activities.collect()
}

#[test]
fn a_pause_by_policy_holds_though_the_run_is_about_to_go_on() {
    // With the last row, nothing of the run is left to do when it may go on.
    for row in [1, 5] {
        let mut world = failed_while_about_to_go_on(row);
        world.start_the_disk();
        assert_eq!(state_of(&world), Some(RunState::Paused), "row {row}");
        let told = [
            ("pause", Asker::Grpc),
            ("resume", Asker::Grpc),
            ("pause", Asker::Policy),
        ];
        assert_eq!(log_of(&world), told);
        let begun = world.grants.len();
        world.pass(Duration::from_secs(60));
        assert_eq!(world.grants.len(), begun, "it begins nothing");
        world.restart();
        assert_eq!(state_of(&world), Some(RunState::Paused));
        world.steer(RUN, RunCommand::Resume);
        world.run_to_end();
        assert_eq!(ended(&world).batches.failed, 1);
    }
}

#[test]
fn of_a_pause_by_policy_and_a_resume_behind_it_the_resume_holds() {
    let mut world = failed_while_about_to_go_on(1);
    let ticket = world.steer(RUN, RunCommand::Resume);
    assert_eq!(world.answers.get(&ticket), None);
    world.start_the_disk();
    assert_eq!(world.answers.get(&ticket), Some(&Ok(())));
    let told = ["pause", "resume", "pause", "resume"];
    assert_eq!(
        log_of(&world).into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
        told
    );
    world.run_to_end();
    assert_eq!(ended(&world).state, RunState::CompletedWithFailures);
}

#[test]
fn a_pause_by_policy_holds_after_a_restart_that_comes_before_the_run_was_about_to_go_on() {
    let mut world = failed_while_about_to_go_on(1);
    world.restart();
    assert_eq!(state_of(&world), Some(RunState::Paused));
    let begun = world.grants.len();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.grants.len(), begun, "it begins nothing");
}

#[test]
fn a_run_that_passes_its_deadline_is_stopped_and_fails() {
    let mut world = World::new();
    world.worker("w1", 1);
    let mut job = halving_job(1);
    job.deadline = Some(Duration::from_millis(100));
    world.run(1, job, 100);
    assert!(world.run_to_end() < Duration::from_millis(200));
    let summary = ended(&world);
    assert_eq!(summary.state, RunState::Failed);
    assert_eq!(summary.failure.expect("says why").failure.kind, FailureKind::TimedOut);
}
