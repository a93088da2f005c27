//! What the executor says: ops that started and ended, chains that ended, publications that are done.

use std::sync::Arc;

use common::failure::Failure;
use common::ids::{LeaseId, OpId, OutputId, RunId};
use common::message::{ChainRan, LeaseEnd, OpOutcome, OpRan, PermitFate, Report};
use common::time::Time;

use super::{Agent, end_of};
use crate::action::Action;
use crate::book::Orphan;
use crate::input::{ChainEnd, Kept};
use crate::lease::{Course, Lease, LeaseState, Why};
use crate::leaving::Leaving;

impl Agent {
    pub(super) fn on_fetch_started(&mut self, lease: LeaseId, at: Time) {
        if let Some((_, held)) = self.in_slot(lease) {
            held.progress.fetch(at);
            self.report(Report::FetchStarted { lease, at });
        }
    }

    pub(super) fn on_op_started(&mut self, lease: LeaseId, op: OpId, at: Time) {
        let Some((slot, held)) = self.in_slot(lease) else {
            return;
        };
        held.progress.start(at);
        self.limit_op(lease, op, at);
        self.report(Report::OpStarted { lease, op, slot, at });
    }

    pub(super) fn on_op_ended(&mut self, lease: LeaseId, op: OpId, at: Time, outcome: OpOutcome) {
        self.op_limits.remove(&lease);
        if let Some((_, held)) = self.in_slot(lease) {
            held.progress.end(op, &outcome);
            self.report(Report::OpEnded { lease, op, at, outcome });
        }
    }

    /// A chain that was truncated because this worker leaves says so too: the coordinator may then plan the rest.
    pub(super) fn on_chain_truncated(&mut self, lease: LeaseId, last: OpId) {
        if let Some((_, held)) = self.in_slot(lease) {
            held.progress.truncate(last);
            self.report(Report::Truncated { lease, last });
        }
    }

    pub(super) fn on_chain_ended(&mut self, id: LeaseId, end: ChainEnd, next: Option<LeaseId>) {
        if let Some(orphan) = self.book.remove_orphan(id) {
            if let Some(kept) = kept_of(&end) {
                self.drop_output(orphan.run, kept.output);
            }
            return self.on_orphan_ended(orphan, next);
        }
        let Some((slot, course)) = self.running_lease(id) else {
            return;
        };
        let Some(lease) = self.book.remove(id) else { return };
        self.op_limits.remove(&id);
        // A chain whose slot took another one had ended before anybody stopped it.
        let end = match course {
            Course::Stopping if next.is_none() => self.drop_what_it_made(&lease, &end),
            Course::On | Course::Truncating | Course::Stopping => self.settle_outputs(&lease, end),
        };
        let permit = self.fate_of_permit(&lease, next);
        let (run, is_prepared) = (lease.grant.run, end == LeaseEnd::Prepared);
        self.report(Report::LeaseEnded { lease: id, end, permit });
        if is_prepared {
            self.unsettled.keep(lease);
        }
        self.go_on_in_slot(slot, run, next);
    }

    pub(super) fn on_chain_ran(&mut self, id: LeaseId, ops: Vec<OpRan>, next: Option<LeaseId>) {
        let end = ChainEnd::Finished { kept: None };
        let (slot, course) = match self.running_lease(id) {
            Some(running) => running,
            None => return self.on_chain_ended(id, end, next),
        };
        if course == Course::Stopping && next.is_none() {
            self.tell_ops(id, slot, ops);
            return self.on_chain_ended(id, end, next);
        }
        let Some(mut lease) = self.book.remove(id) else { return };
        lease.progress.run_to_end(&lease.grant.steps, &ops);
        self.op_limits.remove(&id);
        self.drop_input(&lease, None);
        let heir = next.filter(|next| self.book.leases.contains_key(next));
        self.report(Report::ChainRan(ChainRan {
            lease: id,
            slot,
            ops,
            heir,
        }));
        let run = lease.grant.run;
        self.unsettled.keep(lease);
        self.go_on_in_slot(slot, run, next);
    }

    pub(super) fn on_chain_taken_back(&mut self, id: LeaseId) {
        let Some(LeaseState::AskedBack(why)) = self.book.leases.get(&id).map(|lease| lease.state) else {
            return;
        };
        match why {
            Why::Permitted => {
                self.book.permit(id);
                self.fill_slots();
            }
            Why::Recalled | Why::Truncated | Why::Stopped => self.end_lease(id, end_of(why)),
        }
    }

