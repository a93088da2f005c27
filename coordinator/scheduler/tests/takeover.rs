//! What a worker takes over a restart beside whole batches: halves, and ops over the whole run.

mod support;

use std::time::Duration;

use common::done::{DoneOp, OpDone};
use common::failure::{Failure, FailureKind};
use common::holdings::{HeldState, Holdings};
use common::ids::{BatchId, LeaseId, OpId, RunId, SessionId};
use common::job::{Job, OnFailure};
use common::state::RunState;
use scheduler::{Ending, Finishing, Record};
use support::failing::{RUN, bad_row, committed_rows, halving_job, policy};
use support::{World, jobs};

const OP: u64 = 100;
const LOAD: OpId = OpId(1);

/// Batches of one row into a single file, whose join takes 100 ms.
fn joined() -> Job {
    let mut load = jobs::into_a_file();
    load.delay.per_batch = Duration::from_millis(OP);
    jobs::chain("joined", vec![load], jobs::rows(1), jobs::cap(1))
}

/// A run of one batch, until its join runs; returns the worker.
fn joining(world: &mut World) -> SessionId {
    let worker = world.worker("w1", 1);
    world.run(1, joined(), 1);
    world.pass(Duration::from_millis(OP + OP / 2));
    let grants = world.granted();
    assert_eq!(grants, ["op0..1[0]", "op1"], "its join runs");
    worker
}

fn held(holdings: &Holdings) -> Vec<LeaseId> {
    holdings.leases.iter().map(|held| held.lease).collect()
}

fn op_commits(world: &World) -> Vec<LeaseId> {
    let commits = world.records.iter().filter_map(|record| {
        let Record::RunOpCommitted { lease, .. } = record else {
            return None;
        };
        Some(*lease)
    });
    commits.collect()
}

fn endings(world: &World) -> Vec<Ending> {
    let endings = world.records.iter().filter_map(|record| {
        let Record::RunFinishing {
            finishing: Finishing { ending, .. },
            ..
        } = record
        else {
            return None;
        };
        Some(*ending)
    });
    endings.collect()
}

#[test]
fn halves_that_a_worker_holds_go_on_under_their_leases() {
    let mut world = World::new();
    let worker = world.worker("w1", 2);
    bad_row(&mut world, 3, FailureKind::BadInput);
    world.run(1, halving_job(8), 8);
    let is_half = |world: &World| {
        let leases = world.listing(worker).leases;
        let halves = leases.iter().filter_map(|held| held.batch.as_ref());
        halves.filter(|batch| batch.id.halves.depth() > 0).count()
    };
    while is_half(&world) < 2 {
        assert!(world.step(), "two halves run at once");
    }
    let leases = held(&world.listing(worker));
    let granted = world.grants.len();
    world.restart_under_workers();
    assert_eq!(world.adopted, leases);
    let batches: Vec<_> = world.grants[granted - 2..]
        .iter()
        .map(|(_, grant)| grant.batch)
        .collect();
    world.run_to_end();
    let again = world.grants[granted..]
        .iter()
        .filter(|(_, grant)| batches.contains(&grant.batch) && grant.steps[0].attempt.0 == 1);
    assert_eq!(
        again.count(),
        0,
        "what was held is begun by nobody else: {:?}",
        world.granted()
    );
    let rows = committed_rows(&world, 8, 8);
    assert!(rows.len() == 7 && rows.values().all(|times| *times == 1), "{rows:?}");
    assert_eq!(world.ended[&RUN].state, RunState::CompletedWithFailures);
}

#[test]
fn a_half_of_another_piece_of_the_source_is_refused() {
    let mut world = World::new();
    let worker = world.worker("w1", 1);
    bad_row(&mut world, 3, FailureKind::BadInput);
    world.run(1, halving_job(8), 8);
    let mut listing = world.listing(worker);
    while listing
        .leases
        .iter()
        .all(|held| held.batch.as_ref().is_none_or(|batch| batch.id.halves.depth() == 0))
    {
        assert!(world.step(), "a half runs");
        listing = world.listing(worker);
    }
    let common::slice::Slice::Bytes(bytes) = &mut listing.leases[0].batch.as_mut().expect("of a batch").slice;
    bytes.end -= 1;
    world.restart_apart();
    world.reattach(worker, "w1", 1, listing);
    assert!(world.adopted.is_empty());
    world.run_to_end();
    assert!(committed_rows(&world, 8, 8).values().all(|times| *times == 1));
}

#[test]
fn an_op_over_the_whole_run_goes_on_under_its_lease() {
    let mut world = World::new();
    let worker = joining(&mut world);
    let listing = world.listing(worker);
    let leases = held(&listing);
    world.restart_apart();
    let outcome = world.scheduler.outcome(RUN);
    assert_eq!(outcome, Some(RunState::Succeeded), "whoever joins can list the parts");
    world.reattach(worker, "w1", 1, listing);
    assert_eq!(world.adopted, leases);
    world.run_to_end();
    assert_eq!(world.granted().len(), 2, "it is granted to nobody else");
    assert_eq!(op_commits(&world), leases);
    let summary = &world.ended[&RUN];
    assert_eq!((summary.state, summary.batches.total), (RunState::Succeeded, 1));
    assert_eq!(summary.tasks.succeeded, 3);
    assert!(summary.total_is_exact);
}

