//! Holding back: leases that are asked to end early, asked back, or revoked. What a worker has begun meanwhile goes on.

use common::ids::{LeaseId, RunId};
use common::message::ToWorker;

use crate::scheduler::Scheduler;
use crate::state::lease::{Lease, Permit, Truncation};
use crate::state::run::Run;

impl Scheduler {
    /// Asks a lease to end after the op that runs now.
    pub(crate) fn truncate(&mut self, id: LeaseId) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.truncation = Truncation::Asked;
            let session = lease.session;
            self.send(session, ToWorker::Truncate { lease: id });
        }
    }

    /// Asks leases of a run back that wait for a permit.
    pub(crate) fn recall(&mut self, run: RunId, leases: &[LeaseId]) {
        for lease in leases {
            if let Some(run) = self.runs.get_mut(&run) {
                run.recalled.insert(*lease);
            }
            if let Some(held) = self.leases.get(lease) {
                let session = held.session;
                self.send(session, ToWorker::Recall { lease: *lease });
            }
        }
    }

    /// Takes back everything of a run that waits at workers.
    pub(crate) fn recall_all_of(&mut self, id: RunId) {
        let Some(run) = self.runs.get(&id) else { return };
        let queued: Vec<LeaseId> = run.queued.difference(&run.recalled).copied().collect();
        self.recall(id, &queued);
    }

    /// Lets a run's leases end after the ops that run, and takes back what is not begun.
    pub(crate) fn cut_off(&mut self, id: RunId) {
        self.recall_all_of(id);
        let has_more = self
            .leases
            .values()
            .filter(|lease| lease.run == id && lease.truncation == Truncation::None && lease.has_more_steps());
        let of_batches = has_more.filter(|lease| lease.batch.is_some() && lease.permit == Permit::Held);
        let to_cut: Vec<LeaseId> = of_batches.map(|lease| lease.id).collect();
        for lease in to_cut {
            self.truncate(lease);
        }
    }

    /// Cuts a chain that runs since before a restart behind the op that runs, if nothing of its run may begin.
    pub(crate) fn cut_if_nothing_begins(&mut self, run: RunId, lease: LeaseId) {
        let begins_nothing = self.runs.get(&run).is_some_and(Run::begins_nothing);
        let goes_on = |lease: &Lease| lease.batch.is_some() && lease.truncation == Truncation::None;
        let goes_on = self
            .leases
            .get(&lease)
            .is_some_and(|lease| goes_on(lease) && lease.has_more_steps());
        if begins_nothing && goes_on {
            self.truncate(lease);
        }
    }

    /// Stops a lease at once.
    pub(crate) fn revoke(&mut self, id: LeaseId) {
        if let Some(lease) = self.leases.get(&id) {
            let session = lease.session;
            self.send(session, ToWorker::Revoke { lease: id });
        }
    }
}
