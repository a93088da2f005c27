//! Starting: a scheduler that knows nothing yet, or goes on where the journal ends.
//!
//! Runs go on by themselves: their sources are sharded anew, which gives the same slices, and the batches that are
//! committed or have failed are passed over; one whose batches are all done goes on with putting its output in place. What
//! the workers of the former generation hold is unknown: each of their sessions holds as many permits as it has slots, until
//! the same process connects again and says what it holds ([`crate::handlers::reattach`]), or until its leases are certainly
//! over. For a moment no batch is begun anew, so that a worker that comes with it in its hands finds it free.

use common::ids::{RunId, SessionId};
use common::steering::CancelMode;
use common::time::Time;

use crate::interface::config::Config;
use crate::interface::event::NewSession;
use crate::journal::ending::Ending;
use crate::journal::ledger::{CoordinatorLimits, Ledger};
use crate::journal::record::Record;
use crate::scheduler::Scheduler;
use crate::state::bucket::Filling;
use crate::state::former::FormerSessions;
use crate::state::run::{Run, RunPhase};
use crate::state::timers::Timer;

impl Scheduler {
    /// Makes a scheduler that knows no run and no worker.
    pub fn new(config: Config) -> Scheduler {
        let mut scheduler = Scheduler::unsettled(config);
        scheduler.settle_declared(&CoordinatorLimits::default());
        scheduler
    }

    /// Makes a scheduler that goes on where a ledger ends. Its first commands are there at once.
    pub fn restore(config: Config, ledger: &Ledger, now: Time) -> Scheduler {
        let mut scheduler = Scheduler::unsettled(config);
        scheduler.now = now;
        scheduler.waiting.continue_after(ledger.last);
        scheduler.settle_declared(&ledger.limits);
        scheduler.former = FormerSessions::of(ledger);
        if !scheduler.former.is_empty() {
            let certain = now + scheduler.config.lease_time + scheduler.config.lease_margin;
            scheduler.timers.set(certain, Timer::FormerSessions);
            let patience = now + scheduler.config.reattach_patience;
            scheduler.timers.set(patience, Timer::ReattachPatience);
        }
        for (id, run) in &ledger.runs {
            scheduler.runs.insert(*id, Run::from_ledger(*id, run));
            scheduler.fill_buckets(*id, Filling::Unknown, now);
            scheduler.go_on(*id, run.cancelled, now);
        }
        scheduler.find_lost_processes();
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
        if let Some(RunPhase::Finishing(ending)) = self.runs.get(&id).map(|run| run.phase) {
            return self.go_on_finishing(id, ending, now);
        }
        match cancelled {
            Some(_) => self.stop_run(id, Ending::Cancelled, now),
            None => {
                self.ask_for_slices(id);
                self.advance(id, now);
            }
        }
    }

    /// Frees what a process may have held before the restart, now that it has connected again and said what it holds.
    pub(crate) fn settle_former(&mut self, new: &NewSession) {
        self.forget_former(&self.former.of_process(new));
    }

    /// Frees what every other process held: its leases are certainly over.
    pub(crate) fn on_former_sessions_over(&mut self, now: Time) {
        self.forget_former(&self.former.all());
        self.stop_awaiting_nobody(now);
    }

    fn forget_former(&mut self, sessions: &[SessionId]) {
        for session in sessions {
            self.former.forget(*session);
            self.append(Record::SessionClosed { session: *session });
        }
    }

    /// Lets runs go on that waited for workers, once every one has come back and said what it holds.
    pub(crate) fn stop_awaiting_nobody(&mut self, now: Time) {
        if self.former.is_empty() {
            self.stop_awaiting(now);
        }
    }

    /// Lets runs go on without the workers that did not come back in time.
    pub(crate) fn stop_awaiting(&mut self, now: Time) {
        for run in self.former.stop_waiting() {
            self.give_up_sweeps(run);
            self.advance(run, now);
        }
    }
}
