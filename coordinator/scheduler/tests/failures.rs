//! What becomes of batches that fail for good: halved down to the rows that are wrong, tolerated, tried again.

mod support;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use common::failure::{Failure, FailureKind};
use common::ids::{BatchId, OpId, RunId};
use common::job::{Bisect, FailurePolicy, Job, OnFailure};
use common::slice::Slice;
use common::state::{BatchState, RunState};
use common::steering::{Asker, RunCommand};
use common::summary::RunSummary;
use proptest::prelude::*;
use scheduler::{Event, NotRetryable, Record};
use support::{World, jobs};

const RUN: RunId = RunId(1);

/// Two ops of 10 ms and 20 ms on batches of so many rows; what fails is halved, and the run goes on.
fn halving_job(rows_per_batch: u32) -> Job {
    let ops = vec![jobs::op_of("check", 10), jobs::op_of("load", 20)];
    let mut job = jobs::chain("halving", ops, jobs::rows(rows_per_batch), jobs::cap(2));
    for op in &mut job.ops {
        op.retry.bisect = Bisect::Yes;
        op.retry.max_attempts = NonZeroU32::new(2).expect("is not zero");
    }
    job.failure = policy(OnFailure::Continue);
    job
}

fn policy(on_failure: OnFailure) -> FailurePolicy {
    FailurePolicy {
        on_failure,
        ..FailurePolicy::default()
    }
}

fn bad_row(world: &mut World, row: u64, kind: FailureKind) {
    world
        .bad_rows
        .insert(row, (OpId(1), Failure::new(kind, "the row is wrong")));
}

fn failed(world: &World) -> Vec<String> {
    failed_now(world).iter().map(BatchId::to_string).collect()
}

/// The failed batches that could be tried again now.
fn failed_now(world: &World) -> Vec<BatchId> {
    let failed = world.scheduler.retryable(RUN);
    failed.map_or_else(|_| Vec::new(), |failed| failed.map(|(batch, _)| batch).collect())
}

fn retry(world: &mut World, batches: Vec<BatchId>) {
    let by = Asker::Grpc;
    world.tell(Event::RetryRequested { run: RUN, batches, by });
}

/// The rows that were committed, each as often as it was, by the slices that the records speak of.
fn committed_rows(world: &World, rows_per_batch: u64, rows: u64) -> BTreeMap<u64, u32> {
    let mut slices: BTreeMap<BatchId, (u64, u64)> = BTreeMap::new();
    for index in 0..rows.div_ceil(rows_per_batch) {
        let first = index * rows_per_batch;
        slices.insert(index.into(), (first, (first + rows_per_batch).min(rows)));
    }
    let mut loaded = BTreeMap::new();
    for record in &world.records {
        if let Record::BatchHalved {
            batch, first, second, ..
        } = record
        {
            let (of_first, of_second) = batch.halves.split().expect("is not that deep");
            for (halves, Slice::Bytes(bytes)) in [(of_first, first), (of_second, second)] {
                let start = bytes.first_row.expect("is counted");
                slices.insert(
                    BatchId { halves, ..*batch },
                    (start, start + bytes.rows.expect("is counted")),
                );
            }
        }
        if let Record::BatchCommitted { batch, .. } = record {
            let (start, end) = slices[batch];
            for row in start..end {
                *loaded.entry(row).or_insert(0) += 1;
            }
        }
    }
    loaded
}

