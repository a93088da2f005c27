//! Sessions of workers that vanish, come back, are replaced, drain and leave: what becomes of what they held.

mod support;

use std::time::Duration;

use common::done::OpDone;
use common::failure::FailureKind;
use common::ids::{Attempt, BatchId, Generation, LeaseId, OpId};
use common::message::{Input, LeaseEnd, OpOutcome, PermitFate, Report};
use common::state::TaskState;
use scheduler::{Command, EndReason, Event, Record};
use support::World;
use support::jobs::{cap, chain, op_of, rows, two_steps};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_worker_that_vanishes_loses_its_batch_to_another_one_but_its_unit_stays_taken_until_its_lease_is_over() {
    let mut world = World::new();
    let lost = world.worker("w1", 1);
    world.run(1, two_steps(1), 1);
    world.pass(millis(500));
    world.kill(lost);
    world.worker("w2", 1);
    world.pass(millis(4_000));
    assert_eq!(
        world.grants.len(),
        1,
        "the cap of 1 has no room while the lost worker may still run"
    );
    world.run_to_end();
    assert_eq!(world.granted(), ["op0..2[0]", "op0..2[0]"]);
    assert_eq!(world.session_ends, [(lost, EndReason::Expired)]);
    let states: Vec<TaskState> = world.timeline.values().map(|entry| entry.state).collect();
    assert!(states.contains(&TaskState::Lost));
}

#[test]
fn where_the_cap_has_room_the_batches_of_a_vanished_worker_go_on_after_the_reconnect_patience() {
    let mut world = World::new();
    let lost = world.worker("w1", 1);
    world.run(1, two_steps(2), 1);
    world.pass(millis(500));
    world.worker("w2", 1);
    world.kill(lost);
    world.pass(world.config.reconnect_patience + millis(1));
    assert_eq!(world.grants.len(), 2);
}

#[test]
fn a_worker_that_reconnects_in_time_keeps_its_lease() {
    let mut world = World::new();
    let session = world.worker("w1", 1);
    world.run(1, two_steps(1), 1);
    world.pass(millis(100));
    world.tell(Event::SessionDisconnected { session });
    world.pass(millis(300));
    world.tell(Event::SessionResumed { session });
    world.run_to_end();
    assert_eq!(world.grants.len(), 1);
}

#[test]
fn a_late_report_of_a_fenced_lease_commits_nothing() {
    let mut world = World::new();
    let late = world.worker("w1", 1);
    world.run(1, two_steps(2), 1);
    world.pass(millis(200));
    world.tell(Event::SessionDisconnected { session: late });
    world.worker("w2", 1);
    world.pass(millis(1_100));
    assert_eq!(world.grants.len(), 2, "the batch goes on elsewhere");
    world.run_to_end();
    let commits: Vec<_> = world
        .records
        .iter()
        .filter(|record| matches!(record, Record::BatchCommitted { .. }))
        .collect();
    let [Record::BatchCommitted { lease, .. }] = commits[..] else {
        panic!("{commits:?}")
    };
    assert_eq!(
        *lease, world.grants[1].1.lease,
        "the later lease's output is the batch's"
    );
}

#[test]
fn an_op_that_a_fenced_lease_starts_while_its_batch_is_being_committed_changes_nothing() {
    let mut world = World::new();
    let late = world.worker("w1", 1);
    world.run(
        1,
        chain("slow", vec![op_of("a", 3_000), op_of("b", 3_000)], rows(1), cap(2)),
        1,
    );
    world.pass(millis(200));
    world.tell(Event::SessionDisconnected { session: late });
    let next = world.worker("w2", 1);
    world.pass(millis(1_100));
    let [(_, fenced), (_, valid)] = &world.grants[..] else {
        panic!("the batch goes on elsewhere: {:?}", world.grants)
    };
    let (fenced, valid, at) = (fenced.lease, valid.lease, world.now);
    let outcome = || OpOutcome::Done(OpDone::default());
    let ended = |lease, op| Report::OpEnded {
        lease,
        op: OpId(op),
        at,
        outcome: outcome(),
    };
    let started = |lease, op| Report::OpStarted {
        lease,
        op: OpId(op),
        slot: 0,
        at,
    };
    let (end, permit) = (LeaseEnd::Prepared, PermitFate::Returned);
    let prepared = Report::LeaseEnded {
        lease: valid,
        end,
        permit,
    };
    // Nothing becomes durable in between: the batch waits for its commit when the late worker goes on.
    for (session, report) in [
        (next, ended(valid, 1)),
        (next, started(valid, 2)),
        (next, ended(valid, 2)),
        (next, prepared),
        (late, ended(fenced, 1)),
        (late, started(fenced, 2)),
        (late, ended(fenced, 2)),
    ] {
        world.scheduler.handle(Event::Reported { session, report }, at);
        assert_eq!(world.scheduler.check(), [], "{session}");
    }
    let commands = std::iter::from_fn(|| world.scheduler.next_command());
    let commits = commands.filter(|command| {
        matches!(command, Command::Append { record: Record::BatchCommitted { lease, .. }, .. } if *lease == valid)
    });
    assert_eq!(commits.count(), 1);
}