#[test]
fn what_an_op_over_the_whole_run_prepared_is_committed_though_the_coordinator_forgot_it() {
    let mut world = World::new();
    let worker = joining(&mut world);
    let mut listing = world.listing(worker);
    listing.leases[0].done = vec![DoneOp {
        op: LOAD,
        did: OpDone::default(),
    }];
    listing.leases[0].state = HeldState::Prepared;
    let leases = held(&listing);
    world.restart_apart();
    world.reattach(worker, "w1", 1, listing);
    assert_eq!(world.adopted, leases);
    world.run_to_end();
    assert_eq!(op_commits(&world), leases);
    assert_eq!(world.granted().len(), 2, "it is granted to nobody else");
}

#[test]
fn an_op_over_the_whole_run_is_done_again_if_how_the_run_ends_was_not_durable() {
    let mut world = World::new();
    let worker = joining(&mut world);
    let listing = world.listing(worker);
    world
        .records
        .retain(|record| !matches!(record, Record::RunFinishing { .. }));
    world.restart_apart();
    world.reattach(worker, "w1", 1, listing);
    assert!(world.adopted.is_empty());
    world.run_to_end();
    assert_eq!(world.granted(), ["op0..1[0]", "op1", "op1"]);
    assert_eq!(world.ended[&RUN].state, RunState::Succeeded);
}

#[test]
fn a_join_of_what_was_not_durable_is_not_taken_for_one_of_what_is() {
    let mut world = World::new();
    let worker = joining(&mut world);
    let late = world.listing(worker);
    world
        .records
        .retain(|record| !matches!(record, Record::RunFinishing { .. }));
    world.restart_apart();
    world.pass(world.config.reattach_patience * 2);
    assert_eq!(endings(&world), [Ending::Complete], "all batches are done again");
    world.restart_apart();
    world.reattach(worker, "w1", 1, late);
    assert!(world.adopted.is_empty());
    world.run_to_end();
    assert_eq!(world.granted(), ["op0..1[0]", "op1", "op1"]);
}

#[test]
fn a_join_is_not_taken_for_the_sweep_that_came_after_it() {
    let mut world = World::new();
    world
        .failing_whole
        .insert((LOAD, 1), Failure::permanent("a part is gone"));
    let worker = joining(&mut world);
    let join = world.listing(worker);
    world.pass(Duration::from_millis(OP));
    assert_eq!(endings(&world), [Ending::Complete, Ending::Failed]);
    let sweep = world.listing(worker);
    world.restart_apart();
    let returned = world.reattach(worker, "w1", 1, join);
    assert!(world.adopted.is_empty(), "it has failed");
    world.kill(returned);
    world.restart_apart();
    world.reattach(worker, "w1", 1, sweep.clone());
    assert_eq!(world.adopted, held(&sweep));
    world.run_to_end();
    assert_eq!(world.ended[&RUN].state, RunState::Failed);
    assert_eq!(op_commits(&world), [], "a sweep makes nothing");
}

#[test]
fn of_two_workers_that_claim_one_op_over_the_whole_run_the_first_goes_on() {
    let mut world = World::new();
    let worker = joining(&mut world);
    let other = world.worker("w2", 1);
    let mut claim = world.listing(worker);
    let first = held(&claim);
    world.restart_apart();
    let listing = claim.clone();
    world.reattach(worker, "w1", 1, listing);
    claim.leases[0].lease.sequence += 1;
    world.reattach(other, "w2", 1, claim);
    assert_eq!(world.adopted, first);
    world.run_to_end();
    assert_eq!(op_commits(&world), first);
}

#[test]
fn a_run_that_drains_over_a_restart_goes_on_with_what_its_only_worker_holds() {
    let mut world = World::new();
    let worker = world.worker("w1", 2);
    let mut job = jobs::chain(
        "drains",
        vec![jobs::op_of("short", OP), jobs::op_of("long", OP * 3)],
        jobs::rows(1),
        jobs::cap(2),
    );
    job.failure = policy(OnFailure::Drain);
    let broken = Failure::permanent("told to fail");
    world.failing.insert((OpId(1), BatchId::whole(0), 1), broken);
    world.run(1, job, 2);
    world.pass(Duration::from_millis(OP + OP / 2));
    let leases = held(&world.listing(worker));
    assert_eq!(leases.len(), 1, "one batch has failed");
    world.restart_under_workers();
    assert_eq!(world.adopted, leases);
    world.run_to_end();
    let summary = &world.ended[&RunId(1)];
    assert_eq!((summary.state, summary.batches.committed), (RunState::Failed, 1));
}
