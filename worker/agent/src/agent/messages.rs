//! What the coordinator says: runs opened and closed, leases granted, cut, taken back; publications.

use std::sync::Arc;

use common::ids::{LeaseId, OutputId, RunId};
use common::message::{Grant, LeaseEnd, PermitFate, Publish, Report, Start, ToWorker};
use common::slice::RunContext;
use common::time::Time;

use super::Agent;
use crate::action::Action;
use crate::book::{AskedBack, Restrained};
use crate::lease::{Course, Lease, LeaseState, Why};

impl Agent {
    pub(super) fn on_received(&mut self, message: ToWorker, now: Time) {
        match message {
            ToWorker::OpenRun(context) => self.on_open_run(context),
            ToWorker::CloseRun { run } => self.on_close_run(run),
            ToWorker::Grant(grant) => self.on_grant(grant, now),
            ToWorker::Permit { lease } => self.on_permit(lease),
            ToWorker::Truncate { lease } => self.on_truncate(lease),
            ToWorker::Recall { lease } => self.on_recall(lease),
            ToWorker::Revoke { lease } => self.on_revoke(lease),
            ToWorker::Publish(publish) => self.on_publish(publish),
            ToWorker::Discard { run, output } => self.on_discard(run, output),
            ToWorker::Drain => self.drain(now),
            ToWorker::Settled { reports } => self.unsettled.settle(reports),
        }
    }

    fn on_open_run(&mut self, context: Arc<RunContext>) {
        if self.runs.insert(context.run, Arc::clone(&context)).is_none() {
            self.act(Action::OpenRun(context));
        }
    }

    fn on_close_run(&mut self, run: RunId) {
        if self.runs.remove(&run).is_none() {
            return;
        }
        let not_started = self.book.not_started();
        let of_run = |agent: &Agent, id: &LeaseId| agent.book.leases.get(id).is_some_and(|l| l.grant.run == run);
        for id in not_started
            .into_iter()
            .filter(|id| of_run(self, id))
            .collect::<Vec<_>>()
        {
            self.end_unstarted(id, Why::Stopped);
        }
        let running: Vec<LeaseId> = self.book.running().map(|(id, _)| id).collect();
        for id in running.into_iter().filter(|id| of_run(self, id)).collect::<Vec<_>>() {
            self.stop_chain(id);
        }
        self.drop_outputs_where(|owner| owner == run);
        self.unsettled.forget_run(run);
        self.act(Action::CloseRun { run });
    }

    fn on_grant(&mut self, grant: Grant, now: Time) {
        let id = grant.lease;
        if self.book.leases.contains_key(&id) || self.book.orphans.contains_key(&id) {
            return;
        }
        let start = grant.start;
        let run = self.runs.get(&grant.run).map(Arc::clone);
        let can_be_held = self.leaving.takes_leases() && !grant.steps.is_empty();
        let (true, Some(run)) = (can_be_held, run) else {
            return self.refuse(id, start, LeaseEnd::Recalled);
        };
        if !self.link.may_work(now) {
            return self.refuse(id, start, LeaseEnd::Stopped);
        }
        match start {
            Start::Now => {
                let state = LeaseState::Permitted;
                self.book.add_permitted(Lease::new(grant, run, state));
                self.fill_slots();
            }
            Start::OnFreedPermit => {
                let state = LeaseState::Waiting;
                let lease = Lease::new(grant, run, state);
                self.act(Action::QueueChain(lease.chain()));
                self.book.add_waiting(lease);
            }
        }
    }

    /// Ends a lease that never came into the book.
    fn refuse(&mut self, lease: LeaseId, start: Start, end: LeaseEnd) {
        let permit = match start {
            Start::Now => PermitFate::Returned,
            Start::OnFreedPermit => PermitFate::None,
        };
        self.report(Report::LeaseEnded { lease, end, permit });
    }

    /// A permit for a lease that is gone was on its way when the lease ended: the end said that it held none, and the
    /// coordinator, which sent the permit before it read that, takes it back by itself.
    fn on_permit(&mut self, lease: LeaseId) {
        if self.book.ask_back(lease, Why::Permitted) == AskedBack::Now {
            self.act(Action::TakeBackChain { lease });
        }
    }

    fn on_truncate(&mut self, lease: LeaseId) {
        match self.book.restrain(lease, Course::Truncating) {
            Restrained::Now => self.act(Action::TruncateChain { lease }),
            Restrained::Already => {}
            Restrained::NotRunning => {
                self.end_unstarted(lease, Why::Truncated);
                self.fill_slots();
            }
        }
    }

    fn on_recall(&mut self, lease: LeaseId) {
        if self.book.ask_back(lease, Why::Recalled) == AskedBack::Now {
            self.act(Action::TakeBackChain { lease });
        }
    }

    fn on_revoke(&mut self, lease: LeaseId) {
        match self.stop_chain(lease) {
            Restrained::Now | Restrained::Already => {}
            Restrained::NotRunning => {
                self.end_unstarted(lease, Why::Stopped);
                self.fill_slots();
            }
        }
    }

    fn on_publish(&mut self, publish: Publish) {
        if self.publishing.insert(publish.lease) {
            self.act(Action::Publish(publish));
        }
    }

    fn on_discard(&mut self, run: RunId, output: OutputId) {
        if self.outputs.contains_key(&(run, output)) {
            self.drop_output(run, output);
        }
    }
}
