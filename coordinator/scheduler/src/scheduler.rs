//! The state machine's three doors: `handle`, `next_command`, `next_timeout`.

use common::ids::RunId;
use common::summary::RunSummary;
use common::time::Time;

use crate::{BatchView, Command, Config, Event, WorkerView};

/// The scheduler.
#[derive(Debug)]
pub struct Scheduler {
    config: Config,
}

impl Scheduler {
    /// Makes a scheduler that knows no run and no worker.
    pub fn new(config: Config) -> Scheduler {
        Scheduler { config }
    }

    /// Takes an event; what is to be done about it comes out of [`Scheduler::next_command`].
    pub fn handle(&mut self, event: Event, now: Time) {
        let _ = (event, now, &self.config);
    }

    /// Returns the next thing to be done, in order.
    pub fn next_command(&mut self) -> Option<Command> {
        None
    }

    /// Returns when [`Event::TimeoutReached`] is wanted at the latest.
    pub fn next_timeout(&self) -> Option<Time> {
        None
    }

    /// Returns what can be said of a run that has not ended.
    pub fn summary(&self, run: RunId) -> Option<RunSummary> {
        let _ = run;
        None
    }

    /// Returns the runs that have not ended, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = RunId> + '_ {
        std::iter::empty()
    }

    /// Returns the batches of a run that are in flight, committing or failed, in order.
    pub fn batches(&self, run: RunId) -> impl Iterator<Item = BatchView> + '_ {
        let _ = run;
        std::iter::empty()
    }

    /// Tells whether a batch of a run is committed.
    pub fn is_committed(&self, run: RunId, batch: common::ids::BatchId) -> bool {
        let _ = (run, batch);
        false
    }

    /// Returns the sessions, oldest first.
    pub fn workers(&self) -> impl Iterator<Item = WorkerView> + '_ {
        std::iter::empty()
    }
}
