//! Leaving: first gracefully, then at once.
//!
//! A draining worker recalls what has not started, lets each chain end after the op that runs and parks its output:
//! that is quick, and loses no finished op. It goes on serving what it keeps until the coordinator discards the last
//! of it or its grace is over. Told to leave now it stops the ops too.

use common::message::Report;
use common::time::Time;

use super::Agent;
use crate::action::{Action, ExitReason};
use crate::book::Restrained;
use crate::lease::{Course, Why};
use crate::leaving::Leaving;

impl Agent {
    pub(super) fn drain(&mut self, now: Time) {
        if self.leaving != Leaving::No {
            return;
        }
        self.leaving = Leaving::Draining {
            until: now + self.config.drain_grace,
        };
        self.report(Report::Draining);
        self.end_not_started(Why::Recalled);
        let running: Vec<_> = self.book.running().map(|(id, _)| id).collect();
        for lease in running {
            if self.book.restrain(lease, Course::Truncating) == Restrained::Now {
                self.act(Action::TruncateChain { lease });
            }
        }
    }

    pub(super) fn leave_now(&mut self, now: Time) {
        match self.leaving {
            Leaving::Now { .. } | Leaving::Left => return,
            Leaving::No => self.report(Report::Draining),
            Leaving::Draining { .. } => {}
        }
        self.leaving = Leaving::Now {
            until: now + self.config.leave_grace,
        };
        self.end_not_started(Why::Recalled);
        self.stop_all_chains();
    }

    /// Says goodbye and ends the process once nothing is left to wait for.
    pub(super) fn leave_if_done(&mut self, now: Time) {
        match self.leaving {
            Leaving::No | Leaving::Left => {}
            Leaving::Draining { until } => {
                let out_of_time = now >= until;
                let held = !self.outputs.is_empty() || !self.publishing.is_empty() || self.has_more_to_say();
                if self.book.is_idle() && (!held || out_of_time) {
                    return self.leave();
                }
                if out_of_time {
                    self.leave_now(now);
                }
            }
            Leaving::Now { until } => {
                if self.book.is_idle() {
                    return self.leave();
                }
                if now >= until {
                    self.exit(ExitReason::LeftRunning);
                }
            }
        }
    }

    /// Tells whether the coordinator may still have to hear reports that a broken connection holds up.
    fn has_more_to_say(&self) -> bool {
        self.link.stop_at().is_some() && !self.link.is_up()
    }

    fn leave(&mut self) {
        if self.link.is_up() {
            self.act(Action::SayGoodbye);
        }
        self.exit(ExitReason::Left);
    }
}
