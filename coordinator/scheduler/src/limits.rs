//! Permits and the caps they are counted against: the coordinator's, the run's, the op's, the worker's slots.
//!
//! A permit is taken when a lease may start and released when its end is reported or certain; nothing else moves the
//! counts, so that the sum of permits is the truth about what may be running anywhere.

use std::cmp::Reverse;

use common::ids::{LeaseId, OpId, RunId, SessionId};
use common::job::{PoolName, Weight};

use crate::lease::Permit;
use crate::ledger::Hold;
use crate::run::Run;
use crate::scheduler::Scheduler;

/// A number of permits that may not be exceeded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cap {
    /// The coordinator's own.
    Coordinator,
    /// A run's.
    Run(RunId),
    /// An op's own limit.
    Op(RunId, OpId),
    /// A limit shared between runs.
    Pool(PoolName),
}

/// What a run has of the permits, for its weight: runs of equal priority are served by it, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share(u64);

/// Whether a run took turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TookTurns {
    Yes,
    No,
}

impl Share {
    pub(crate) fn new(units: u32, weight: Weight) -> Share {
        Share((u64::from(units) << 24) / u64::from(weight.thousandths().get()))
    }
}

/// Returns a run's place in the order in which runs are served.
pub(crate) fn turn_of(run: &Run) -> (Reverse<i32>, Share, RunId) {
    let schedule = &run.job.schedule;
    (
        Reverse(schedule.priority),
        Share::new(run.units, schedule.weight),
        run.id,
    )
}

impl Scheduler {
    /// Returns how many tasks of a run may run at once now: the least of its cap, the coordinator's, and the slots.
    pub(crate) fn cap_in_force(&self, run: &Run) -> u64 {
        let run_cap = run
            .job
            .schedule
            .max_concurrent
            .map_or(u64::MAX, |cap| u64::from(cap.get()));
        let global_cap = self.config.global_cap.map_or(u64::MAX, |cap| u64::from(cap.get()));
        run_cap.min(global_cap).min(self.live_slots)
    }

    /// Tells whether the coordinator's cap has room for another permit.
    pub(crate) fn has_global_room(&self) -> bool {
        self.coordinator_obstacle().is_none()
    }

    /// Tells whether a run's own cap has room for another permit.
    pub(crate) fn has_run_room(&self, run: &Run) -> bool {
        self.run_obstacle(run).is_none()
    }

    /// Tells whether an op's own limits have room for another of its tasks.
    pub(crate) fn has_op_room(&self, run: &Run, op: OpId) -> bool {
        self.op_obstacle(run, op).is_none()
    }

    /// Returns what is in use of a cap, and the cap; `None` where there is none any more.
    pub(crate) fn in_use(&self, cap: &Cap) -> Option<(u32, u32)> {
        match cap {
            Cap::Coordinator => Some((self.units, self.config.global_cap?.get())),
            Cap::Run(run) => {
                let run = self.runs.get(run)?;
                Some((run.units, run.job.schedule.max_concurrent?.get()))
            }
            Cap::Op(run, op) => {
                let run = self.runs.get(run)?;
                Some((run.op_units[op.index()], run.job.op(*op).max_concurrent?.get()))
            }
            Cap::Pool(pool) => self.pools.get(pool).map(|pool| (pool.used, pool.limit.get())),
        }
    }

    /// Returns how much of a cap may be in use: the cap, or what was in use when it was lowered and has not ended since.
    pub(crate) fn allowed(&self, cap: &Cap) -> Option<u32> {
        let (_, limit) = self.in_use(cap)?;
        Some(self.lowered.get(cap).map_or(limit, |allowed| limit.max(*allowed)))
    }

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
}
