//! Permits and the caps they are counted against: the coordinator's, the run's, the op's, the worker's slots.
//!
//! A permit is taken when a lease may start and released when its end is reported or certain; nothing else moves the
//! counts, so that the sum of permits is the truth about what may be running anywhere.

use std::cmp::Reverse;

use common::ids::{LeaseId, OpId, RunId, SessionId};

use crate::journal::run_ledger::Hold;
use crate::scheduler::Scheduler;
use crate::state::cap::Cap;
use crate::state::lease::Permit;
use crate::state::turn::{TookTurns, turn_of};

impl Scheduler {
    /// Counts a lease's permit against its session's slots, its run's cap and the coordinator's.
    pub(crate) fn take_permit(&mut self, run: RunId, session: SessionId) {
        self.units += 1;
        self.change_run_units(run, |units| units + 1);
        if let Some(session) = self.sessions.get_mut(&session) {
            session.busy += 1;
        }
        self.reindex_session(session);
    }

    /// Frees the permit of a lease, and the unit of the limited op it may hold.
    pub(crate) fn release_permit(&mut self, id: LeaseId) {
        self.release_op_unit(id);
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if lease.permit == Permit::Waiting {
            return;
        }
        lease.permit = Permit::Waiting;
        let (run, session) = (lease.run, lease.session);
        self.units -= 1;
        self.change_run_units(run, |units| units - 1);
        if let Some(session) = self.sessions.get_mut(&session) {
            session.busy -= 1;
        }
        self.reindex_session(session);
    }

    /// Frees the unit of an op's own limit that a lease holds.
    pub(crate) fn release_op_unit(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        let Some(op) = lease.limited_op.take() else { return };
        if let Some(run) = self.runs.get_mut(&lease.run) {
            run.op_units[op.index()] -= 1;
        }
        self.release_pool_units(id);
    }

    /// Keeps the order of runs true while a run's permits change.
    fn change_run_units(&mut self, id: RunId, change: impl FnOnce(u32) -> u32) {
        let took_turns = self.remove_turn(id);
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.units = change(run.units);
        if took_turns == TookTurns::Yes {
            self.turns.insert(turn_of(run));
        }
    }

    /// Lets a run take its turns, unless it is paused.
    pub(crate) fn add_turn(&mut self, id: RunId) {
        if let Some(run) = self.runs.get(&id).filter(|run| run.hold == Hold::GoesOn) {
            self.turns.insert(turn_of(run));
        }
    }

    /// Takes a run out of the order.
    pub(crate) fn remove_turn(&mut self, id: RunId) -> TookTurns {
        match self.runs.get(&id) {
            Some(run) if self.turns.remove(&turn_of(run)) => TookTurns::Yes,
            Some(_) | None => TookTurns::No,
        }
    }

    /// Keeps the index of sessions with free slots, and the number of live slots, true after a session changed.
    pub(crate) fn reindex_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let free = session.free_slots();
        let was_free = std::mem::replace(&mut session.indexed_free, free);
        if was_free != free {
            self.idle.remove(&(was_free, Reverse(id)));
            if free > 0 {
                self.idle.insert((free, Reverse(id)));
            }
            self.free_slots = self.free_slots + u64::from(free) - u64::from(was_free);
        }
        let queued = session.queued();
        let is_hungry = session.live_slots() > 0 && session.busy > 0 && queued * 2 < session.queue_bound();
        let is_startable = free > 0 && queued > 0;
        let live = session.live_slots();
        let was_live = std::mem::replace(&mut session.indexed_live, live);
        for (set, belongs) in [(&mut self.hungry, is_hungry), (&mut self.startable, is_startable)] {
            if belongs {
                set.insert(id);
            } else {
                set.remove(&id);
            }
        }
        self.live_slots = self.live_slots + u64::from(live) - u64::from(was_live);
        self.live_sessions = self.live_sessions + usize::from(live > 0) - usize::from(was_live > 0);
    }

    /// Counts a unit of an op's own limit for a lease that began it, or begins with it.
    pub(crate) fn count_limited_op(&mut self, id: LeaseId, op: OpId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if lease.limited_op.is_some() {
            return;
        }
        lease.limited_op = Some(op);
        let run_id = lease.run;
        // What is left of a run that has ended holds units of pools all the same.
        if let Some(run) = self.runs.get_mut(&run_id) {
            run.op_units[op.index()] += 1;
            let in_use = run.op_units[op.index()];
            if run.job.op(op).max_concurrent.is_some_and(|limit| in_use > limit.get()) {
                self.note_lowered(Cap::Op(run_id, op), in_use);
            }
        }
        self.take_pool_units(id, op);
        self.note_pools_of(id);
    }
}
