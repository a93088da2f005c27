//! Restoring: a scheduler that goes on where the journal ends.
//!
//! Runs go on by themselves: their sources are sharded anew, which gives the same slices, and the batches that are
//! committed or have failed are passed over. What the workers of the former generation hold is unknown: each of their
//! sessions holds as many permits as it has slots, until the same process connects again and says what it holds
//! ([`crate::reattach`]), or until its leases are certainly over. For a moment no batch is begun anew, so that a worker
//! that comes with it in its hands finds it free.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::ids::{RunId, SessionId};
use common::steering::CancelMode;
use common::summary::RunFailure;
use common::time::Time;

use crate::event::{NewRun, NewSession};
use crate::failed::Tolerance;
use crate::ledger::{Ledger, RunLedger, SessionLedger};
use crate::rates::Filling;
use crate::run::{Ending, Run, RunPhase, Told};
use crate::scheduler::Scheduler;
use crate::timers::Timer;
use crate::{Config, Record};

/// Sessions of former generations whose workers may still run something.
#[derive(Debug, Default)]
pub(crate) struct FormerSessions {
    sessions: BTreeMap<SessionId, SessionLedger>,
    /// The runs of the ledger, while their batches may turn out to be held by a worker that has not come yet.
    awaiting: BTreeSet<RunId>,
    /// The runs of the ledger, while one of these workers may go on with them.
    runs: BTreeSet<RunId>,
}

impl FormerSessions {
    /// Tells whether another process of a worker's name has opened a session after one.
    pub(crate) fn has_replaced(&self, new: &NewSession, from: SessionId) -> bool {
        let mut later = self.sessions.iter().filter(|(id, _)| **id > from);
        later.any(|(_, session)| session.worker == new.worker && session.instance != new.instance)
    }

    /// Tells whether batches of a run may turn out to be held, so that none is begun anew now.
    pub(crate) fn awaits(&self, run: RunId) -> bool {
        self.awaiting.contains(&run)
    }

    /// Lets batches be begun whoever may hold them; returns the runs that were waiting.
    fn stop_waiting(&mut self) -> BTreeSet<RunId> {
        std::mem::take(&mut self.awaiting)
    }

    /// Tells whether one of them may hold leases of a run.
    pub(crate) fn may_go_on_with(&self, run: RunId) -> bool {
        !self.sessions.is_empty() && self.runs.contains(&run)
    }

    /// Returns how many permits they may hold.
    pub(crate) fn units(&self) -> u32 {
        self.sessions.values().map(|session| session.slots).sum()
    }
}

impl Scheduler {
    /// Makes a scheduler that goes on where a ledger ends. Its first commands are there at once.
    pub fn restore(config: Config, ledger: &Ledger, now: Time) -> Scheduler {
        let mut scheduler = Scheduler::unsettled(config);
        scheduler.now = now;
        scheduler.waiting.continue_after(ledger.last);
        scheduler.settle_declared(&ledger.limits);
        scheduler.former.sessions = ledger.sessions.clone();
        if !ledger.sessions.is_empty() {
            let certain = now + scheduler.config.lease_time + scheduler.config.lease_margin;
            scheduler.timers.set(certain, Timer::FormerSessions);
            let patience = now + scheduler.config.reattach_patience;
            scheduler.timers.set(patience, Timer::ReattachPatience);
            scheduler.former.awaiting = ledger.runs.keys().copied().collect();
            scheduler.former.runs.clone_from(&scheduler.former.awaiting);
        }
        for (id, run) in &ledger.runs {
            scheduler.runs.insert(*id, restore_run(*id, run));
            scheduler.fill_buckets(*id, Filling::Unknown, now);
            scheduler.go_on(*id, run.cancelled, now);
        }
        scheduler.lost_processes = scheduler
            .runs
            .values()
            .flat_map(Run::lost_of_batches)
            .flatten()
            .cloned()
            .collect();
        let ended = ledger.ended.iter();
        scheduler.ended = ended
            .filter(|(_, ended)| ended.summary.state.keeps_for_reopening(scheduler.config.reopening))
            .map(|(id, ended)| (*id, ended.run.clone()))
            .collect();
        let checkpointed = ledger.ended.iter().filter(|(_, ended)| {
            let is_kept = ended.summary.state.keeps_for_reopening(scheduler.config.reopening);
            !is_kept && ended.run.job.checkpoints().next().is_some()
        });
        scheduler.checkpointed = checkpointed.map(|(id, ended)| (*id, ended.run.context(*id))).collect();
        scheduler
    }