    /// Says of each op of a chain that it started and ended.
    fn tell_ops(&mut self, lease: LeaseId, slot: u32, ops: Vec<OpRan>) {
        let Some(steps) = self.book.leases.get(&lease).map(|lease| Arc::clone(&lease.grant.steps)) else {
            return;
        };
        for (step, ran) in steps.iter().zip(ops) {
            let (op, at) = (step.op, ran.started);
            self.report(Report::OpStarted { lease, op, slot, at });
            let (at, outcome) = (ran.ended, OpOutcome::Done(ran.done));
            self.report(Report::OpEnded { lease, op, at, outcome });
        }
    }

    /// A chain whose session is over has ended; one that its slot took is of that session too, and is stopped.
    fn on_orphan_ended(&mut self, orphan: Orphan, next: Option<LeaseId>) {
        if let Some(next) = next {
            self.book.add_orphan(next, orphan);
            self.act(Action::StopChain { lease: next });
            return;
        }
        if self.book.orphans.is_empty() {
            self.orphans_exit_at = None;
        }
        self.fill_slots();
    }

    fn fate_of_permit(&self, ended: &Lease, next: Option<LeaseId>) -> PermitFate {
        match next.filter(|next| self.book.leases.contains_key(next)) {
            Some(next) => PermitFate::PassedTo(next),
            None => ended.returned_permit(),
        }
    }

    /// Enters the chain that a slot took, or gives the slot to the next lease that has a permit.
    fn go_on_in_slot(&mut self, slot: u32, run: RunId, next: Option<LeaseId>) {
        let Some(next) = next else {
            return self.fill_slots();
        };
        let leaves = match self.leaving {
            Leaving::No => Why::Permitted,
            Leaving::Draining { .. } => Why::Truncated,
            Leaving::Now { .. } | Leaving::Left => Why::Stopped,
        };
        let asked = match self.book.take(next, slot) {
            Some(LeaseState::AskedBack(why)) => why,
            Some(LeaseState::Waiting | LeaseState::Permitted | LeaseState::Running { .. }) => Why::Permitted,
            None => {
                self.book.add_orphan(next, Orphan { slot, run });
                self.orphans_exit_at = self.orphans_exit_at.or_else(|| self.link.exit_at());
                return self.act(Action::StopChain { lease: next });
            }
        };
        match asked.max(leaves) {
            Why::Permitted | Why::Recalled => {}
            Why::Truncated => {
                self.book.restrain(next, Course::Truncating);
                self.act(Action::TruncateChain { lease: next });
            }
            Why::Stopped => {
                self.stop_chain(next);
            }
        }
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
        let input = lease.local_input();
        match end {
            ChainEnd::Finished { kept: None } => {
                self.drop_input(lease, None);
                LeaseEnd::Prepared
            }
            ChainEnd::Finished { kept: Some(kept) } => {
                self.keep_output(lease, kept);
                self.drop_input(lease, Some(kept.output));
                let Kept { output, bytes } = kept;
                LeaseEnd::Parked { output, bytes }
            }
            ChainEnd::Checkpointed => {
                self.drop_input(lease, None);
                LeaseEnd::Checkpointed
            }
            ChainEnd::OpFailed { op, kept } => {
                if let Some(kept) = kept {
                    self.keep_output(lease, kept);
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

    fn in_slot(&mut self, id: LeaseId) -> Option<(u32, &mut Lease)> {
        let lease = self.book.leases.get_mut(&id)?;
        match lease.state {
            LeaseState::Running { slot, .. } => Some((slot, lease)),
            LeaseState::Waiting | LeaseState::AskedBack(_) | LeaseState::Permitted => None,
        }
    }

    fn running_lease(&self, id: LeaseId) -> Option<(u32, Course)> {
        match self.book.leases.get(&id)?.state {
            LeaseState::Running { slot, course } => Some((slot, course)),
            LeaseState::Waiting | LeaseState::AskedBack(_) | LeaseState::Permitted => None,
        }
    }
}

fn kept_of(end: &ChainEnd) -> Option<Kept> {
    match end {
        ChainEnd::Finished { kept } | ChainEnd::OpFailed { kept, .. } => *kept,
        ChainEnd::Checkpointed | ChainEnd::InputLost { .. } | ChainEnd::Stopped => None,
    }
}
