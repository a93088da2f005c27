//! Ops that take longer than they may.
//!
//! An op of a batch with a `timeout` is told to stop when its time is over; its attempt has then failed as timed out,
//! and the chain ends behind it. That needs no coordinator. An op that does not stop keeps its slot and its permit,
//! so nothing may take its place: after a grace the process ends, as for every op that does not stop.

use common::ids::{LeaseId, OpId};
use common::time::Time;

use super::Agent;
use crate::action::Action;
use crate::lease::{Course, LeaseState};
use crate::op_limit::OpLimit;

impl Agent {
    /// Begins to watch an op that has a time-out; what is done for a whole run has none.
    pub(super) fn limit_op(&mut self, id: LeaseId, op: OpId, started: Time) {
        let Some(lease) = self.book.leases.get(&id).filter(|lease| lease.grant.batch.is_some()) else {
            return;
        };
        if let Some(timeout) = lease.run.job.op(op).timeout {
            let at = started + timeout;
            self.op_limits.insert(id, OpLimit::Until { op, at });
        }
    }

    /// Tells ops whose time is over to stop.
    pub(super) fn stop_overdue_ops(&mut self, now: Time) {
        if self.op_limits.is_empty() {
            return;
        }
        let overdue: Vec<(LeaseId, OpId)> = self
            .op_limits
            .iter()
            .filter_map(|(lease, limit)| match limit {
                OpLimit::Until { op, at } if *at <= now => Some((*lease, *op)),
                OpLimit::Until { .. } | OpLimit::Over { .. } => None,
            })
            .collect();
        let exit_at = now + self.config.timeout_grace;
        for (lease, op) in overdue {
            self.op_limits.insert(lease, OpLimit::Over { exit_at });
            let is_stopping = self.book.leases.get(&lease).is_some_and(|held| {
                matches!(
                    held.state,
                    LeaseState::Running {
                        course: Course::Stopping,
                        ..
                    }
                )
            });
            if !is_stopping {
                self.act(Action::TimeOutOp { lease, op });
            }
        }
    }

    /// Tells whether an op has not stopped although its time was over long ago.
    pub(super) fn has_hung_op(&self, now: Time) -> bool {
        let is_hung = |limit: &OpLimit| match limit {
            OpLimit::Until { .. } => false,
            OpLimit::Over { exit_at } => *exit_at <= now,
        };
        self.op_limits.values().any(is_hung)
    }

    /// Returns when a time limit is to be looked at.
    pub(super) fn next_op_limit(&self) -> Option<Time> {
        self.op_limits.values().map(|limit| limit.at()).min()
    }
}
