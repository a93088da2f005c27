//! How long a worker believes in its leases.

use std::time::Duration;

use common::message::{LeaseEnd, PermitFate, Start};

use super::scenario::*;
use crate::{Action, ChainEnd, ExitReason, Input, SessionEnd, SessionKind};

#[test]
fn a_worker_that_is_heard_keeps_its_leases() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.pass_connected(LEASE_TIME * 10).nothing_else();
}

#[test]
fn a_silent_connection_is_given_up_and_the_ops_stop_before_the_lease_can_have_ended() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(2, Start::OnFreedPermit)).nothing_else();
    t.pass_in_silence(LEASE_TIME / 2).expect([Action::Reconnect]);
    t.input(Input::Disconnected);
    t.pass_in_silence(LEASE_TIME / 2 - MARGIN - Duration::from_nanos(1))
        .nothing_else();
    t.pass_in_silence(Duration::from_nanos(1))
        .expect([stop(1), ended(2, LeaseEnd::Stopped, PermitFate::None)]);
    t.chain_ends(1, ChainEnd::Stopped)
        .expect([ended(1, LeaseEnd::Stopped, PermitFate::Returned)]);
    t.pass_in_silence(LEASE_TIME * 10).nothing_else();
}

#[test]
fn an_op_that_has_not_stopped_at_the_end_of_its_lease_ends_the_process() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.input(Input::Disconnected);
    t.pass_in_silence(LEASE_TIME - MARGIN).expect([stop(1)]);
    t.pass_in_silence(MARGIN).expect([exits(ExitReason::OpDidNotStop)]);
}

#[test]
fn the_lease_counts_from_when_the_answered_heartbeat_was_sent() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    let sent_at = t.now + Duration::from_secs(1);
    t.pass_in_silence(Duration::from_secs(2));
    t.input(Input::HeartbeatEchoed { sent_at }).nothing_else();
    t.input(Input::Disconnected);
    let rest = LEASE_TIME - MARGIN - Duration::from_secs(1);
    t.pass_in_silence(rest - Duration::from_nanos(1)).nothing_else();
    t.pass_in_silence(Duration::from_nanos(1)).expect([stop(1)]);
}

#[test]
fn a_session_that_is_resumed_in_time_goes_on_as_if_nothing_had_been() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(2, Start::OnFreedPermit)).nothing_else();
    t.input(Input::Disconnected);
    t.pass_in_silence(Duration::from_secs(3)).nothing_else();
    t.welcome(SessionKind::Resumed).nothing_else();
    t.pass_connected(LEASE_TIME * 2).nothing_else();
    t.finishes(1).expect([
        ended(1, LeaseEnd::Prepared, PermitFate::PassedTo(id(2))),
        starts_waiting(2, 0),
    ]);
}

#[test]
fn kept_outputs_outlive_a_late_resumption() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.chain_ends(1, ChainEnd::Finished { kept: kept(1, 1) })
        .expect([ended(1, parked(1, 1), PermitFate::Returned)]);
    t.input(Input::Disconnected);
    t.pass_in_silence(LEASE_TIME * 2).nothing_else();
    t.welcome(SessionKind::Resumed).nothing_else();
    assert_eq!(t.agent.bytes_kept(), 100);
}

#[test]
fn a_grant_that_arrives_when_the_lease_may_be_over_is_not_started() {
    let mut t = Scenario::new(1);
    t.pass_in_silence(LEASE_TIME).expect([Action::Reconnect]);
    t.receive(grant(1, Start::Now))
        .expect([ended(1, LeaseEnd::Stopped, PermitFate::Returned)]);
}

#[test]
fn a_chain_of_an_ended_session_ends_the_process_when_its_lease_is_over() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.input(Input::SessionEnded(SessionEnd::Expired))
        .expect([stop(1), Action::CloseRun { run: RUN }]);
    t.pass_in_silence(Duration::from_secs(1));
    t.welcome(SessionKind::Fresh).nothing_else();
    t.pass_connected(LEASE_TIME).expect([exits(ExitReason::OpDidNotStop)]);
}

#[test]
fn a_worker_that_was_replaced_ends() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.input(Input::SessionEnded(SessionEnd::Replaced))
        .expect([stop(1), exits(ExitReason::Replaced)]);
}
