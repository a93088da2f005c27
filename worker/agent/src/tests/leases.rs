//! Leases, permits, slots and kept outputs.

use common::done::OpDone;
use common::ids::OpId;
use common::message::{ChainRan, LeaseEnd, OpOutcome, OpRan, PermitFate, Publish, Report, Start, ToWorker};

use super::scenario::*;
use crate::{Action, ChainEnd, Input, SessionEnd, SessionKind};

#[test]
fn a_lease_with_a_permit_starts_in_the_first_free_slot_and_ends_prepared() {
    let mut t = Scenario::new(2);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(2, Start::Now)).expect([start(2, 1)]);
    t.ops_done(1, 0..4).nothing_else();
    t.finishes(1)
        .expect([ended(1, LeaseEnd::Prepared, PermitFate::Returned)]);
    t.receive(grant(3, Start::Now)).expect([start(3, 0)]);
}

#[test]
fn each_op_is_reported_with_its_slot_and_times() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    let (lease, op, at) = (id(1), OpId(0), t.now);
    t.input(Input::OpStarted { lease, op, at })
        .expect([says(Report::OpStarted { lease, op, slot: 0, at })]);
    let outcome = OpOutcome::Failed(broken());
    t.input(Input::OpEnded {
        lease,
        op,
        at,
        outcome: outcome.clone(),
    })
    .expect([says(Report::OpEnded { lease, op, at, outcome })]);
}

#[test]
fn waiting_leases_get_the_permits_of_their_run_first_come_first_served() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(3, Start::OnFreedPermit)).nothing_else();
    t.receive(grant(2, Start::OnFreedPermit)).nothing_else();
    t.finishes(1).expect([
        ended(1, LeaseEnd::Prepared, PermitFate::PassedTo(id(3))),
        starts_waiting(3, 0),
    ]);
    t.finishes(3).expect([
        ended(3, LeaseEnd::Prepared, PermitFate::PassedTo(id(2))),
        starts_waiting(2, 0),
    ]);
    t.finishes(2)
        .expect([ended(2, LeaseEnd::Prepared, PermitFate::Returned)]);
}

#[test]
fn a_permit_is_never_passed_to_a_lease_of_another_run() {
    let mut t = Scenario::new(1);
    let other = common::ids::RunId(8);
    t.receive(ToWorker::OpenRun(context(other)))
        .expect([Action::OpenRun(context(other))]);
    let mut of_other = lease(2, Start::OnFreedPermit);
    of_other.run = other;
    t.receive(ToWorker::Grant(of_other.clone())).nothing_else();
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.finishes(1)
        .expect([ended(1, LeaseEnd::Prepared, PermitFate::Returned)]);
    t.receive(ToWorker::Permit { lease: id(2) })
        .expect([starts(of_other, 0)]);
}

#[test]
fn a_permit_of_its_own_starts_a_waiting_lease_and_a_second_one_changes_nothing() {
    let mut t = Scenario::new(2);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(2, Start::OnFreedPermit)).nothing_else();
    t.receive(ToWorker::Permit { lease: id(2) })
        .expect([starts_waiting(2, 1)]);
    t.receive(ToWorker::Permit { lease: id(2) }).nothing_else();
    t.receive(ToWorker::Permit { lease: id(99) }).nothing_else();
}

#[test]
fn a_lease_is_started_once_however_often_it_is_granted() {
    let mut t = Scenario::new(2);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(1, Start::Now)).nothing_else();
}

#[test]
fn a_lease_of_a_run_that_was_never_opened_is_given_back() {
    let mut t = Scenario::new(1);
    let mut unknown = lease(1, Start::Now);
    unknown.run = common::ids::RunId(99);
    t.receive(ToWorker::Grant(unknown))
        .expect([ended(1, LeaseEnd::Recalled, PermitFate::Returned)]);
}

#[test]
fn a_truncated_chain_says_its_last_op_and_parks_its_output() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(ToWorker::Truncate { lease: id(1) }).expect([truncate(1)]);
    t.receive(ToWorker::Truncate { lease: id(1) }).nothing_else();
    let (lease, last) = (id(1), OpId(1));
    t.input(Input::ChainTruncated { lease, last })
        .expect([says(Report::Truncated { lease, last })]);
    t.chain_ends(1, ChainEnd::Finished { kept: kept(1, 1) })
        .expect([ended(1, parked(1, 1), PermitFate::Returned)]);
    assert_eq!(t.agent.bytes_kept(), 100);
}

#[test]
fn a_chain_that_ends_at_a_checkpoint_keeps_nothing() {
    let mut t = Scenario::new(1);
    t.receive(ToWorker::Grant(continuation(2, 1)))
        .expect([starts(continuation(2, 1), 0)]);
    t.chain_ends(2, ChainEnd::Checkpointed)
        .expect([drops(1, 1), ended(2, LeaseEnd::Checkpointed, PermitFate::Returned)]);
    assert_eq!(t.agent.bytes_kept(), 0);
}

