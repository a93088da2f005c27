//! What a run's summary counts is true also when the coordinator was started again meanwhile.

mod support;

use std::time::Duration;

use common::failure::Failure;
use common::ids::{BatchId, OpId, RunId};
use common::job::{Checkpointing, Job};
use scheduler::{HighMarks, Record};
use support::{World, jobs};

const OP: u64 = 100;
const RUN: RunId = RunId(1);
const DEAR: OpId = OpId(1);

/// What may happen to the coordinator in the middle of a run.
type Restart = Option<fn(&mut World)>;

const RESTARTS: [Restart; 3] = [None, Some(World::restart), Some(World::restart_under_workers)];

/// A dear op that is a checkpoint, and one behind it.
fn checkpointed() -> Job {
    let mut dear = jobs::op_of("dear", OP);
    dear.checkpoint = Checkpointing::Yes;
    let ops = vec![dear, jobs::op_of("load", OP)];
    jobs::chain("checkpointed", ops, jobs::rows(1), jobs::cap(1))
}

fn pass_and(world: &mut World, millis: u64, restart: Restart) {
    world.pass(Duration::from_millis(millis));
    if let Some(restart) = restart {
        restart(world);
    }
}

fn marks(world: &World) -> Vec<HighMarks> {
    let told = world.records.iter().filter_map(|record| {
        let Record::MarksRisen { marks, .. } = record else {
            return None;
        };
        Some(*marks)
    });
    told.collect()
}

#[test]
fn tasks_of_a_rerun_are_those_that_it_ran_itself_whenever_the_coordinator_is_started_again() {
    for restart in RESTARTS {
        for at in [OP / 2, OP + OP / 2, 2 * OP + OP / 2, 3 * OP + OP / 2] {
            let mut world = World::new();
            world.worker("w1", 1);
            world.run(1, checkpointed(), 3);
            world.run_to_end();
            let again = world.rerun(2, RUN, checkpointed(), DEAR, [0, 2]);
            pass_and(&mut world, at, restart);
            world.run_to_end();
            // One op each of two batches, and three of the one that begins at its source.
            assert_eq!(world.ended[&again].tasks.succeeded, 5, "started again at {at} ms");
        }
    }
}

#[test]
fn tasks_up_to_a_checkpoint_are_counted_once_whenever_the_coordinator_is_started_again() {
    for restart in RESTARTS {
        for at in [OP / 2, OP + OP / 2, 2 * OP + OP / 2] {
            let mut world = World::new();
            world.worker("w1", 1);
            world.run(1, checkpointed(), 3);
            pass_and(&mut world, at, restart);
            world.run_to_end();
            assert_eq!(world.ended[&RUN].tasks.succeeded, 9, "started again at {at} ms");
        }
    }
}

#[test]
fn peaks_that_were_reached_before_a_restart_are_not_forgotten() {
    let peaks_of = |world: &World| {
        let summary = world
            .scheduler
            .summary(RUN)
            .unwrap_or_else(|| world.ended[&RUN].clone());
        (
            summary.batches_in_flight.peak,
            summary.bytes_in_flight.peak,
            summary.committing.peak,
            summary.tasks_running.peak,
        )
    };
    let mut world = World::new();
    let large = world.worker("w1", 4);
    let job = jobs::chain("wide", vec![jobs::op_of("work", OP)], jobs::rows(1), jobs::cap(4));
    world.run(1, job, 12);
    world.pass(Duration::from_millis(OP + OP / 2));
    let before = peaks_of(&world);
    assert_eq!(before.3, 4);
    world.kill(large);
    world.restart();
    assert_eq!(peaks_of(&world), before, "right after the restart");
    world.worker("w2", 1);
    world.run_to_end();
    assert_eq!(peaks_of(&world), before, "one worker alone reaches no more");
}

#[test]
fn failed_and_repeated_attempts_from_before_a_restart_are_counted() {
    let mut world = World::new();
    world.worker("w1", 1);
    let mut work = jobs::op_of("work", OP);
    work.retry.initial_backoff = Duration::from_millis(1);
    let job = jobs::chain("retried", vec![work], jobs::rows(1), jobs::cap(1));
    let first = BatchId::whole(0);
    world
        .failing
        .insert((OpId(1), first, 1), Failure::retryable("told to fail"));
    world.run(1, job, 3);
    world.pass(Duration::from_millis(3 * OP + OP / 2));
    world.restart();
    world.run_to_end();
    let tasks = world.ended[&RUN].tasks;
    assert_eq!((tasks.failed, tasks.retried), (1, 1));
}

#[test]
fn numbers_that_only_rise_are_written_when_they_have_and_with_another_record() {
    let mut world = World::new();
    world.worker("w1", 2);
    let job = jobs::chain("long", vec![jobs::op_of("work", OP)], jobs::rows(1), jobs::cap(2));
    world.run(1, job, 40);
    world.run_to_end();
    let told = marks(&world);
    let rise = told.windows(2).all(|two| two[0] != two[1]);
    assert!(rise && told.len() <= 4, "{} times: {told:?}", told.len());
    let alone = world
        .records
        .windows(2)
        .filter(|two| matches!(two[0], Record::MarksRisen { .. }))
        .find(|two| matches!(two[1], Record::MarksRisen { .. } | Record::SessionOpened { .. }));
    assert!(alone.is_none(), "{alone:?}");
}
