//! What is known of runs and batches: which there are, what is in force, what is decided.

use std::sync::Arc;

use common::ids::{BatchId, RunId, SessionId};
use common::job::Job;
use common::state::RunState;

use crate::scheduler::Scheduler;
use crate::state::run::{Run, RunPhase};
use crate::state::worker::SessionPhase;

impl Scheduler {
    /// Returns the runs that have not ended, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = RunId> + '_ {
        self.runs.keys().copied()
    }

    /// Returns the jobs of the runs that have not ended, oldest first.
    pub fn live_jobs(&self) -> impl Iterator<Item = (RunId, &Job)> {
        self.runs.iter().map(|(id, run)| (*id, &*run.job))
    }

    /// Returns a run's job with the limits that are in force now.
    pub fn job(&self, run: RunId) -> Option<Arc<Job>> {
        self.runs.get(&run).map(|run| Arc::clone(&run.job))
    }

    /// Returns the state that a run will end in, once that is decided: its output is being put in place.
    pub fn outcome(&self, run: RunId) -> Option<RunState> {
        let run = self.runs.get(&run)?;
        match run.phase {
            RunPhase::Finishing(ending) => Some(run.final_state(ending)),
            RunPhase::Accepting
            | RunPhase::Active
            | RunPhase::Draining(_)
            | RunPhase::Stopping(_)
            | RunPhase::Ending => None,
        }
    }

    /// Returns how many batches of a run wait for each op, in the order of the chain.
    pub fn queues(&self, run: RunId) -> Vec<u64> {
        let waiting = |run: &Run| {
            run.job
                .op_ids()
                .map(|op| run.ready.waiting_for(op).len() as u64)
                .collect()
        };
        self.runs.get(&run).map(waiting).unwrap_or_default()
    }

    /// Tells whether a batch of a run is committed, or found and not done yet.
    pub fn is_open_or_committed(&self, run: RunId, batch: BatchId) -> bool {
        match (self.runs.get(&run), self.ended.get(&run)) {
            (Some(run), _) => {
                let waits = run.slices.binary_search_by_key(&batch, |(slice, _)| *slice).is_ok();
                let is_retried = run.budgets.contains_key(&batch);
                waits || is_retried || run.batches.contains_key(&batch) || run.committed.contains(batch)
            }
            (None, Some(ended)) => ended.committed.contains(batch),
            (None, None) => false,
        }
    }

    /// Tells whether a batch of a run is committed.
    pub fn is_committed(&self, run: RunId, batch: BatchId) -> bool {
        self.runs.get(&run).is_some_and(|run| run.committed.contains(batch))
    }

    /// Tells whether a session's signs of life count: it is known and not fenced.
    pub fn is_heard(&self, session: SessionId) -> bool {
        self.sessions
            .get(&session)
            .is_some_and(|session| session.phase != SessionPhase::Fenced)
    }
}