    /// Lets a run go on that was made from what its records add up to.
    pub(crate) fn go_on(&mut self, id: RunId, cancelled: Option<CancelMode>, now: Time) {
        self.add_turn(id);
        self.set_deadline(id);
        match cancelled {
            Some(_) => self.stop_run(id, Ending::Cancelled, now),
            None => {
                self.ask_for_slices(id);
                self.advance(id, now);
            }
        }
    }

    /// Frees what a process may have held before the restart, now that it has connected again and said what it holds.
    pub(crate) fn settle_former(&mut self, new: &NewSession, now: Time) {
        let is_same = |session: &SessionLedger| session.worker == new.worker && session.instance == new.instance;
        let settled: Vec<SessionId> = self
            .former
            .sessions
            .iter()
            .filter(|(_, session)| is_same(session))
            .map(|(id, _)| *id)
            .collect();
        self.forget_former(&settled, now);
    }

    /// Frees what every other process held: its leases are certainly over.
    pub(crate) fn on_former_sessions_over(&mut self, now: Time) {
        let all: Vec<SessionId> = self.former.sessions.keys().copied().collect();
        self.forget_former(&all, now);
    }

    fn forget_former(&mut self, sessions: &[SessionId], now: Time) {
        for session in sessions {
            self.former.sessions.remove(session);
            self.append(Record::SessionClosed { session: *session });
        }
        if self.former.sessions.is_empty() {
            self.stop_awaiting(now);
        }
    }

    /// Lets runs go on without the workers that did not come back in time.
    pub(crate) fn stop_awaiting(&mut self, now: Time) {
        for run in self.former.stop_waiting() {
            self.advance(run, now);
        }
    }
}

/// Makes a run from what its records add up to.
pub(crate) fn restore_run(id: RunId, ledger: &RunLedger) -> Run {
    let new = NewRun {
        run: id,
        job: Arc::clone(&ledger.job),
        source: Arc::clone(&ledger.source),
        seed: ledger.seed,
        request_id: ledger.request_id.clone(),
        rerun: ledger.rerun.clone(),
    };
    let mut run = Run::new(new, ledger.accepted);
    run.phase = RunPhase::Active;
    run.put_into_force(Arc::new(ledger.limits.apply(&ledger.job)));
    run.hold = ledger.hold;
    run.cancelled = ledger.cancelled;
    run.committed = ledger.committed.clone();
    run.batch_counts.committed = ledger.committed_count;
    run.batch_counts.failed = ledger.failed.len() as u64;
    run.has_started = ledger.started;
    run.begun = ledger.committed_count + run.batch_counts.failed;
    run.rows = ledger.rows;
    run.first_loaded = ledger.first_loaded;
    run.task_counts.succeeded = ledger.committed_count * run.job.ops.len() as u64;
    run.checkpoints = ledger.checkpoints.clone();
    run.budgets = ledger.budgets.clone();
    run.finishing = ledger.finishing.clone();
    run.committed_ops = ledger.run_ops.clone();
    for (batch, failed) in &ledger.failed {
        run.note_failure(&failed.failure, Some(failed.op), Some(*batch));
    }
    run.failed = ledger.failed.clone();
    run.tolerance = ledger.tolerance;
    run.reopened = ledger.reopened;
    run.told = Told {
        limits: ledger.limits.clone(),
        activity: ledger.activity.clone(),
    };
    run.halves = ledger.halves.clone();
    run.halvings = ledger.halvings;
    let halves = ledger.halves.keys().chain(ledger.failed.keys()).copied();
    let halves = halves
        .filter(|batch| batch.halves.depth() > 0)
        .chain(ledger.committed.halves());
    run.halved = halves.map(|batch| batch.index).collect();
    run.batch_counts.total = ledger.halvings;
    if let Some(RunFailure { failure, op, batch }) = &ledger.failing {
        run.note_failure(failure, *op, *batch);
    }
    let exceeds = ledger.tolerance == Tolerance::Exceeded && !run.stays_active_past_tolerance();
    if ledger.failing.is_some() || exceeds {
        run.phase = RunPhase::Draining(Ending::Failed);
    } else {
        run.slices = ledger.halves.clone().into_iter().collect();
    }
    run
}
