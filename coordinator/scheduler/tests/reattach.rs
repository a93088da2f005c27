//! A coordinator that is started again under its workers: they go on with what they hold.

mod support;

use std::num::NonZeroU32;
use std::time::Duration;

use common::done::{DoneOp, OpDone};
use common::holdings::HeldState;
use common::ids::{LeaseId, OpId, RunId, SessionId};
use common::state::RunState;
use scheduler::{EndReason, Event, Record};
use support::{World, jobs};

const OP: u64 = 100;

/// A run of so many batches, each of which takes three times 100 ms behind `extract`.
fn world(cap: u32, batches: u64) -> (World, SessionId) {
    let mut world = World::new();
    let ops = vec![
        jobs::op_of("first", OP),
        jobs::op_of("second", OP),
        jobs::op_of("last", OP),
    ];
    let worker = world.worker("w1", 2);
    world.run(1, jobs::chain("chain", ops, jobs::rows(1), jobs::cap(cap)), batches);
    world.pass(Duration::from_millis(OP + OP / 2));
    (world, worker)
}

fn leases(world: &World, session: SessionId) -> Vec<LeaseId> {
    world.listing(session).leases.iter().map(|held| held.lease).collect()
}

#[test]
fn a_run_that_has_begun_and_committed_nothing_still_runs_after_a_restart() {
    let mut world = World::new();
    let ops = vec![jobs::op_of("first", OP)];
    world.run(1, jobs::chain("chain", ops, jobs::rows(1), jobs::cap(2)), 4);
    let state = |world: &World| world.scheduler.summary(RunId(1)).map(|summary| summary.state);
    world.restart_apart();
    assert_eq!(state(&world), Some(RunState::Queued), "it has begun nothing");
    world.worker("w1", 2);
    world.pass(Duration::from_millis(OP / 2));
    world.restart_apart();
    assert_eq!(state(&world), Some(RunState::Running));
}

fn committed_under(world: &World) -> Vec<LeaseId> {
    let mut leases = Vec::new();
    for record in &world.records {
        if let Record::BatchCommitted { lease, .. } = record {
            leases.push(*lease);
        }
    }
    leases
}

#[test]
fn a_lease_goes_on_under_its_own_id_and_nothing_of_it_is_done_again() {
    let (mut world, worker) = world(2, 2);
    let held = leases(&world, worker);
    assert_eq!(held.len(), 2);
    let granted = world.grants.len();
    world.restart_under_workers();
    world.run_to_end();
    assert_eq!(world.adopted, held);
    assert_eq!(committed_under(&world), held);
    assert_eq!(world.grants.len(), granted, "no batch was leased anew");
    let summary = world.ended.values().next().expect("the run ended");
    assert_eq!((summary.state, summary.rows.loaded), (RunState::Succeeded, 2));
}

#[test]
fn what_is_prepared_is_committed_though_the_window_is_full_and_counts_in_no_peak() {
    let mut world = World::new();
    let mut schedule = jobs::cap(2);
    schedule.max_in_flight = NonZeroU32::new(1);
    let job = jobs::chain("narrow", vec![jobs::op_of("work", OP)], jobs::rows(1), schedule);
    let workers = [world.worker("w1", 1), world.worker("w2", 1)];
    let run = world.run(1, job, 2);
    world.pass(Duration::from_millis(OP / 2));
    let has_lease = |world: &World, session: &SessionId| !world.listing(*session).leases.is_empty();
    let first = workers.iter().find(|session| has_lease(&world, session));
    let mut prepared = world.listing(*first.expect("one works"));
    let held = &mut prepared.leases[0];
    let did = OpDone {
        rows_in: 1,
        rows_out: 1,
        ..OpDone::default()
    };
    held.done = (0..2)
        .map(|op| DoneOp {
            op: OpId(op),
            did: did.clone(),
        })
        .collect();
    held.started = 2;
    held.state = HeldState::Prepared;
    let lease = held.lease;
    // The first batch is through, and its record does not survive.
    world.pass(Duration::from_millis(OP));
    assert_eq!(committed_under(&world), [lease]);
    world
        .records
        .retain(|record| !matches!(record, Record::BatchCommitted { .. }));
    let place = workers
        .iter()
        .position(|session| has_lease(&world, session))
        .expect("one works");
    let running = world.listing(workers[place]);
    let granted = world.grants.len();
    world.restart_apart();
    let names = ["w1", "w2"];
    world.reattach(workers[place], names[place], 1, running);
    world.reattach(workers[1 - place], names[1 - place], 1, prepared);
    assert!(
        world.adopted.contains(&lease),
        "its data is out of memory, so it needs no room"
    );
    world.run_to_end();
    assert_eq!(world.grants.len(), granted, "no batch was leased anew");
    let summary = &world.ended[&run];
    assert_eq!((summary.rows.loaded, summary.batches_in_flight.peak), (2, 1));
}