#[test]
fn truncating_a_lease_that_has_not_started_recalls_it() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(2, Start::OnFreedPermit)).nothing_else();
    t.receive(ToWorker::Truncate { lease: id(2) })
        .expect([ended(2, LeaseEnd::Recalled, PermitFate::None)]);
    t.receive(ToWorker::Truncate { lease: id(2) }).nothing_else();
}

#[test]
fn a_revoked_chain_keeps_its_slot_and_permit_until_it_has_stopped() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(2, Start::OnFreedPermit)).nothing_else();
    t.receive(ToWorker::Revoke { lease: id(1) }).expect([stop(1)]);
    t.receive(ToWorker::Revoke { lease: id(1) }).nothing_else();
    t.chain_ends(1, ChainEnd::Stopped)
        .expect([ended(1, LeaseEnd::Stopped, PermitFate::Returned)]);
    t.receive(ToWorker::Recall { lease: id(2) })
        .expect([ended(2, LeaseEnd::Recalled, PermitFate::None)]);
    t.receive(ToWorker::Recall { lease: id(2) }).nothing_else();
}

#[test]
fn a_recall_leaves_alone_what_has_started() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(ToWorker::Recall { lease: id(1) }).nothing_else();
    t.finishes(1)
        .expect([ended(1, LeaseEnd::Prepared, PermitFate::Returned)]);
}

#[test]
fn what_a_revoked_chain_finished_all_the_same_is_dropped() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(ToWorker::Revoke { lease: id(1) }).expect([stop(1)]);
    t.chain_ends(1, ChainEnd::Finished { kept: kept(1, 1) })
        .expect([drops(1, 1), ended(1, LeaseEnd::Stopped, PermitFate::Returned)]);
}

#[test]
fn a_failed_op_ends_its_lease_and_keeps_what_it_worked_on() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    let op = OpId(2);
    t.chain_ends(1, ChainEnd::OpFailed { op, kept: kept(1, 1) })
        .expect([ended(
            1,
            LeaseEnd::Failed {
                op,
                kept: Some(output(1, 1)),
            },
            PermitFate::Returned,
        )]);
    t.receive(ToWorker::Grant(continuation(2, 1)))
        .expect([starts(continuation(2, 1), 0)]);
    t.chain_ends(2, ChainEnd::OpFailed { op, kept: kept(1, 1) })
        .expect([ended(
            2,
            LeaseEnd::Failed {
                op,
                kept: Some(output(1, 1)),
            },
            PermitFate::Returned,
        )]);
    assert_eq!(t.agent.bytes_kept(), 100);
}

#[test]
fn a_kept_output_is_dropped_when_the_chain_that_worked_on_it_is_done() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.chain_ends(1, ChainEnd::Finished { kept: kept(1, 1) })
        .expect([ended(1, parked(1, 1), PermitFate::Returned)]);
    t.receive(ToWorker::Grant(continuation(2, 1)))
        .expect([starts(continuation(2, 1), 0)]);
    t.finishes(2)
        .expect([drops(1, 1), ended(2, LeaseEnd::Prepared, PermitFate::Returned)]);
    assert_eq!(t.agent.bytes_kept(), 0);
}

#[test]
fn an_output_is_dropped_when_it_is_discarded_and_when_its_run_is_closed() {
    let mut t = Scenario::new(1);
    for batch in [1, 2] {
        t.receive(grant(batch, Start::Now)).expect([start(batch, 0)]);
        let kept = kept(batch, 1);
        t.chain_ends(batch, ChainEnd::Finished { kept })
            .expect([ended(batch, parked(batch, 1), PermitFate::Returned)]);
    }
    let discard = |batch| ToWorker::Discard {
        run: RUN,
        output: output(batch, 1),
    };
    t.receive(discard(1)).expect([drops(1, 1)]);
    t.receive(discard(1)).nothing_else();
    t.receive(ToWorker::CloseRun { run: RUN })
        .expect([drops(2, 1), Action::CloseRun { run: RUN }]);
    t.receive(ToWorker::CloseRun { run: RUN }).nothing_else();
}

#[test]
fn closing_a_run_stops_its_chains_and_starts_none_of_its_leases() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(2, Start::OnFreedPermit)).nothing_else();
    t.receive(ToWorker::CloseRun { run: RUN }).expect([
        stop(1),
        Action::CloseRun { run: RUN },
        ended(2, LeaseEnd::Stopped, PermitFate::None),
    ]);
    t.chain_ends(1, ChainEnd::Stopped)
        .expect([ended(1, LeaseEnd::Stopped, PermitFate::Returned)]);
}

