//! Ops that take longer than they may.

use std::sync::Arc;
use std::time::Duration;

use common::failure::{Failure, FailureKind};
use common::ids::{OpId, RunId};
use common::message::{LeaseEnd, OpOutcome, PermitFate, Report, Start, ToWorker};
use common::slice::RunContext;

use super::scenario::{Scenario, context, ended, exits, id, kept, lease, output, says, stop};
use crate::{Action, ChainEnd, ExitReason, Input};

const TIMED: RunId = RunId(8);
const TIMEOUT: Duration = Duration::from_secs(2);

/// The run whose first op behind `extract` may take two seconds.
fn timed_run() -> Arc<RunContext> {
    let mut run = RunContext::clone(&context(TIMED));
    let mut job = (*run.job).clone();
    job.ops[1].timeout = Some(TIMEOUT);
    run.job = Arc::new(job);
    Arc::new(run)
}

fn timed_grant() -> ToWorker {
    let mut grant = lease(1, Start::Now);
    grant.run = TIMED;
    ToWorker::Grant(grant)
}

/// A worker that runs op 1 of the timed run.
fn running() -> Scenario {
    let mut t = Scenario::new(1);
    t.receive(ToWorker::OpenRun(timed_run())).receive(timed_grant());
    t.ops_done(1, [0]);
    let (lease, op, at) = (id(1), OpId(1), t.now);
    t.input(Input::OpStarted { lease, op, at });
    t.pending.clear();
    t
}

fn time_out() -> Action {
    Action::TimeOutOp {
        lease: id(1),
        op: OpId(1),
    }
}

fn op_ends(t: &mut Scenario) -> Action {
    let (lease, op, at) = (id(1), OpId(1), t.now);
    let outcome = OpOutcome::Failed(Failure::new(FailureKind::TimedOut, "too long"));
    t.input(Input::OpEnded {
        lease,
        op,
        at,
        outcome: outcome.clone(),
    });
    says(Report::OpEnded { lease, op, at, outcome })
}

#[test]
fn an_op_is_told_to_stop_when_its_time_is_over_and_its_input_is_kept() {
    let mut t = running();
    t.pass_connected(TIMEOUT - Duration::from_millis(1)).nothing_else();
    t.pass_connected(Duration::from_millis(1)).expect([time_out()]);
    let report = op_ends(&mut t);
    t.expect([report]);
    let end = LeaseEnd::Failed {
        op: OpId(1),
        kept: Some(output(1, 0)),
    };
    t.chain_ends(
        1,
        ChainEnd::OpFailed {
            op: OpId(1),
            kept: kept(1, 0),
        },
    )
    .expect([ended(1, end, PermitFate::Returned)]);
    t.pass_connected(Duration::from_secs(60)).nothing_else();
}

#[test]
fn an_op_that_ends_in_time_frees_the_ops_behind_it_from_its_limit() {
    let mut t = running();
    t.pass_connected(TIMEOUT / 2);
    op_ends(&mut t);
    let (lease, op, at) = (id(1), OpId(2), t.now);
    t.input(Input::OpStarted { lease, op, at });
    t.pending.clear();
    t.pass_connected(TIMEOUT * 10).nothing_else();
}

#[test]
fn a_time_out_needs_no_coordinator() {
    let mut t = running();
    t.input(Input::Disconnected);
    t.pass_in_silence(TIMEOUT).expect([time_out()]);
}

#[test]
fn an_op_that_does_not_stop_at_its_time_out_ends_the_process() {
    let mut t = running();
    t.pass_connected(TIMEOUT).expect([time_out()]);
    t.pass_connected(Duration::from_secs(3) - Duration::from_millis(1))
        .nothing_else();
    t.pass_connected(Duration::from_millis(1))
        .expect([exits(ExitReason::OpDidNotStop)]);
}

#[test]
fn a_stopped_op_whose_time_runs_out_is_not_timed_out_but_ends_the_process_all_the_same() {
    let mut t = running();
    t.receive(ToWorker::Revoke { lease: id(1) }).expect([stop(1)]);
    t.pass_connected(TIMEOUT).nothing_else();
    t.pass_connected(Duration::from_secs(3))
        .expect([exits(ExitReason::OpDidNotStop)]);
}
