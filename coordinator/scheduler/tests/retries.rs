//! Failed batches that are tried again: in a run that goes on, and in one that had ended.

mod support;

use std::time::Duration;

use common::failure::FailureKind;
use common::job::{FailurePolicy, OnFailure};
use common::state::{BatchState, RunState};
use common::steering::Asker;
use proptest::prelude::*;
use scheduler::{Event, NotRetryable, Record};
use support::World;
use support::failing::{RUN, bad_row, committed_rows, ended, failed, failed_now, halving_job, policy, retry};

/// A run that goes on although its first batch has failed for good.
fn failing_at_once() -> World {
    let mut world = World::new();
    world.worker("w1", 1);
    bad_row(&mut world, 0, FailureKind::Permanent);
    world.run(1, halving_job(1), 10);
    while failed(&world).is_empty() {
        assert!(world.step(), "the row fails");
    }
    world
}

#[test]
fn failed_batches_of_a_run_that_goes_on_are_tried_again_in_it() {
    let mut world = failing_at_once();
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
fn a_batch_whose_retry_is_not_durable_yet_is_not_retried_once_more() {
    let mut world = failing_at_once();
    let (batches, by) = (failed_now(&world), Asker::Grpc);
    let event = || Event::RetryRequested {
        run: RUN,
        batches: batches.clone(),
        by,
    };
    // Both are heard in one step, before the first one's record is durable; the row stays wrong.
    world.scheduler.handle(event(), world.now);
    world.tell(event());
    world.run_to_end();
    let of = |wanted: fn(&Record) -> bool| world.records.iter().filter(|record| wanted(record)).count();
    assert_eq!(of(|record| matches!(record, Record::FailedRetried { .. })), 1);
    assert_eq!(
        of(|record| matches!(record, Record::BatchFailed { .. })),
        2,
        "once, and once again"
    );
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