#[test]
fn a_report_of_an_unknown_lease_is_answered_with_a_revocation_and_nothing_else() {
    let mut world = World::new();
    let session = world.worker("w1", 1);
    world.run(1, two_steps(1), 1);
    let unknown = LeaseId {
        generation: Generation(1),
        sequence: 999,
    };
    let end = LeaseEnd::Prepared;
    let report = Report::LeaseEnded {
        lease: unknown,
        end,
        permit: PermitFate::Returned,
    };
    world.tell(Event::Reported { session, report });
    world.run_to_end();
    assert!(world.session_ends.is_empty());
}

#[test]
fn a_new_process_of_the_same_name_fences_the_old_one() {
    let mut world = World::new();
    let old = world.worker("w1", 1);
    world.run(1, two_steps(2), 1);
    world.pass(millis(100));
    world.worker("w1", 1);
    assert_eq!(world.session_ends, [(old, EndReason::Replaced)]);
    assert_eq!(world.grants.len(), 2, "the new process takes the batch at once");
    let busy: u32 = world.scheduler.workers().map(|worker| worker.busy).sum();
    assert_eq!(busy, 2, "the old one's unit is not free early");
}

#[test]
fn a_draining_worker_hands_its_batch_over_and_leaves() {
    let mut world = World::new();
    let leaving = world.worker("w1", 1);
    world.run(1, two_steps(1), 1);
    world.pass(millis(500));
    world.drain(leaving);
    let staying = world.worker("w2", 1);
    world.run_to_end();
    assert_eq!(world.granted(), ["op0..2[0]", "op2[0]"]);
    let Input::Remote(remote) = &world.grants[1].1.input else {
        panic!("{:?}", world.grants[1])
    };
    assert_eq!((remote.address.as_str(), remote.holder), ("http://w1", leaving));
    let fetched = world
        .timeline
        .values()
        .map(|entry| (entry.op, entry.fetch_started.is_some()));
    assert_eq!(
        fetched.collect::<Vec<_>>(),
        [(OpId(0), false), (OpId(1), false), (OpId(2), true)],
        "only the op that began with another worker's output has fetched"
    );
    assert!(world.session_ends.contains(&(leaving, EndReason::Drained)));
    assert!(world.scheduler.workers().any(|worker| worker.session == staying));
}

#[test]
fn a_lease_that_crosses_a_goodbye_spends_no_attempt() {
    let mut world = World::new();
    let leaving = world.worker("w1", 1);
    world.run(1, two_steps(1), 1);
    while world.granted().is_empty() {
        assert!(world.step());
    }
    world.tell(Event::SessionClosed { session: leaving });
    world.worker("w2", 1);
    world.run_to_end();
    assert_eq!(world.granted(), ["op0..2[0]", "op0..2[0]"]);
    let mut steps = world.grants.iter().flat_map(|(_, grant)| grant.steps.iter());
    assert!(steps.all(|step| step.attempt == Attempt::FIRST));
}

#[test]
fn a_batch_that_kills_its_workers_is_given_up_and_named() {
    let mut world = World::new();
    let run = world.run(1, two_steps(4), 1);
    for number in 0..5 {
        let session = world.worker(&format!("w{number}"), 1);
        world.pass(millis(500));
        world.kill(session);
        world.pass(millis(6_000));
    }
    world.run_to_end();
    let failure = world.ended[&run].failure.clone().expect("says why");
    assert_eq!(
        (failure.failure.kind, failure.batch),
        (FailureKind::LostWorker, Some(BatchId::whole(0)))
    );
}

#[test]
fn the_last_worker_does_not_wait_for_a_fetch_that_nobody_can_make() {
    let mut world = World::new();
    let last = world.worker("w1", 1);
    let run = world.run(1, two_steps(1), 1);
    world.pass(millis(500));
    world.drain(last);
    world.pass(millis(600));
    assert_eq!(world.session_ends, [(last, EndReason::Drained)]);
    world.worker("w2", 1);
    world.run_to_end();
    assert_eq!(world.ended[&run].rows.loaded, 1);
}
