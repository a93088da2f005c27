//! Queueing ahead: new batches wait at a worker behind its permits, so that a slot need not wait for the coordinator.
//!
//! A queued lease counts for nothing: its batch is not begun and holds no memory. When a lease of the run ends prepared,
//! its worker starts the first queued one with the same permit, and the report of the end says so. So the sum of
//! permits stays what it was, and the batches in flight too.
//!
//! Leases are queued only while nothing else could want the slot: one run is active, its chain flows to the end in one
//! lease, and each of its begun batches is covered to its end by a live lease. As soon as that is over, what is queued
//! is recalled; what a worker has started meanwhile goes on.
//!
//! Known weakness: with several active runs nothing is queued, and each batch costs a way to the coordinator and back.

use std::ops::Bound;

use common::ids::{LeaseId, OpId, RunId, SessionId};
use common::message::{Start, ToWorker};
use common::time::Time;

use crate::rules::admission::{fits, may_queue};
use crate::rules::grant::chain;
use crate::scheduler::Scheduler;
use crate::state::batch::BatchPhase;
use crate::state::flow::Flow;
use crate::state::lease::Permit;
use crate::state::run::{Run, RunPhase};

impl Scheduler {
    /// Fills the queues of workers that work, or takes back what is queued.
    pub(crate) fn look_ahead(&mut self, now: Time) {
        match self.run_that_may_queue() {
            Some(run) => self.fill_queues(run, now),
            None => self.recall_queued(),
        }
    }

    /// Returns the run whose new batches nothing else can want a slot before.
    fn run_that_may_queue(&self) -> Option<RunId> {
        let mut active = self.turns.iter();
        let (Some((_, _, id)), None) = (active.next(), active.next()) else {
            return None;
        };
        let run = self.runs.get(id)?;
        let all_live = self.live_sessions == self.sessions.len() && self.fenced == 0 && self.former.units() == 0;
        (all_live && self.is_covered(run) && self.is_within_caps(run)).then_some(*id)
    }

    /// Tells whether each begun batch of a run is covered to its end by a live lease.
    fn is_covered(&self, run: &Run) -> bool {
        run.phase == RunPhase::Active
            && run.flow == Flow::ToTheEnd
            && run.ready.len() == 0
            && run.returning.is_empty()
            && run.gauges.in_flight.now == u64::from(run.units)
    }

    fn is_within_caps(&self, run: &Run) -> bool {
        let global = self.config.global_cap.is_none_or(|cap| self.units <= cap.get());
        let own = run.job.schedule.max_concurrent.is_none_or(|cap| run.units <= cap.get());
        global && own
    }

    /// Queues batches at workers in turn, so that earlier batches are begun first wherever a permit is freed first. Costs the
    /// workers that get one, however many there are.
    fn fill_queues(&mut self, run: RunId, now: Time) {
        let mut fed: Vec<SessionId> = Vec::new();
        let mut after = Bound::Unbounded;
        while self.runs.get(&run).is_some_and(may_queue)
            && let Some(&session) = self.hungry.range((after, Bound::Unbounded)).next()
        {
            after = Bound::Excluded(session);
            if self.reaches_the_end(run, session) && self.may_queue_at(run, session) {
                self.queue_next(run, session, now);
                fed.push(session);
            }
        }
        while !fed.is_empty() {
            fed.retain(|session| {
                let may = self.may_queue_at(run, *session);
                if may {
                    self.queue_next(run, *session, now);
                }
                may
            });
        }
        self.recall_for_idle_slots(run);
    }

    /// Takes back as many of the last queued batches as other workers have slots for, when no slice is left for them.
    fn recall_for_idle_slots(&mut self, id: RunId) {
        let Some(run) = self.runs.get(&id) else { return };
        if !run.slices.is_empty() || run.queued.len() == run.recalled.len() {
            return;
        }
        let has_room = self.has_global_room() && self.has_run_room(run);
        if !has_room || self.place(run, OpId::EXTRACT, None).is_none() {
            return;
        }
        let cap = self.cap_in_force(run);
        let would_begin = |lease: &LeaseId| {
            let batch = self.leases.get(lease).and_then(|lease| lease.batch);
            let batch = batch.and_then(|batch| run.batches.get(&batch));
            batch.is_some_and(|batch| fits(run, cap, batch.slice.bytes()).is_ok())
        };
        let free = usize::try_from(self.free_slots).unwrap_or(usize::MAX);
        let wanted = free.saturating_sub(run.recalled.len());
        let last = run.queued.iter().rev().filter(|lease| !run.recalled.contains(lease));
        let last: Vec<LeaseId> = last.take(wanted).copied().take_while(would_begin).collect();
        self.recall(id, &last);
    }

