//! RE-ATTACH: what a worker holds when it meets a coordinator that was started again is taken over, and not done again.
//!
//! A lease may be refused only for a reason that can be seen from outside: its run or its batch is over, somebody else
//! works on the batch, or the bounds on what is in flight are reached; what is prepared needs no room in them.

use common::holdings::{HeldCourse, HeldLease, HeldState, Holdings};
use common::ids::{BatchId, Halves, LeaseId, RunId, SessionId};
use common::state::BatchState;

use crate::world::World;

impl World {
    pub(crate) fn on_adopted(&mut self, lease: LeaseId, session: SessionId, run: RunId, batch: BatchId) {
        self.trace.note(self.now, &[7, lease.generation.0, lease.sequence], || {
            format!("{session} goes on with {lease} of {run} batch {batch}")
        });
        let is_new = self.oracle.adopted.insert(lease);
        self.require(is_new, "RE-ATTACH", || {
            format!("{lease} is taken over twice in one hello")
        });
        let is_open = !self.oracle.committed.contains_key(&(run, batch));
        self.require(is_open, "NO-RERUN-AFTER-ACK", || {
            format!("{lease} goes on with {run} batch {batch}, which is committed")
        });
        // Taking a lease over is granting it: from now on it is the one that counts.
        self.oracle.latest.insert((run, Some(batch), None), lease);
        self.note_begun(run, batch);
    }

    /// Checks, behind a hello that listed holdings, that nothing was refused without a reason.
    pub(crate) fn check_reattached(&mut self, session: SessionId, holdings: &Holdings) {
        let adopted = std::mem::take(&mut self.oracle.adopted);
        if !self
            .coordinator
            .as_ref()
            .is_some_and(|c| c.links.contains_key(&session))
        {
            // The hello came late, or its process was replaced.
            return;
        }
        let refused: Vec<&HeldLease> = holdings
            .leases
            .iter()
            .filter(|held| !adopted.contains(&held.lease) && is_worth_keeping(held))
            .collect();
        // What was prepared was in flight when what came before it was judged.
        let prepared = |run: RunId| {
            let taken = holdings.leases.iter().filter(|held| adopted.contains(&held.lease));
            taken
                .filter(|held| held.run == run && held.state == HeldState::Prepared)
                .count() as u64
        };
        for held in refused {
            if let Some(batch) = &held.batch
                && !self.oracle.checkpoints.is_behind(held.run, batch.id, held.steps[0].op)
                && !self.may_be_refused(held, batch.id, prepared(held.run))
            {
                let (run, lease, id) = (held.run, held.lease, batch.id);
                return self.fail("RE-ATTACH", || {
                    format!("{lease} of {run} batch {id} is done again for no reason")
                });
            }
        }
    }

    fn may_be_refused(&self, held: &HeldLease, batch: BatchId, prepared: u64) -> bool {
        let (run, lease) = (held.run, held.lease);
        let Some(coordinator) = &self.coordinator else {
            return true;
        };
        let Some(summary) = coordinator.scheduler.summary(run) else {
            return true;
        };
        let is_over = self.oracle.cancelled.contains(&run) || summary.failure.is_some();
        let is_done = self.oracle.committed.contains_key(&(run, batch))
            || self.oracle.failed.contains(&(run, batch))
            || self.oracle.halved.contains(&(run, batch))
            || self
                .oracle
                .appended
                .contains(&(self.incarnation, (run, Some(batch), None)));
        let is_full = summary
            .max_in_flight
            .is_some_and(|bound| summary.batches_in_flight.now + prepared >= bound);
        let has_bytes_bound = self.plan.jobs[self.oracle.job_of_run[&run]]
            .max_rows_in_flight
            .is_some();
        let latest = self.oracle.latest.get(&(run, Some(batch), None));
        let is_granted_anew = latest.is_some_and(|latest| *latest != lease && latest.generation.0 == self.incarnation);
        let works_elsewhere = is_granted_anew
            || coordinator.scheduler.batches(run).any(|view| {
                let is_busy = match view.state {
                    BatchState::Leased
                    | BatchState::Committing
                    | BatchState::Backoff
                    | BatchState::Halving
                    | BatchState::Failed => true,
                    BatchState::Waiting | BatchState::Committed | BatchState::Cancelled => false,
                };
                view.id == batch && is_busy && latest != Some(&lease)
            });
        let needs_room = held.state != HeldState::Prepared;
        is_over || is_done || works_elsewhere || needs_room && (is_full || has_bytes_bound)
    }
}

/// Tells whether a lease holds work that would have to be done again: prepared ones, and those that go on. Halves of a batch are not
/// taken over.
fn is_worth_keeping(held: &HeldLease) -> bool {
    let is_whole = held
        .batch
        .as_ref()
        .is_some_and(|batch| batch.id.halves == Halves::WHOLE);
    is_whole
        && match &held.state {
            HeldState::Running { since, course, .. } => since.is_some() && *course == HeldCourse::On,
            HeldState::Prepared => true,
        }
}
