//! What is known of runs, for reading: definitions, names of submissions, results, committed parts, timelines.
//!
//! The registry learns of a run from its durable records ([`Registry::apply`]), never before: what people can see
//! cannot be lost any more. It decides nothing and starts nothing. Numbers of live runs are the scheduler's; the
//! registry has those of ended ones. Recovery applies the same records in the same way.
//!
//! Known weakness: the committed parts of a file sink are kept in memory for each batch of a run, until so many newer
//! runs have ended that the run is forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use common::counts::RowCounts;
use common::failure::Failure;
use common::ids::{BatchId, OpId, RunId};
use common::job::Job;
use common::part::Part;
use common::slice::FrozenSource;
use common::summary::RunSummary;
use common::time::Time;
use common::timeline::TimelineEntry;
use scheduler::Record;
use tokio::sync::broadcast;

use crate::timeline::Timeline;

/// How many attempts a watcher may lie behind before it is dropped.
const WATCHER_BACKLOG: usize = 4_096;

/// Everything that is known of the runs.
#[derive(Debug)]
pub struct Registry {
    runs: BTreeMap<RunId, RunEntry>,
    submissions: BTreeMap<String, Submitted>,
    /// Ended runs, oldest end first.
    ended: VecDeque<RunId>,
    keep_ended: usize,
}

/// What is known of one run.
#[derive(Debug)]
pub struct RunEntry {
    /// Its job.
    pub job: Arc<Job>,
    /// Its listing and header.
    pub source: Arc<FrozenSource>,
    /// What generated values are derived from.
    pub seed: u64,
    /// When it was accepted.
    pub accepted: Time,
    /// Its last summary, once it has ended.
    pub ended: Option<Arc<RunSummary>>,
    /// Whether somebody has cancelled it.
    pub cancel: CancelState,
    /// The batches that failed for good.
    pub failed: BTreeMap<BatchId, FailedBatch>,
    /// The committed batches that have parts, in the order of the source.
    pub committed: BTreeMap<BatchId, Vec<Part>>,
    /// What ops over the whole run committed.
    pub run_parts: BTreeMap<OpId, Vec<Part>>,
    /// What happened, attempt by attempt.
    pub timeline: Timeline,
    watchers: Option<broadcast::Sender<TimelineEntry>>,
    request_id: Option<String>,
}

/// Whether a run was cancelled by somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelState {
    /// Nobody asked for it.
    NotAsked,
    /// Somebody did, durably.
    Asked,
}

/// A batch that failed for good.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedBatch {
    /// The op it failed in.
    pub op: OpId,
    /// Why.
    pub failure: Failure,
    /// Where its rows went.
    pub rows: RowCounts,
}

/// A submission that was named by its submitter.
#[derive(Debug)]
struct Submitted {
    run: RunId,
    job: Arc<Job>,
}

/// The name of a submission stands for another job already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request_id names {run}, which was submitted with another spec; use a new request_id")]
pub struct RequestIdTaken {
    /// The run it names.
    pub run: RunId,
}

impl Registry {
    /// Makes an empty registry that keeps the newest `keep_ended` ended runs.
    pub fn new(keep_ended: usize) -> Registry {
        Registry {
            runs: BTreeMap::new(),
            submissions: BTreeMap::new(),
            ended: VecDeque::new(),
            keep_ended,
        }
    }

    /// Returns the run that a submission's name stands for, if any.
    ///
    /// # Errors
    /// [`RequestIdTaken`] when it stands for a run of another job.
    pub fn find_submission(&self, request_id: &str, job: &Job) -> Result<Option<RunId>, RequestIdTaken> {
        match self.submissions.get(request_id) {
            None => Ok(None),
            Some(submitted) if *submitted.job == *job => Ok(Some(submitted.run)),
            Some(submitted) => Err(RequestIdTaken { run: submitted.run }),
        }
    }

    /// Reserves a submission's name for a run whose record is not durable yet.
    pub fn reserve(&mut self, request_id: String, run: RunId, job: Arc<Job>) {
        self.submissions.insert(request_id, Submitted { run, job });
    }