#[test]
fn a_lost_input_is_forgotten_and_reported() {
    let mut t = Scenario::new(1);
    t.receive(ToWorker::Grant(continuation(2, 1)))
        .expect([starts(continuation(2, 1), 0)]);
    let failure = broken();
    t.chain_ends(
        2,
        ChainEnd::InputLost {
            failure: failure.clone(),
        },
    )
    .expect([
        drops(1, 1),
        ended(2, LeaseEnd::InputLost { failure }, PermitFate::Returned),
    ]);
}

#[test]
fn a_publication_under_way_is_not_begun_twice_and_is_answered_once() {
    let mut t = Scenario::new(1);
    let publish = Publish {
        lease: id(1),
        run: RUN,
        batch: None,
        parts: Vec::new(),
    };
    t.receive(ToWorker::Publish(publish.clone()))
        .expect([Action::Publish(publish.clone())]);
    t.receive(ToWorker::Publish(publish.clone())).nothing_else();
    t.input(Input::Published { lease: id(1) })
        .expect([says(Report::Published { lease: id(1) })]);
    t.input(Input::Published { lease: id(1) }).nothing_else();
}

#[test]
fn a_fresh_session_voids_everything_and_a_left_over_chain_only_holds_its_slot() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(2, Start::OnFreedPermit)).nothing_else();
    t.welcome(SessionKind::Fresh)
        .expect([stop(1), Action::CloseRun { run: RUN }]);
    t.receive(ToWorker::OpenRun(context(RUN)))
        .expect([Action::OpenRun(context(RUN))]);
    t.receive(grant(3, Start::Now)).nothing_else();
    t.chain_ends(1, ChainEnd::Finished { kept: kept(1, 1) })
        .expect([drops(1, 1), start(3, 0)]);
}

#[test]
fn a_slot_that_took_the_next_chain_is_said_with_the_end_of_the_one_before() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(2, Start::OnFreedPermit)).nothing_else();
    let ops = vec![
        OpRan {
            started: t.now,
            ended: t.now,
            done: OpDone::default(),
        };
        4
    ];
    let (lease, next) = (id(1), Some(id(2)));
    t.take_next(lease);
    t.input(Input::ChainRan {
        lease,
        ops: ops.clone(),
        next,
    });
    t.expect([says(Report::ChainRan(ChainRan {
        lease,
        slot: 0,
        ops,
        heir: next,
    }))]);
    t.receive(ToWorker::Revoke { lease: id(2) }).expect([stop(2)]);
}

#[test]
fn a_chain_that_a_slot_took_while_it_was_asked_back_goes_on_or_is_stopped_as_was_wanted() {
    for (message, wanted) in [
        (ToWorker::Recall { lease: id(2) }, None),
        (ToWorker::Permit { lease: id(2) }, None),
        (ToWorker::Truncate { lease: id(2) }, Some(truncate(2))),
        (ToWorker::Revoke { lease: id(2) }, Some(stop(2))),
    ] {
        let mut t = Scenario::new(1);
        t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
        t.receive(grant(2, Start::OnFreedPermit)).nothing_else();
        t.take_next(id(1));
        t.receive(message).nothing_else();
        let (lease, end, next) = (id(1), ChainEnd::Finished { kept: None }, Some(id(2)));
        t.input(Input::ChainEnded { lease, end, next });
        let passed = ended(1, LeaseEnd::Prepared, PermitFate::PassedTo(id(2)));
        t.expect(std::iter::once(passed).chain(wanted));
        t.finishes(2);
        assert_eq!(t.agent.leases(), 0);
    }
}

#[test]
fn a_chain_that_a_slot_took_from_an_ended_session_is_stopped() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(2, Start::OnFreedPermit)).nothing_else();
    t.take_next(id(1));
    t.input(Input::SessionEnded(SessionEnd::Expired));
    t.expect([stop(1), Action::CloseRun { run: RUN }]);
    let (lease, end, next) = (id(1), ChainEnd::Finished { kept: None }, Some(id(2)));
    t.input(Input::ChainEnded { lease, end, next }).expect([stop(2)]);
    assert_eq!(t.agent.running(), 1);
    t.chain_ends(2, ChainEnd::Stopped).nothing_else();
    assert_eq!(t.agent.running(), 0);
}

#[test]
fn slots_take_no_waiting_chain_when_the_worker_leaves_or_may_have_lost_its_leases() {
    let mut t = Scenario::new(1);
    assert!(t.agent.works_until() > t.now);
    t.pass_in_silence(LEASE_TIME);
    assert!(t.agent.works_until() <= t.now);
    let mut t = Scenario::new(1);
    t.input(Input::DrainRequested);
    assert!(t.agent.works_until() <= t.now);
}
