//! What a worker says to a coordinator that was started again, and how it goes on.

use std::sync::Arc;
use std::time::Duration;

use common::done::{DoneOp, OpDone, Past};
use common::holdings::{HeldBatch, HeldCourse, HeldLease, HeldState, Holdings};
use common::ids::{BatchId, OpId};
use common::message::{Input as From, LeaseEnd, OpOutcome, PermitFate, Report, Start, ToWorker};
use common::part::Part;

use super::scenario::*;
use crate::{Action, ChainEnd, Input, SessionKind};

fn done(ops: impl IntoIterator<Item = u16>) -> Vec<DoneOp> {
    let done = |op| DoneOp {
        op: OpId(op),
        did: OpDone::default(),
    };
    ops.into_iter().map(done).collect()
}

fn slice_of(sequence: u64) -> common::slice::Slice {
    let From::Slice(slice) = lease(sequence, Start::Now).input else {
        panic!("the whole chain begins with a slice");
    };
    slice
}

fn held(sequence: u64, started: u32, state: HeldState) -> HeldLease {
    let running = u32::from(matches!(state, HeldState::Running { since: Some(_), .. }));
    HeldLease {
        lease: id(sequence),
        run: RUN,
        batch: Some(HeldBatch {
            id: BatchId::whole(sequence),
            slice: slice_of(sequence),
        }),
        steps: lease(sequence, Start::Now).steps.to_vec(),
        started,
        done: done(0..(started - running) as u16),
        begun_at: None,
        state,
    }
}

/// The coordinator does not know the session; returns what the worker lists, once the chains that wait have come back.
fn listing(t: &mut Scenario) -> Holdings {
    t.input(Input::SessionUnknown);
    loop {
        match t.pending.pop_front() {
            Some(Action::Reattach(holdings)) => return *holdings,
            Some(Action::TakeBackChain { lease }) => {
                t.input(Input::ChainTakenBack { lease });
            }
            Some(Action::Report(Report::LeaseEnded {
                end: LeaseEnd::Recalled,
                ..
            })) => {}
            other => panic!("a worker lists what it holds, not {other:?}"),
        }
    }
}

#[test]
fn a_worker_lists_what_runs_what_is_prepared_and_what_it_keeps_and_lets_go_of_what_waits() {
    let mut t = Scenario::new(2);
    t.receive(grant(1, Start::Now)).receive(grant(2, Start::Now));
    t.receive(grant(4, Start::OnFreedPermit)).receive(grant(3, Start::Now));
    t.ops_done(1, 0..4).finishes(1);
    t.ops_done(2, 0..2)
        .chain_ends(2, ChainEnd::Finished { kept: kept(2, 1) });
    let since = t.now;
    t.input(Input::OpStarted {
        lease: id(4),
        op: OpId(0),
        at: since,
    });
    t.pending.clear();
    let listed = listing(&mut t);
    let running = HeldState::Running {
        slot: 0,
        since: Some(since),
        fetch_started: None,
        course: HeldCourse::On,
    };
    let not_started = HeldState::Running {
        slot: 1,
        since: None,
        fetch_started: None,
        course: HeldCourse::On,
    };
    let leases = [
        held(1, 4, HeldState::Prepared),
        held(3, 0, not_started),
        held(4, 1, running),
    ];
    let by_id = |holdings: &Holdings| {
        let mut leases = holdings.leases.clone();
        leases.sort_by_key(|held| held.lease);
        leases
    };
    let slots = |held: &HeldLease| match held.state {
        HeldState::Running { slot, .. } => Some(slot),
        HeldState::Prepared => None,
    };
    assert_eq!(
        by_id(&listed).iter().map(|held| held.lease).collect::<Vec<_>>(),
        [id(1), id(3), id(4)]
    );
    assert_eq!(listed.leases.iter().filter_map(slots).count(), 2);
    for (listed, expected) in by_id(&listed).iter().zip(&leases) {
        assert_eq!(
            (listed.started, &listed.done, &listed.batch),
            (expected.started, &expected.done, &expected.batch)
        );
    }
    assert_eq!(listed.runs, [RUN]);
    let past = Past {
        slice: slice_of(2),
        done: done(0..2),
        begun_at: None,
    };
    let output = &listed.outputs[0];
    assert_eq!(
        (output.output, output.bytes, &output.past),
        (super::scenario::output(2, 1), 100, &Arc::new(past))
    );
    t.nothing_else();
}

