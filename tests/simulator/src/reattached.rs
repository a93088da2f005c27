//! RE-ATTACH: what a worker holds when it meets a coordinator that was started again is taken over, and not done again.
//!
//! A lease may be refused only for a reason that can be seen from outside: its run or its batch is over, somebody else
//! works on the batch, or the bounds on what is in flight are reached; what is prepared needs no room in them.

use common::holdings::{HeldCourse, HeldLease, HeldState, Holdings};
use common::ids::{BatchId, LeaseId, RunId, SessionId};
use common::state::BatchState;

use crate::world::World;

impl World {
    pub(crate) fn on_adopted(&mut self, lease: LeaseId, session: SessionId, run: RunId, batch: Option<BatchId>) {
        self.trace.note(self.now, &[7, lease.generation.0, lease.sequence], || {
            let what = batch.map_or("the whole run".to_owned(), |batch| format!("batch {batch}"));
            format!("{session} goes on with {lease} of {run}, {what}")
        });
        self.oracle.taken_over.insert(lease);
        let is_new = self.oracle.adopted.insert(lease);
        self.require(is_new, "RE-ATTACH", || {
            format!("{lease} is taken over twice in one hello")
        });
        let work = match batch {
            Some(batch) => (run, Some(batch), None),
            None => self.oracle.work_of[&lease],
        };
        let is_open = !self.oracle.is_committed(work);
        self.require(is_open, "NO-RERUN-AFTER-ACK", || {
            format!("{lease} goes on with {work:?}, which is committed")
        });
        // Taking a lease over is granting it: from now on it is the one that counts.
        self.oracle.latest.insert(work, lease);
        if let Some(batch) = batch {
            self.note_begun(run, batch);
        }
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
            if held.batch.is_none() && !self.may_be_refused_of_run(held) {
                let (run, lease, op) = (held.run, held.lease, held.steps[0].op.0);
                return self.fail("RE-ATTACH", || {
                    format!("{lease} of {run}, op {op} over the whole of it, is done again for no reason")
                });
            }
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

    /// Tells whether there is a reason not to go on with an op over the whole run: it is done, somebody else does it, it has failed
    /// since, or what the run ends with was not durable when it was granted.
    fn may_be_refused_of_run(&self, held: &HeldLease) -> bool {
        let (run, lease, step) = (held.run, held.lease, held.steps[0]);
        let work = (run, None, Some(step.op));
        let lives = self
            .coordinator
            .as_ref()
            .is_some_and(|c| c.scheduler.summary(run).is_some());
        let is_done = self.oracle.is_committed(work) || self.oracle.appended.contains(&(self.incarnation, work));
        let latest = self.oracle.latest.get(&work);
        let is_elsewhere = latest.is_some_and(|latest| {
            *latest != lease && (latest.generation.0 == self.incarnation || self.oracle.taken_over.contains(latest))
        });
        let ends = self.oracle.finishing.get(&run);
        let is_of_this_ending = ends.is_some_and(|ends| lease > ends.after);
        let failed_since = self.oracle.failed_of_run.get(&(run, step.op));
        let has_failed = failed_since.is_some_and(|number| *number >= step.attempt.0);
        !lives || is_done || is_elsewhere || !is_of_this_ending || has_failed
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

/// Tells whether a lease holds work that would have to be done again: prepared ones, and those that go on.
fn is_worth_keeping(held: &HeldLease) -> bool {
    match &held.state {
        HeldState::Running { since, course, .. } => since.is_some() && *course == HeldCourse::On,
        HeldState::Prepared => true,
    }
}
