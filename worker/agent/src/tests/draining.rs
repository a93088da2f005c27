//! Leaving, gracefully and at once.

use std::time::Duration;

use common::message::{LeaseEnd, PermitFate, Report, Start, ToWorker};

use super::scenario::*;
use crate::{Action, ChainEnd, ExitReason, Input};

#[test]
fn a_draining_worker_parks_after_the_op_that_runs_and_leaves_when_nobody_needs_its_outputs() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.receive(grant(2, Start::OnFreedPermit)).nothing_else();
    t.input(Input::DrainRequested).expect([
        says(Report::Draining),
        truncate(1),
        ended(2, LeaseEnd::Recalled, PermitFate::None),
    ]);
    t.input(Input::DrainRequested).nothing_else();
    t.receive(grant(3, Start::Now))
        .expect([ended(3, LeaseEnd::Recalled, PermitFate::Returned)]);
    t.chain_ends(1, ChainEnd::Finished { kept: kept(1, 1) })
        .expect([ended(1, parked(1, 1), PermitFate::Returned)]);
    t.pass_connected(Duration::from_secs(10)).nothing_else();
    let output = output(1, 1);
    t.receive(ToWorker::Discard { run: RUN, output }).expect([
        drops(1, 1),
        Action::SayGoodbye,
        exits(ExitReason::Left),
    ]);
}

#[test]
fn an_idle_worker_leaves_as_soon_as_it_is_asked_to() {
    let mut t = Scenario::new(1);
    t.receive(ToWorker::Drain)
        .expect([says(Report::Draining), Action::SayGoodbye, exits(ExitReason::Left)]);
}

#[test]
fn a_worker_without_a_session_leaves_without_a_word() {
    let mut t = Scenario::unconnected(1);
    t.input(Input::DrainRequested)
        .expect([says(Report::Draining), exits(ExitReason::Left)]);
}

#[test]
fn outputs_that_nobody_fetched_do_not_hold_a_worker_back_for_ever() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.input(Input::DrainRequested)
        .expect([says(Report::Draining), truncate(1)]);
    t.chain_ends(1, ChainEnd::Finished { kept: kept(1, 1) })
        .expect([ended(1, parked(1, 1), PermitFate::Returned)]);
    t.pass_connected(Duration::from_secs(31))
        .expect([Action::SayGoodbye, exits(ExitReason::Left)]);
}

#[test]
fn a_second_request_stops_the_ops_and_leaves_when_they_have_stopped() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.input(Input::DrainRequested)
        .expect([says(Report::Draining), truncate(1)]);
    t.input(Input::LeaveNow).expect([stop(1)]);
    t.chain_ends(1, ChainEnd::Stopped).expect([
        ended(1, LeaseEnd::Stopped, PermitFate::Returned),
        Action::SayGoodbye,
        exits(ExitReason::Left),
    ]);
}

#[test]
fn an_op_that_does_not_stop_is_left_running_and_no_goodbye_is_said() {
    let mut t = Scenario::new(1);
    t.receive(grant(1, Start::Now)).expect([start(1, 0)]);
    t.input(Input::LeaveNow).expect([says(Report::Draining), stop(1)]);
    t.pass_connected(Duration::from_secs(3))
        .expect([exits(ExitReason::LeftRunning)]);
}
