//! The link to the coordinator and the passing of time: how long leases are believed in, and what a new session voids.

use common::message::Report;
use common::time::Time;

use super::Agent;
use crate::action::{Action, ExitReason};
use crate::input::{SessionEnd, SessionKind, Welcome};
use crate::lease::Why;
use crate::leaving::Leaving;

impl Agent {
    pub(super) fn on_welcomed(&mut self, welcome: &Welcome, now: Time) {
        match welcome.kind {
            SessionKind::Resumed => {}
            SessionKind::Reattached => self.unsettled.settle(0),
            SessionKind::Fresh => self.void_session(),
        }
        self.link.on_welcomed(welcome, now);
        if !self.leaving.takes_leases() && welcome.kind != SessionKind::Resumed {
            self.report(Report::Draining);
        }
    }

    pub(super) fn on_session_ended(&mut self, end: SessionEnd) {
        match end {
            SessionEnd::Replaced => {
                self.stop_all_chains();
                self.exit(ExitReason::Replaced);
            }
            SessionEnd::Drained => {
                self.void_session();
                if self.leaving.takes_leases() {
                    self.exit(ExitReason::Left);
                }
            }
            SessionEnd::Expired | SessionEnd::Protocol => self.void_session(),
        }
    }

    /// Forgets all that belonged to the session: nobody will ask for it any more.
    fn void_session(&mut self) {
        let exit_at = self.link.exit_at();
        self.link.on_ended();
        let abandoned = self.book.abandon();
        for lease in abandoned.to_take_back {
            self.act(Action::TakeBackChain { lease });
        }
        for lease in abandoned.to_stop {
            self.act(Action::StopChain { lease });
        }
        if !self.book.orphans.is_empty() {
            let both = [self.orphans_exit_at, exit_at];
            self.orphans_exit_at = both.into_iter().flatten().min();
        }
        self.op_limits.clear();
        self.publishing.clear();
        self.unsettled.forget();
        self.drop_outputs_where(|_| true);
        for run in std::mem::take(&mut self.runs).into_keys() {
            self.act(Action::CloseRun { run });
        }
    }

    /// Does all that is due by now; called after every input, so that a late wake-up loses nothing.
    pub(super) fn on_time(&mut self, now: Time) {
        if self.leaving == Leaving::Left {
            return;
        }
        self.keep_link(now);
        self.stop_what_may_not_run(now);
        self.stop_overdue_ops(now);
        if self.must_exit(now) {
            return self.exit(ExitReason::OpDidNotStop);
        }
        self.leave_if_done(now);
    }

    fn keep_link(&mut self, now: Time) {
        if let Some(_gave_up) = self.link.give_up_if_silent(now) {
            self.act(Action::Reconnect);
        }
        if let Some(sent_at) = self.link.take_heartbeat(now) {
            self.act(Action::SendHeartbeat { sent_at });
        }
    }

    /// Stops every lease when the coordinator was not heard for so long that they may soon be another worker's.
    fn stop_what_may_not_run(&mut self, now: Time) {
        if self.link.may_work(now) {
            return;
        }
        self.end_not_started(Why::Stopped);
        self.stop_all_chains();
    }

    fn must_exit(&self, now: Time) -> bool {
        let runs = self.book.running().next().is_some();
        let lease_over = runs && self.link.exit_at().is_some_and(|at| now >= at);
        let orphan_over = self.orphans_exit_at.is_some_and(|at| now >= at);
        lease_over || orphan_over || self.has_hung_op(now)
    }
}