    fn may_queue_at(&self, run: RunId, session: SessionId) -> bool {
        let (Some(run), Some(session)) = (self.runs.get(&run), self.sessions.get(&session)) else {
            return false;
        };
        session.queued() < session.queue_bound() && may_queue(run)
    }

    /// Tells whether a worker can do every op of a run's chain.
    fn reaches_the_end(&self, run: RunId, session: SessionId) -> bool {
        let (Some(run), Some(session)) = (self.runs.get(&run), self.sessions.get(&session)) else {
            return false;
        };
        chain(&run.job, OpId::EXTRACT, session).count() == run.job.ops.len()
    }

    /// Queues a lease of the next batch at a worker.
    fn queue_next(&mut self, run_id: RunId, session: SessionId, now: Time) {
        let Some(batch) = self.take_batch(run_id, now) else {
            return;
        };
        let lease = self.grant_batch(run_id, batch, session, Start::OnFreedPermit, now);
        if let Some(run) = self.runs.get_mut(&run_id) {
            if let Some(batch) = run.batches.get_mut(&batch) {
                batch.phase = BatchPhase::Queued(lease);
                run.queued_bytes += batch.slice.bytes();
            }
            run.queued.insert(lease);
        }
        self.reindex_session(session);
    }

    /// Counts a batch as begun whose lease has got a permit.
    pub(crate) fn begin_queued(&mut self, lease: LeaseId, now: Time) {
        let Some(held) = self.leases.get_mut(&lease) else {
            return;
        };
        held.queued = now;
        let (run, batch) = (held.run, held.batch);
        let Some(run) = self.runs.get_mut(&run) else { return };
        if !run.queued.remove(&lease) {
            return;
        }
        let begins_nothing = run.begins_nothing();
        let Some(batch) = batch.and_then(|batch| run.batches.get_mut(&batch)) else {
            return;
        };
        batch.phase = BatchPhase::Leased(lease);
        batch.ready_since = now;
        run.queued_bytes -= batch.slice.bytes();
        run.recalled.remove(&lease);
        let (run, batch) = (run.id, batch.id);
        self.count_begun(run, batch);
        // It crossed the recall on its way: each further op of it would be new where nothing may begin.
        if begins_nothing || self.is_above_a_cap(run) {
            self.truncate(lease);
        }
    }

    /// Gives the first lease that is queued at a worker with a free slot a permit of its own.
    pub(crate) fn permit_queued(&mut self, lease: LeaseId, now: Time) {
        let Some(held) = self.leases.get_mut(&lease) else {
            return;
        };
        held.permit = Permit::Held;
        let (run, session) = (held.run, held.session);
        self.take_permit(run, session);
        self.begin_queued(lease, now);
        self.send(session, ToWorker::Permit { lease });
    }

    /// Returns a queued lease of a run at a worker that has a free slot, and that worker.
    pub(crate) fn startable_lease(&self, run: &Run) -> Option<(LeaseId, SessionId)> {
        if run.queued.is_empty() || run.phase != RunPhase::Active {
            return None;
        }
        let sessions = self.startable.iter().filter_map(|id| self.sessions.get(id));
        sessions
            .flat_map(|session| session.leases.iter().map(|lease| (*lease, session.id)))
            .find(|(lease, _)| run.queued.contains(lease) && !run.recalled.contains(lease))
    }

    /// Takes back everything that is queued, of every run.
    fn recall_queued(&mut self) {
        let with_queue = self.runs.values().filter(|run| run.queued.len() > run.recalled.len());
        let all: Vec<(RunId, Vec<LeaseId>)> = with_queue
            .map(|run| (run.id, run.queued.difference(&run.recalled).copied().collect()))
            .collect();
        for (run, leases) in all {
            self.recall(run, &leases);
        }
    }
}