#[test]
fn a_fetch_and_the_checkpoint_that_a_batch_began_at_are_listed_as_long_as_they_say_something() {
    let mut t = Scenario::new(1);
    let begun_at = Part {
        op: OpId(0),
        file: "/kept/of-another-run".to_owned(),
        offset: 0,
        length: 1,
        checksum: 0,
        rows: 1,
    };
    let mut grant = continuation(1, 1);
    let first = grant.steps[0].op;
    grant.past = Some(Arc::new(Past {
        slice: slice_of(1),
        done: done(0..first.0),
        begun_at: Some(begun_at.clone()),
    }));
    t.receive(ToWorker::Grant(grant));
    let fetched = t.now;
    t.input(Input::FetchStarted {
        lease: id(1),
        at: fetched,
    });
    t.pass_connected(Duration::from_millis(10));
    let fetch_of = |t: &mut Scenario| {
        t.pending.clear();
        let held = listing(t).leases.remove(0);
        t.welcome(SessionKind::Reattached);
        assert_eq!(held.begun_at.as_ref(), Some(&begun_at));
        match held.state {
            HeldState::Running { fetch_started, .. } => fetch_started,
            HeldState::Prepared => panic!("its chain runs"),
        }
    };
    assert_eq!(fetch_of(&mut t), Some(fetched), "its input is on its way");
    let at = t.now;
    t.input(Input::OpStarted {
        lease: id(1),
        op: first,
        at,
    });
    assert_eq!(fetch_of(&mut t), Some(fetched), "its first op runs");
    let outcome = OpOutcome::Done(OpDone::default());
    t.input(Input::OpEnded {
        lease: id(1),
        op: first,
        at,
        outcome,
    });
    assert_eq!(fetch_of(&mut t), None, "the row of its first op is written");
}

#[test]
fn chains_go_on_while_a_new_session_begins_and_what_they_say_after_the_listing_is_reported_in_it() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(2, Start::OnFreedPermit));
    t.pending.clear();
    t.input(Input::Disconnected);
    t.pass_in_silence(LEASE_TIME / 2);
    listing(&mut t);
    t.ops_done(1, 0..4)
        .finishes(1)
        .expect([ended(1, LeaseEnd::Prepared, PermitFate::Returned)]);
    t.welcome(SessionKind::Reattached).nothing_else();
    t.pass_connected(LEASE_TIME * 2).nothing_else();
    t.receive(grant(3, Start::Now)).expect([start(3, 0)]);
}

#[test]
fn a_worker_that_does_not_find_the_coordinator_in_time_stops_all_the_same() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.input(Input::Disconnected);
    t.pass_in_silence(LEASE_TIME / 2);
    listing(&mut t);
    t.pass_in_silence(LEASE_TIME / 2 - MARGIN).expect([stop(1)]);
    let listed = listing(&mut t);
    let is_stopping = |held: &HeldLease| {
        matches!(
            held.state,
            HeldState::Running {
                course: HeldCourse::Stopping,
                ..
            }
        )
    };
    assert!(listed.leases.iter().all(is_stopping), "{listed:?}");
}

#[test]
fn a_refused_lease_is_stopped_and_its_end_reported() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    listing(&mut t);
    t.welcome(SessionKind::Reattached).nothing_else();
    t.receive(ToWorker::Revoke { lease: id(1) }).expect([stop(1)]);
    t.chain_ends(1, ChainEnd::Stopped)
        .expect([ended(1, LeaseEnd::Stopped, PermitFate::Returned)]);
}

#[test]
fn a_prepared_lease_is_listed_until_its_commit_is_durable() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.ops_done(1, 0..4).finishes(1);
    t.pending.clear();
    assert_eq!(listing(&mut t).leases.len(), 1);
    assert_eq!(listing(&mut t).leases.len(), 1, "nobody has answered");
    t.welcome(SessionKind::Reattached).nothing_else();
    assert_eq!(
        listing(&mut t).leases.len(),
        0,
        "the welcome answers what its hello listed"
    );
    t.welcome(SessionKind::Reattached).nothing_else();
    // One report an op's start and end, and one for the end of the lease.
    t.receive(grant(2, Start::Now)).expect([start(2, 0)]);
    t.ops_done(2, 0..4).finishes(2);
    t.pending.clear();
    t.receive(ToWorker::Settled { reports: 8 });
    assert_eq!(listing(&mut t).leases.len(), 1);
    t.welcome(SessionKind::Reattached).nothing_else();
    t.receive(grant(3, Start::Now)).expect([start(3, 0)]);
    t.ops_done(3, 0..4).finishes(3);
    t.pending.clear();
    t.receive(ToWorker::Settled { reports: 9 });
    assert_eq!(listing(&mut t).leases.len(), 0);
}

#[test]
fn a_failed_op_and_a_stopped_chain_are_not_listed_again() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    let at = t.now;
    t.input(Input::OpStarted {
        lease: id(1),
        op: OpId(0),
        at,
    });
    let outcome = OpOutcome::Failed(broken());
    t.input(Input::OpEnded {
        lease: id(1),
        op: OpId(0),
        at,
        outcome,
    });
    t.chain_ends(
        1,
        ChainEnd::OpFailed {
            op: OpId(0),
            kept: None,
        },
    );
    t.pending.clear();
    t.pass_connected(Duration::from_secs(1));
    assert_eq!(listing(&mut t).leases, []);
}