fn ended(world: &World) -> RunSummary {
    world.ended[&RUN].clone()
}

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
fn failed_batches_of_a_run_that_goes_on_are_tried_again_in_it() {
    let mut world = World::new();
    world.worker("w1", 1);
    bad_row(&mut world, 0, FailureKind::Permanent);
    world.run(1, halving_job(1), 10);
    while failed(&world).is_empty() {
        assert!(world.step(), "the row fails");
    }
    world.bad_rows.clear();
    retry(&mut world, vec![0.into()]);
    retry(&mut world, vec![0.into()]);
    world.run_to_end();
    let summary = ended(&world);
    assert_eq!(summary.state, RunState::Succeeded);
    assert_eq!(
        (summary.rows.read, summary.rows.loaded, summary.rows.failed),
        (10, 10, 0)
    );
    assert_eq!(summary.failure, None);
    let retried = world
        .records
        .iter()
        .filter(|record| matches!(record, Record::FailedRetried { .. }));
    assert_eq!(retried.count(), 1, "asked twice, done once");
    let again = world
        .grants
        .iter()
        .filter(|(_, grant)| grant.batch == Some(0.into()))
        .nth(1);
    let (_, grant) = again.expect("is granted again");
    assert_eq!(grant.steps[0].attempt.0, 2, "attempts go on counting");
}

#[test]
fn a_run_that_completed_with_failures_is_reopened_and_ends_as_if_it_had_never_failed() {
    let mut world = World::new();
    world.worker("w1", 1);
    bad_row(&mut world, 5, FailureKind::BadInput);
    bad_row(&mut world, 11, FailureKind::Permanent);
    world.run(1, halving_job(4), 16);
    world.run_to_end();
    assert_eq!(failed(&world), ["1.0.1", "2"]);
    world.bad_rows.clear();
    let batches = failed_now(&world);
    retry(&mut world, batches.clone());
    assert!(!world.scheduler.can_be_reopened(RUN));
    retry(&mut world, batches);
    world.run_to_end();
    let summary = ended(&world);
    assert_eq!(summary.state, RunState::Succeeded);
    assert_eq!(
        (summary.rows.read, summary.rows.loaded, summary.batches.failed),
        (16, 16, 0)
    );
    assert_eq!((summary.batches.total, summary.batches.committed), (6, 6));
    let loaded = committed_rows(&world, 4, 16);
    assert!(loaded.values().all(|times| *times == 1) && loaded.len() == 16);
    assert!(matches!(world.scheduler.retryable(RUN), Err(NotRetryable::Over { .. })));
}

#[test]
fn a_run_that_failed_early_is_reopened_and_does_what_it_had_not_begun() {
    for on_failure in [OnFailure::Drain, OnFailure::Cancel] {
        let mut world = World::new();
        world.worker("w1", 2);
        bad_row(&mut world, 2, FailureKind::Permanent);
        let mut job = halving_job(1);
        job.failure = policy(on_failure);
        world.run(1, job, 12);
        world.run_to_end();
        assert_eq!(ended(&world).state, RunState::Failed);
        world.restart();
        world.bad_rows.clear();
        let batches = failed_now(&world);
        retry(&mut world, batches);
        world.pass(Duration::from_millis(25));
        world.restart();
        world.run_to_end();
        let summary = ended(&world);
        assert_eq!((summary.state, summary.rows.loaded), (RunState::Succeeded, 12));
        assert!(summary.rows.balances(), "{summary:?}");
        assert!(committed_rows(&world, 1, 12).values().all(|times| *times == 1));
    }
}

