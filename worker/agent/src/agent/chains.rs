//! What the executor says: ops that started and ended, chains that ended, publications that are done.

use common::failure::Failure;
use common::ids::{LeaseId, OpId, OutputId};
use common::message::{LeaseEnd, OpOutcome, Report};
use common::time::Time;

use super::Agent;
use crate::action::Action;
use crate::input::{ChainEnd, Kept};
use crate::lease::{Course, Lease, LeaseState};

impl Agent {
    pub(super) fn on_op_started(&mut self, lease: LeaseId, op: OpId, at: Time) {
        let Some((slot, _)) = self.running_lease(lease) else {
            return;
        };
        self.report(Report::OpStarted { lease, op, slot, at });
    }

    pub(super) fn on_op_ended(&mut self, lease: LeaseId, op: OpId, at: Time, outcome: OpOutcome) {
        if self.running_lease(lease).is_some() {
            self.report(Report::OpEnded { lease, op, at, outcome });
        }
    }

    /// A chain that was truncated because this worker leaves says so too: the coordinator may then plan the rest.
    pub(super) fn on_chain_truncated(&mut self, lease: LeaseId, last: OpId) {
        if self.running_lease(lease).is_some() {
            self.report(Report::Truncated { lease, last });
        }
    }

    pub(super) fn on_chain_ended(&mut self, id: LeaseId, end: ChainEnd) {
        if let Some(orphan) = self.book.remove_orphan(id) {
            if let Some(kept) = kept_of(&end) {
                self.drop_output(orphan.run, kept.output);
            }
            if self.book.orphans.is_empty() {
                self.orphans_exit_at = None;
            }
            return self.fill_slots();
        }
        let Some((_, course)) = self.running_lease(id) else {
            return;
        };
        let lease = self.book.leases[&id].clone();
        let end = match course {
            Course::Stopping => self.drop_what_it_made(&lease, &end),
            Course::On | Course::Truncating => self.settle_outputs(&lease, end),
        };
        self.end_lease(id, end);
        self.fill_slots();
    }

    pub(super) fn on_published(&mut self, lease: LeaseId, result: Result<(), Failure>) {
        if !self.publishing.remove(&lease) {
            return;
        }
        self.report(match result {
            Ok(()) => Report::Published { lease },
            Err(failure) => Report::PublishFailed { lease, failure },
        });
    }

    /// Brings the list of kept outputs up to date, and says how the lease ended.
    fn settle_outputs(&mut self, lease: &Lease, end: ChainEnd) -> LeaseEnd {
        let run = lease.grant.run;
        let input = lease.local_input();
        match end {
            ChainEnd::Finished { kept: None } => {
                self.drop_input(lease, None);
                LeaseEnd::Prepared
            }
            ChainEnd::Finished { kept: Some(kept) } => {
                self.keep_output(run, kept);
                self.drop_input(lease, Some(kept.output));
                let Kept { output, bytes } = kept;
                LeaseEnd::Parked { output, bytes }
            }
            ChainEnd::OpFailed { op, kept } => {
                if let Some(kept) = kept {
                    self.keep_output(run, kept);
                }
                let kept = kept.map(|kept| kept.output);
                self.drop_input(lease, kept);
                LeaseEnd::Failed { op, kept }
            }
            ChainEnd::InputLost { failure } => {
                if input.is_some() {
                    self.drop_input(lease, None);
                }
                LeaseEnd::InputLost { failure }
            }
            ChainEnd::Stopped => LeaseEnd::Stopped,
        }
    }

    /// A stopped chain leaves nothing behind; what it worked on stays, for the coordinator to lease out or discard.
    fn drop_what_it_made(&mut self, lease: &Lease, end: &ChainEnd) -> LeaseEnd {
        if let Some(kept) = kept_of(end)
            && lease.local_input() != Some(kept.output)
        {
            self.drop_output(lease.grant.run, kept.output);
        }
        LeaseEnd::Stopped
    }

    /// Drops the kept output that the chain worked on, unless it is the one that goes on being kept.
    fn drop_input(&mut self, lease: &Lease, kept: Option<OutputId>) {
        let Some(input) = lease.local_input() else { return };
        if kept == Some(input) {
            return;
        }
        self.outputs.remove(&(lease.grant.run, input));
        self.act(Action::DropOutput {
            run: lease.grant.run,
            output: input,
        });
    }

    fn running_lease(&self, id: LeaseId) -> Option<(u32, Course)> {
        match self.book.leases.get(&id)?.state {
            LeaseState::Running { slot, course } => Some((slot, course)),
            LeaseState::Waiting | LeaseState::Permitted => None,
        }
    }
}

fn kept_of(end: &ChainEnd) -> Option<Kept> {
    match end {
        ChainEnd::Finished { kept } | ChainEnd::OpFailed { kept, .. } => *kept,
        ChainEnd::InputLost { .. } | ChainEnd::Stopped => None,
    }
}