#[test]
fn when_an_input_was_fetched_is_known_also_after_a_restart() {
    let mut world = World::new();
    let leaving = world.worker("w1", 1);
    let ops = vec![jobs::op_of("first", OP), jobs::op_of("last", OP)];
    world.run(1, jobs::chain("chain", ops, jobs::rows(1), jobs::cap(1)), 1);
    world.pass(Duration::from_millis(OP / 2));
    world.drain(leaving);
    let staying = world.worker("w2", 1);
    world.pass(Duration::from_millis(OP));
    let listing = world.listing(staying);
    let fetched = match listing.leases[0].state {
        HeldState::Running { fetch_started, .. } => fetch_started,
        HeldState::Prepared => None,
    };
    assert!(fetched.is_some(), "it works on what another worker made");
    world.restart_apart();
    world.reattach(staying, "w2", 1, listing);
    world.run_to_end();
    let last = world.timeline.values().find(|row| row.op == OpId(2));
    assert_eq!(last.expect("has run").fetch_started, fetched);
}

#[test]
fn the_cap_holds_while_one_worker_is_back_and_another_is_not() {
    let (mut world, first) = world(3, 6);
    let second = world.worker("w2", 2);
    world.pass(Duration::from_millis(10));
    let listings = [world.listing(first), world.listing(second)];
    assert_eq!((listings[0].leases.len(), listings[1].leases.len()), (2, 1));
    world.kill(second);
    world.restart_under_workers();
    // Two leases were taken over, and the other worker may still run as many as it has slots: no unit is free.
    let run = world.scheduler.runs().next().expect("goes on");
    let running = |world: &World| world.scheduler.summary(run).expect("lives").tasks_running.now;
    world.pass(Duration::from_millis(OP / 4));
    assert_eq!(running(&world), 2);
    assert_eq!(world.adopted.len(), 2);
    world.pass(world.config.lease_time + world.config.lease_margin);
    assert!(committed_under(&world).len() >= 2);
    world.run_to_end();
    let summary = world.ended.values().next().expect("the run ended");
    assert_eq!(summary.rows.loaded, 6);
}

#[test]
fn no_batch_is_begun_anew_while_a_worker_that_may_hold_it_can_still_come() {
    let (mut world, first) = world(4, 2);
    let listing = world.listing(first);
    let idle = world.worker("w2", 2);
    let idle_listing = world.listing(idle);
    let granted = world.grants.len();
    world.restart_apart();
    world.reattach(idle, "w2", 2, idle_listing);
    world.pass(world.config.reattach_patience / 2);
    assert_eq!(
        world.grants.len(),
        granted,
        "both batches may be in the hands of the first worker"
    );
    world.reattach(first, "w1", 2, listing);
    world.run_to_end();
    assert_eq!(world.grants.len(), granted);
    assert_eq!(world.adopted.len(), 2);
}

#[test]
fn a_batch_whose_worker_does_not_come_is_begun_anew_when_the_patience_is_over() {
    let (mut world, first) = world(4, 2);
    let idle = world.worker("w2", 2);
    let idle_listing = world.listing(idle);
    world.kill(first);
    let granted = world.grants.len();
    world.restart_apart();
    world.reattach(idle, "w2", 2, idle_listing);
    world.pass(world.config.reattach_patience + Duration::from_millis(1));
    assert_eq!(world.grants.len(), granted + 2);
    assert!(world.adopted.is_empty());
}

#[test]
fn what_came_too_late_is_stopped_and_commits_nothing() {
    let (mut world, first) = world(4, 2);
    let listing = world.listing(first);
    let late = listing.leases.iter().map(|held| held.lease).collect::<Vec<_>>();
    let idle = world.worker("w2", 2);
    let idle_listing = world.listing(idle);
    world.restart_apart();
    world.reattach(idle, "w2", 2, idle_listing);
    world.pass(world.config.reattach_patience + Duration::from_millis(1));
    world.reattach(first, "w1", 2, listing);
    assert!(world.adopted.is_empty());
    world.run_to_end();
    assert!(committed_under(&world).iter().all(|lease| !late.contains(lease)));
}

#[test]
fn a_process_that_was_replaced_before_the_restart_is_told_so() {
    let (mut world, old) = world(2, 2);
    let listing = world.listing(old);
    world.worker_of_other_process("w1", 2);
    world.restart_apart();
    let returned = world.reattach(old, "w1", 2, listing);
    assert!(world.session_ends.contains(&(returned, EndReason::Replaced)));
    assert!(world.adopted.is_empty());
}

#[test]
fn a_hello_that_comes_late_does_not_take_the_place_of_a_later_one() {
    let mut world = World::new();
    let worker = world.worker("w1", 1);
    let late = world.late_hello("w1", 1);
    assert!(world.session_ends.contains(&(late, EndReason::Replaced)));
    let known: Vec<SessionId> = world.scheduler.workers().map(|worker| worker.session).collect();
    assert_eq!(known, [worker]);
    world.tell(Event::SessionHeard { session: worker });
}
