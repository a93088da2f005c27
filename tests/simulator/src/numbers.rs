//! MONOTONE STATE of attempts: each starts once and ends once, and a number that is used up is not given out again.
//!
//! Used up for ever is what the journal says: the number of an attempt that failed and counts, that was lost with its
//! worker, or that an ended run left behind. Within a coordinator's life, and on one worker, no number comes twice.
//! Attempts that spent nothing and that no worker comes back with leave no number behind a restart, as designed.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::{Attempt, BatchId, OpId, RunId, SessionId, WorkerName};
use common::message::{Grant, Input};
use common::state::TaskState;
use common::timeline::TimelineEntry;
use scheduler::{Budgets, Record};

use crate::world::World;

/// An attempt, by the generation of the coordinator that counts it and the worker that runs it.
type AttemptKey = (u64, RunId, OpId, Option<BatchId>, u32, WorkerName);

/// What is known of attempts.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    ended: BTreeMap<AttemptKey, TaskState>,
    /// The highest number that is durably used up.
    used: BTreeMap<(RunId, OpId, Option<BatchId>), u32>,
    /// The attempts that were granted with an input of another worker, by the generation that did.
    remote: BTreeSet<AttemptKey>,
}

impl Numbers {
    fn use_up(&mut self, run: RunId, op: OpId, batch: Option<BatchId>, attempt: u32) {
        let used = self.used.entry((run, op, batch)).or_default();
        *used = attempt.max(*used);
    }

    fn use_up_all(&mut self, run: RunId, batch: Option<BatchId>, attempts: &BTreeMap<OpId, u32>) {
        for (op, attempt) in attempts {
            self.use_up(run, *op, batch, *attempt);
        }
    }

    /// Notes the numbers that a durable record says are used up.
    pub(crate) fn note(&mut self, record: &Record) {
        match record {
            Record::AttemptFailed {
                run,
                batch,
                op,
                attempt: Attempt(attempt),
            } => self.use_up(*run, *op, *batch, *attempt),
            Record::WorkerCrashed {
                run,
                batch,
                op,
                attempt: Attempt(attempt),
                instance: _,
            } => self.use_up(*run, *op, Some(*batch), *attempt),
            Record::BatchFailed { run, batch, failed, .. } => self.use_up_all(*run, Some(*batch), &failed.attempts),
            Record::RunEnded { summary, used } => {
                let run = summary.run;
                for (batch, Budgets { attempts, .. }) in &used.batches {
                    self.use_up_all(run, Some(*batch), attempts);
                }
                self.use_up_all(run, None, &used.whole.attempts);
            }
            Record::RunAccepted { .. }
            | Record::SessionOpened { .. }
            | Record::WorkerReturned { .. }
            | Record::RunStarted { .. }
            | Record::MarksRisen { .. }
            | Record::SessionClosed { .. }
            | Record::BatchCommitted { .. }
            | Record::BatchHalved { .. }
            | Record::FailedRetried { .. }
            | Record::RunReopened { .. }
            | Record::RunFailing { .. }
            | Record::RunFinishing { .. }
            | Record::RunOpCommitted { .. }
            | Record::RunCommanded { .. }
            | Record::PoolSet { .. }
            | Record::BatchCheckpointed { .. }
            | Record::CheckpointLost { .. }
            | Record::CapSet { .. } => {}
        }
    }
}

impl World {
    /// An attempt ends once.
    pub(crate) fn check_attempt(&mut self, run: RunId, entry: &TimelineEntry) {
        self.check_fetch(run, entry);
        let (op, batch, worker) = (entry.op, entry.batch, entry.worker.clone());
        let key = (self.incarnation, run, op, batch, entry.attempt.0, worker);
        let before = self.oracle.numbers.ended.insert(key, entry.state);
        let ends_once = before.is_none() && entry.state != TaskState::Running && entry.finished >= Some(entry.started);
        self.require(ends_once, "MONOTONE STATE", || {
            format!(
                "{run}/op {}[{batch:?}]#{} was {before:?}, is {:?}",
                op.0, entry.attempt.0, entry.state
            )
        });
    }

    /// FETCH: an attempt whose input another worker kept says when that was begun to be fetched, and that is before its
    /// start; no other one says it.
    fn check_fetch(&mut self, run: RunId, entry: &TimelineEntry) {
        let (attempt, worker) = (entry.attempt.0, entry.worker.clone());
        let key = (self.incarnation, run, entry.op, entry.batch, attempt, worker);
        let is_remote = self.oracle.numbers.remote.contains(&key);
        let fits = match entry.fetch_started {
            Some(begun) => begun <= entry.started,
            None => !is_remote,
        };
        self.require(fits, "FETCH", || {
            format!("{entry:?} of {run}; its input was elsewhere: {is_remote}")
        });
    }

    /// What is granted has numbers that are not used up.
    pub(crate) fn check_numbers(&mut self, session: SessionId, grant: &Grant) {
        let remote = matches!(grant.input, Input::Remote(_));
        let view = self
            .coordinator
            .as_ref()
            .and_then(|c| c.scheduler.workers().find(|view| view.session == session));
        let worker = view.map(|view| view.worker);
        for (place, step) in grant.steps.iter().enumerate() {
            // A number that was given out and not used may come again; one that was used before a restart, on another worker.
            let Some(worker) = worker.clone() else { break };
            let attempt = step.attempt.0;
            let key = (self.incarnation, grant.run, step.op, grant.batch, attempt, worker);
            if remote && place == 0 {
                self.oracle.numbers.remote.insert(key);
            } else {
                self.oracle.numbers.remote.remove(&key);
            }
        }
        for step in grant.steps.iter() {
            let used = self
                .oracle
                .numbers
                .used
                .get(&(grant.run, step.op, grant.batch))
                .copied();
            self.require(used.is_none_or(|used| used < step.attempt.0), "MONOTONE STATE", || {
                format!(
                    "{} {:?} op {} is granted as #{}, and {used:?} is used up",
                    grant.run, grant.batch, step.op.0, step.attempt.0
                )
            });
        }
    }
}
