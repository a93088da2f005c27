//! Checkpoints: what an op has made is kept where every worker sees it, and the ops up to there are never run again.

mod support;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use common::failure::Failure;
use common::holdings::{HeldCourse, HeldState};
use common::ids::{BatchId, OpId, RunId};
use common::job::{Checkpointing, FailurePolicy, Job, OnFailure};
use common::message::Input;
use common::state::RunState;
use common::steering::Asker;
use scheduler::{Event, Record};
use support::{World, jobs};

const OP: u64 = 100;
const RUN: RunId = RunId(1);
const DEAR: OpId = OpId(1);
const LOAD: OpId = OpId(2);

/// A dear op that is a checkpoint, and one behind it.
fn job() -> Job {
    let mut dear = jobs::op_of("dear", OP);
    dear.checkpoint = Checkpointing::Yes;
    jobs::chain(
        "checkpointed",
        vec![dear, jobs::op_of("load", OP)],
        jobs::rows(1),
        jobs::cap(1),
    )
}

fn begun(world: &World, op: OpId) -> usize {
    world.grants.iter().filter(|(_, grant)| grant.steps[0].op == op).count()
}

fn checkpoints(world: &World) -> usize {
    let is_one = |record: &&Record| matches!(record, Record::BatchCheckpointed { .. });
    world.records.iter().filter(is_one).count()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_chain_is_cut_behind_a_checkpoint_and_the_batch_goes_on_from_it() {
    let mut world = World::new();
    world.worker("w1", 1);
    world.run(1, job(), 1);
    world.run_to_end();
    assert_eq!(world.granted(), ["op0..1[0]", "op2[0]"]);
    let Input::Checkpoint(part) = &world.grants[1].1.input else {
        panic!("{:?}", world.grants[1])
    };
    assert_eq!(part.op, DEAR);
    let past = world.grants[1].1.past.as_ref().expect("says what lies behind it");
    assert_eq!(past.done.len(), 2);
    let summary = &world.ended[&RUN];
    assert_eq!((summary.state, summary.rows.loaded), (RunState::Succeeded, 1));
    assert_eq!(checkpoints(&world), 1);
}

#[test]
fn no_new_batch_takes_the_slot_of_one_whose_checkpoint_becomes_durable() {
    let mut world = World::new();
    world.worker("w1", 1);
    world.run(1, job(), 2);
    world.run_to_end();
    assert_eq!(world.granted(), ["op0..1[0]", "op2[0]", "op0..1[1]", "op2[1]"]);
}

#[test]
fn a_batch_goes_on_behind_its_checkpoint_when_its_worker_is_lost() {
    let mut world = World::new();
    let lost = world.worker("w1", 1);
    world.run(1, job(), 3);
    world.pass(millis(OP + OP / 2));
    world.kill(lost);
    world.worker("w2", 1);
    world.run_to_end();
    assert_eq!(begun(&world, OpId::EXTRACT), 3, "{:?}", world.granted());
    assert_eq!(begun(&world, LOAD), 4);
}

#[test]
fn a_restarted_coordinator_goes_on_behind_every_checkpoint() {
    for restart in [World::restart, World::restart_under_workers] {
        let mut world = World::new();
        world.worker("w1", 1);
        world.run(1, job(), 3);
        world.pass(millis(OP + OP / 2));
        assert_eq!(checkpoints(&world), 1);
        restart(&mut world);
        world.run_to_end();
        assert_eq!(begun(&world, OpId::EXTRACT), 3, "{:?}", world.granted());
        assert_eq!(checkpoints(&world), 3);
        assert_eq!(world.ended[&RUN].rows.loaded, 3);
    }
}

#[test]
fn a_batch_that_goes_on_after_a_restart_keeps_to_the_limit_of_its_op() {
    let mut world = World::new();
    world.worker("w1", 4);
    let mut job = job();
    job.schedule.max_concurrent = NonZeroU32::new(4);
    job.ops[2].max_concurrent = NonZeroU32::new(1);
    world.run(1, job, 4);
    world.pass(millis(OP + OP / 2));
    assert_eq!(checkpoints(&world), 4);
    world.restart();
    world.pass(millis(OP * 20));
    let rows = |op: OpId| world.timeline.iter().filter(move |((of, ..), _)| *of == op);
    assert_eq!(begun(&world, OpId::EXTRACT), 4);
    let mut loads: Vec<_> = rows(LOAD).map(|(_, entry)| (entry.started, entry.finished)).collect();
    loads.sort();
    let in_turn = loads.windows(2).all(|two| two[0].1 <= Some(two[1].0));
    assert!(loads.len() == 4 && in_turn, "{loads:?}");
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_tried_again_and_then_given_up() {
    for (unread, extracts, lost) in [(2, 1, 0), (3, 2, 1)] {
        let mut world = World::new();
        world.worker("w1", 1);
        world.run(1, job(), 1);
        world.unreadable.insert(BatchId::whole(0), unread);
        world.run_to_end();
        assert_eq!(begun(&world, OpId::EXTRACT), extracts, "{:?}", world.granted());
        let is_lost = |record: &&Record| matches!(record, Record::CheckpointLost { .. });
        assert_eq!(world.records.iter().filter(is_lost).count(), lost);
        let summary = &world.ended[&RUN];
        assert_eq!((summary.state, summary.tasks.failed), (RunState::Succeeded, 0));
    }
}

#[test]
fn a_failed_batch_that_is_tried_again_begins_behind_its_checkpoint() {
    let mut world = World::new();
    world.worker("w1", 1);
    let mut job = job();
    job.failure = FailurePolicy {
        on_failure: OnFailure::Continue,
        ..FailurePolicy::default()
    };
    world.run(1, job, 2);
    let first = BatchId::whole(0);
    world
        .failing
        .insert((LOAD, first, 1), Failure::permanent("told to fail"));
    world.run_to_end();
    assert_eq!(world.ended[&RUN].state, RunState::CompletedWithFailures);
    world.restart();
    let (batches, by) = (vec![first], Asker::Grpc);
    world.tell(Event::RetryRequested { run: RUN, batches, by });
    world.run_to_end();
    assert_eq!(world.ended[&RUN].state, RunState::Succeeded);
    assert_eq!(begun(&world, OpId::EXTRACT), 2, "{:?}", world.granted());
    assert_eq!(world.ended[&RUN].rows.loaded, 2);
}

#[test]
fn the_checkpoints_of_a_forgotten_run_are_deleted_by_a_worker() {
    for restart in [|_: &mut World| {}, World::restart] {
        let mut world = World::new();
        world.worker("w1", 1);
        world.run(1, job(), 1);
        world.run_to_end();
        restart(&mut world);
        assert!(world.swept.is_empty(), "they are kept with the run's history");
        world.tell(Event::RunForgotten { run: RUN });
        world.pass(millis(OP));
        assert_eq!(world.swept, [RUN]);
    }
}

#[test]
fn a_run_that_begins_at_another_ones_checkpoints_does_nothing_before_them_also_after_a_restart() {
    for restart in [
        None,
        Some(World::restart as fn(&mut World)),
        Some(World::restart_under_workers),
    ] {
        let mut world = World::new();
        world.worker("w1", 1);
        world.run(1, job(), 3);
        world.run_to_end();
        let granted = world.grants.len();
        let again = world.rerun(2, RUN, job(), DEAR, [0, 2]);
        if let Some(restart) = restart {
            world.pass(millis(OP / 2));
            restart(&mut world);
        }
        world.run_to_end();
        let of_again = |world: &World, op: OpId| {
            let grants = world.grants[granted..].iter();
            let batches = grants.filter(|(_, grant)| grant.run == again && grant.steps[0].op == op);
            batches
                .filter_map(|(_, grant)| grant.batch)
                .map(|batch| batch.index)
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(
            of_again(&world, OpId::EXTRACT),
            BTreeSet::from([1]),
            "has no checkpoint"
        );
        assert_eq!(of_again(&world, LOAD), BTreeSet::from([0, 1, 2]));
        let summary = &world.ended[&again];
        assert_eq!(
            (summary.state, summary.rows.read, summary.rows.loaded),
            (RunState::Succeeded, 3, 3)
        );
    }
}

#[test]
fn an_inherited_checkpoint_that_was_given_up_is_not_tried_again_after_a_restart() {
    let mut world = World::new();
    world.worker("w1", 1);
    world.run(1, job(), 1);
    world.run_to_end();
    world.unreadable.insert(BatchId::whole(0), 3);
    let again = world.rerun(2, RUN, job(), DEAR, [0]);
    let is_lost = |world: &World| {
        let mut records = world.records.iter();
        records.any(|record| matches!(record, Record::CheckpointLost { .. }))
    };
    while !is_lost(&world) {
        assert!(world.step(), "it is given up");
    }
    let granted = world.grants.len();
    world.restart();
    world.run_to_end();
    let inputs = world.grants[granted..].iter().map(|(_, grant)| &grant.input);
    let of_another = inputs.filter(|input| matches!(input, Input::Checkpoint(part) if !part.file.contains("-l2.")));
    assert_eq!(of_another.count(), 0, "{:?}", &world.grants[granted..]);
    assert_eq!(world.ended[&again].state, RunState::Succeeded);
}

/// A run of three batches and one of the same job that begins at its checkpoints, which is told to fail once.
fn rerun_that_fails(world: &mut World, batches: impl IntoIterator<Item = u64>) -> (RunId, usize) {
    world.run(1, tolerant(), 3);
    world.run_to_end();
    let granted = world.grants.len();
    let failure = Failure::permanent("told to fail");
    world.failing.insert((LOAD, BatchId::whole(0), 1), failure);
    (world.rerun(2, RUN, tolerant(), DEAR, batches), granted)
}

fn tolerant() -> Job {
    let mut job = job();
    job.failure = FailurePolicy {
        on_failure: OnFailure::Continue,
        ..FailurePolicy::default()
    };
    job
}

/// Returns the batches that were begun at their source since so many leases were granted.
fn extracted(world: &World, since: usize) -> BTreeSet<u64> {
    let grants = world.grants[since..].iter();
    let from_source = grants.filter(|(_, grant)| grant.steps[0].op == OpId::EXTRACT);
    from_source
        .filter_map(|(_, grant)| grant.batch)
        .map(|batch| batch.index)
        .collect()
}

#[test]
fn a_batch_of_a_rerun_that_is_retried_after_a_restart_before_its_slice_is_found_begins_at_its_checkpoint() {
    let mut world = World::new();
    world.worker("w1", 1);
    let (again, granted) = rerun_that_fails(&mut world, [0, 2]);
    world.pass(millis(OP + OP / 2));
    world.restart();
    let (batches, by) = (vec![BatchId::whole(0)], Asker::Grpc);
    world.tell(Event::RetryRequested {
        run: again,
        batches,
        by,
    });
    assert!(
        world.scheduler.is_open_or_committed(again, BatchId::whole(0)),
        "asking for it again is no mistake"
    );
    world.run_to_end();
    assert_eq!(extracted(&world, granted), BTreeSet::from([1]), "{:?}", world.granted());
    let summary = &world.ended[&again];
    assert_eq!((summary.state, summary.rows.loaded), (RunState::Succeeded, 3));
}

#[test]
fn a_batch_of_a_rerun_that_was_taken_over_and_loses_its_worker_begins_at_its_checkpoint() {
    let mut world = World::new();
    let worker = world.worker("w1", 1);
    world.run(1, job(), 1);
    world.run_to_end();
    let granted = world.grants.len();
    let again = world.rerun(2, RUN, job(), DEAR, [0]);
    world.pass(millis(OP / 2));
    let listing = world.listing(worker);
    world.restart_apart();
    let returned = world.reattach(worker, "w1", 1, listing);
    assert_eq!(world.adopted.len(), 1);
    world.kill(returned);
    world.worker("w2", 1);
    world.run_to_end();
    assert_eq!(extracted(&world, granted), BTreeSet::new(), "{:?}", world.granted());
    assert_eq!(world.ended[&again].state, RunState::Succeeded);
}

#[test]
fn a_batch_of_a_rerun_whose_lease_is_refused_after_a_restart_begins_at_its_checkpoint() {
    let mut world = World::new();
    let worker = world.worker("w1", 2);
    world.run(1, job(), 1);
    world.run_to_end();
    let granted = world.grants.len();
    let again = world.rerun(2, RUN, job(), DEAR, [0]);
    world.pass(millis(OP / 2));
    let mut listing = world.listing(worker);
    for held in &mut listing.leases {
        if let HeldState::Running { course, .. } = &mut held.state {
            *course = HeldCourse::Stopping;
        }
    }
    world.restart_apart();
    world.reattach(worker, "w1", 2, listing);
    assert!(world.adopted.is_empty());
    world.run_to_end();
    assert_eq!(extracted(&world, granted), BTreeSet::new(), "{:?}", world.granted());
    assert_eq!(world.ended[&again].state, RunState::Succeeded);
}

#[test]
fn an_inherited_checkpoint_that_cannot_be_read_lets_its_batch_begin_at_the_source() {
    let mut world = World::new();
    world.worker("w1", 1);
    world.run(1, job(), 1);
    world.run_to_end();
    let granted = world.grants.len();
    world.unreadable.insert(BatchId::whole(0), 3);
    let again = world.rerun(2, RUN, job(), DEAR, [0]);
    world.run_to_end();
    assert!(
        world.grants[granted..]
            .iter()
            .any(|(_, grant)| grant.steps[0].op == OpId::EXTRACT)
    );
    assert_eq!(world.ended[&again].state, RunState::Succeeded);
}