    /// Takes over what a durable record says.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::RunAccepted {
                run,
                job,
                source,
                seed,
                request_id,
                at,
            } => {
                if let Some(name) = request_id {
                    self.reserve(name.clone(), *run, job.clone());
                }
                self.runs.insert(
                    *run,
                    RunEntry {
                        job: job.clone(),
                        source: source.clone(),
                        seed: *seed,
                        accepted: *at,
                        ended: None,
                        cancel: CancelState::NotAsked,
                        failed: BTreeMap::new(),
                        committed: BTreeMap::new(),
                        run_parts: BTreeMap::new(),
                        timeline: Timeline::default(),
                        watchers: None,
                        request_id: request_id.clone(),
                    },
                );
            }
            Record::BatchCommitted { run, batch, parts, .. } => {
                if let (Some(entry), false) = (self.runs.get_mut(run), parts.is_empty()) {
                    entry.committed.insert(*batch, parts.clone());
                }
            }
            Record::BatchFailed {
                run,
                batch,
                op,
                failure,
                rows,
            } => {
                if let Some(entry) = self.runs.get_mut(run) {
                    let failed = FailedBatch {
                        op: *op,
                        failure: failure.clone(),
                        rows: *rows,
                    };
                    entry.failed.insert(*batch, failed);
                }
            }
            Record::RunOpCommitted { run, op, parts, .. } => {
                if let Some(entry) = self.runs.get_mut(run) {
                    entry.run_parts.insert(*op, parts.clone());
                }
            }
            Record::RunCancelRequested { run } => {
                if let Some(entry) = self.runs.get_mut(run) {
                    entry.cancel = CancelState::Asked;
                }
            }
            Record::RunEnded { summary } => self.finish(summary),
            Record::SessionOpened { .. }
            | Record::SessionClosed { .. }
            | Record::AttemptFailed { .. }
            | Record::WorkerCrashed { .. } => {}
        }
    }

    /// Keeps an attempt's row and tells the run's watchers.
    pub fn record_attempt(&mut self, run: RunId, attempt: TimelineEntry) {
        let Some(entry) = self.runs.get_mut(&run) else {
            return;
        };
        entry.timeline.record(&attempt);
        if let Some(watchers) = &entry.watchers {
            // An error says that nobody watches any more.
            if watchers.send(attempt).is_err() {
                entry.watchers = None;
            }
        }
    }

    /// Returns the attempts of a run from now on. A receiver that lies too far behind is told so; the channel is closed
    /// when the run has ended.
    pub fn watch(&mut self, run: RunId) -> Option<broadcast::Receiver<TimelineEntry>> {
        let entry = self.runs.get_mut(&run)?;
        if entry.ended.is_some() {
            return Some(broadcast::channel(1).1);
        }
        let watchers = entry
            .watchers
            .get_or_insert_with(|| broadcast::channel(WATCHER_BACKLOG).0);
        Some(watchers.subscribe())
    }

    /// Returns what is known of a run.
    pub fn run(&self, run: RunId) -> Option<&RunEntry> {
        self.runs.get(&run)
    }

    /// Returns the runs, newest first, beginning with the first one older than `before`.
    pub fn runs_before(&self, before: Option<RunId>) -> impl Iterator<Item = (RunId, &RunEntry)> {
        let end = before.unwrap_or(RunId(u64::MAX));
        self.runs.range(..end).rev().map(|(run, entry)| (*run, entry))
    }

    /// Returns the greatest id that a run has had.
    pub fn last_run(&self) -> Option<RunId> {
        self.runs.last_key_value().map(|(run, _)| *run)
    }

    /// Keeps a run's last summary, ends its watchers, and forgets the oldest ended run beyond the bound.
    pub fn finish(&mut self, summary: &Arc<RunSummary>) {
        let Some(entry) = self.runs.get_mut(&summary.run) else {
            return;
        };
        if entry.ended.is_some() {
            return;
        }
        entry.ended = Some(summary.clone());
        entry.watchers = None;
        self.ended.push_back(summary.run);
        while self.ended.len() > self.keep_ended {
            let oldest = self.ended.pop_front().expect("there are more than the bound");
            let forgotten = self.runs.remove(&oldest);
            if let Some(name) = forgotten.and_then(|entry| entry.request_id) {
                self.submissions.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