#[test]
fn a_run_that_is_about_to_end_is_not_retried_and_a_forgotten_one_neither() {
    let mut world = World::new();
    world.worker("w1", 2);
    bad_row(&mut world, 0, FailureKind::Permanent);
    let mut job = halving_job(1);
    job.failure = policy(OnFailure::Drain);
    world.run(1, job, 8);
    while world
        .scheduler
        .batches(RUN)
        .all(|batch| batch.state != BatchState::Failed)
    {
        assert!(world.step(), "the row fails");
    }
    assert!(matches!(
        world.scheduler.retryable(RUN),
        Err(NotRetryable::Ending { .. })
    ));
    retry(&mut world, vec![0.into()]);
    world.run_to_end();
    assert_eq!(ended(&world).state, RunState::Failed);
    world.tell(Event::RunForgotten { run: RUN });
    assert!(matches!(world.scheduler.retryable(RUN), Err(NotRetryable::Over { .. })));
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

#[derive(Clone, Debug)]
enum Deed {
    Kill,
    Restart,
    RetryAll,
    RetryOne(usize),
    Mend(usize),
    Spoil(u64, usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        2 => Just(Deed::Kill),
        2 => Just(Deed::Restart),
        2 => Just(Deed::RetryAll),
        2 => any::<usize>().prop_map(Deed::RetryOne),
        1 => any::<usize>().prop_map(Deed::Mend),
        1 => (0..40_u64, 0..4_usize).prop_map(|(row, kind)| Deed::Spoil(row, kind)),
    ]
}

const KINDS: [FailureKind; 4] = [
    FailureKind::BadInput,
    FailureKind::Retryable,
    FailureKind::TimedOut,
    FailureKind::Permanent,
];

fn act(world: &mut World, deed: &Deed, joined: &mut u32) {
    match deed {
        Deed::Kill => {
            if let Some(session) = world.alive().first() {
                world.kill(*session);
            }
            *joined += 1;
            world.worker(&format!("w{joined}"), 2);
        }
        Deed::Restart => world.restart(),
        Deed::RetryAll => {
            let batches = failed_now(world);
            retry(world, batches);
        }
        Deed::RetryOne(place) => {
            let batches = failed_now(world);
            if !batches.is_empty() {
                retry(world, vec![batches[place % batches.len()]]);
            }
        }
        Deed::Mend(place) => {
            let rows: Vec<u64> = world.bad_rows.keys().copied().collect();
            if !rows.is_empty() {
                world.bad_rows.remove(&rows[place % rows.len()]);
            }
        }
        Deed::Spoil(row, kind) => bad_row(world, *row, KINDS[*kind]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_and_is_tried_again_each_row_is_loaded_at_most_once_and_all_of_them_when_nothing_is_wrong_any_more(
        bad in proptest::collection::btree_map(0..40_u64, 0..4_usize, 0..6),
        deeds in proptest::collection::vec((deed(), 0..80_u64), 0..25),
        policy_place in 0..3_usize,
        tolerated in proptest::option::of(0..6_u32),
        rows_per_batch in 1..9_u32,
    ) {
        let mut world = World::new();
        world.worker("w0", 2);
        let rows = 40;
        for (row, kind) in bad {
            bad_row(&mut world, row, KINDS[kind]);
        }
        let mut job = halving_job(rows_per_batch);
        job.failure = FailurePolicy {
            on_failure: [OnFailure::Drain, OnFailure::Cancel, OnFailure::Continue][policy_place],
            tolerated_batches: tolerated,
            tolerated_percent: None,
        };
        world.run(1, job, rows);
        let mut joined = 0;
        for (deed, wait) in &deeds {
            act(&mut world, deed, &mut joined);
            world.pass(Duration::from_millis(*wait));
        }
        world.worker("rescue", 2);
        world.run_to_end();
        let summary = ended(&world);
        prop_assert!(summary.rows.balances(), "{:?}", summary);
        let loaded = committed_rows(&world, rows_per_batch.into(), rows);
        prop_assert!(loaded.values().all(|times| *times == 1));
        prop_assert_eq!(loaded.len() as u64, summary.rows.loaded);
        if summary.state == RunState::CompletedWithFailures {
            prop_assert_eq!(summary.rows.read, rows);
        }
        if summary.state != RunState::Succeeded {
            world.bad_rows.clear();
            let batches = failed_now(&world);
            retry(&mut world, batches);
            world.run_to_end();
        }
        let summary = ended(&world);
        prop_assert_eq!(summary.state, RunState::Succeeded);
        prop_assert_eq!((summary.rows.read, summary.rows.loaded), (rows, rows));
        let loaded = committed_rows(&world, rows_per_batch.into(), rows);
        prop_assert!(loaded.len() as u64 == rows && loaded.values().all(|times| *times == 1));
    }
}
