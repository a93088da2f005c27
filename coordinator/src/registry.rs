//! What is known of runs, for reading: definitions, names of submissions, results.
//!
//! The registry learns of a run from its durable records ([`Registry::apply`]), never before: what people can see
//! cannot be lost any more. It decides nothing and starts nothing. Numbers of live runs are the scheduler's; the
//! registry has those of ended ones. Recovery begins with what the journal's records add up to ([`Registry::restore`]).
//! What grows with the batches of a run is kept elsewhere: committed parts in the journal's archive, what happened attempt by
//! attempt in [`crate::timeline`].
//!
//! Known weakness: how old ended runs are is looked at only when a run ends and at the start.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use common::ids::{BatchId, RunId};
use common::job::Job;
use common::slice::FrozenSource;
use common::steering::{Activity, ActivityLog};
use common::summary::RunSummary;
use common::time::Time;
use scheduler::{EndedRun, FailedBatch, Ledger, Origin, Record, Rerun, RunLedger};
use tokio::sync::watch;

use crate::vitals::RunMemory;

/// Everything that is known of the runs.
#[derive(Debug)]
pub struct Registry {
    runs: BTreeMap<RunId, RunEntry>,
    submissions: BTreeMap<String, Submitted>,
    /// Ended runs, oldest end first.
    ended: VecDeque<RunId>,
    retention: Retention,
    /// Runs that were forgotten here, and are not yet in the journal.
    forgotten: Vec<RunId>,
    /// Which runs each live one needs because it begins at their checkpoints: those are kept meanwhile.
    needed: BTreeMap<RunId, Vec<Origin>>,
}

/// How long ended runs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The most of them that are kept.
    pub runs: usize,
    /// How long ago they may have ended.
    pub age: Duration,
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
    /// The run whose later ops it runs again, if so.
    pub rerun: Option<Box<Rerun>>,
    /// Its last summary, once it has ended.
    pub ended: Option<Arc<RunSummary>>,
    /// The most memory that its processes took, if it has ended since the coordinator was started.
    pub memory: Option<RunMemory>,
    /// What it was told while it went on.
    pub activity: ActivityLog,
    /// The batches that failed for good.
    pub failed: BTreeMap<BatchId, FailedBatch>,
    /// Gone when the run has ended: those who wait for it see that.
    end: Option<watch::Sender<()>>,
    request_id: Option<String>,
}

/// A submission that was named by its submitter.
#[derive(Debug)]
struct Submitted {
    run: RunId,
    job: Arc<Job>,
    rerun: Option<Box<Rerun>>,
}

/// The name of a submission stands for another job already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request_id names {run}, which was submitted with another spec; use a new request_id")]
pub struct RequestIdTaken {
    /// The run it names.
    pub run: RunId,
}

impl Registry {
    /// Makes an empty registry.
    pub fn new(retention: Retention) -> Registry {
        Registry {
            runs: BTreeMap::new(),
            submissions: BTreeMap::new(),
            ended: VecDeque::new(),
            retention,
            forgotten: Vec::new(),
            needed: BTreeMap::new(),
        }
    }

    /// Makes a registry that knows what the journal's records add up to.
    pub fn restore(retention: Retention, ledger: Ledger, now: Time) -> Registry {
        let mut registry = Registry::new(retention);
        for (id, run) in ledger.runs {
            registry.need(run.rerun.as_deref(), id);
            registry.insert(id, RunEntry::of(run));
        }
        let mut ended: Vec<_> = ledger.ended.into_iter().collect();
        ended.sort_by_key(|(_, run)| run.summary.ended);
        for (id, run) in ended {
            let EndedRun { run, summary } = run;
            let mut entry = RunEntry::of(run);
            entry.ended = Some(summary);
            registry.insert(id, entry);
            registry.ended.push_back(id);
        }
        registry.expire(now);
        registry
    }

    /// Returns the run that a submission's name stands for, if any.
    ///
    /// # Errors
    /// [`RequestIdTaken`] when it stands for a run of another job.
    pub fn find_submission(
        &self,
        request_id: &str,
        job: &Job,
        rerun: Option<&Rerun>,
    ) -> Result<Option<RunId>, RequestIdTaken> {
        let asked = rerun.map(|rerun| (rerun.of, rerun.from.as_str()));
        self.find_named(request_id, Some(job), asked)
    }

    /// Returns the run that the name of a request to run later ops of a run again stands for, if any; the job is compared if
    /// one was given.
    ///
    /// # Errors
    /// [`RequestIdTaken`] when it stands for something else.
    pub fn find_rerun(
        &self,
        request_id: &str,
        job: Option<&Job>,
        of: RunId,
        from: &str,
    ) -> Result<Option<RunId>, RequestIdTaken> {
        self.find_named(request_id, job, Some((of, from)))
    }

    /// Reserves a submission's name for a run whose record is not durable yet.
    pub fn reserve(&mut self, request_id: String, run: RunId, job: Arc<Job>, rerun: Option<Box<Rerun>>) {
        self.submissions.insert(request_id, Submitted { run, job, rerun });
    }

    /// Keeps the ended runs at whose checkpoints another one begins, for as long as that goes on.
    pub fn need(&mut self, rerun: Option<&Rerun>, by: RunId) {
        if let Some(rerun) = rerun {
            self.needed.insert(by, rerun.origins.clone());
        }
    }

    fn find_named(
        &self,
        request_id: &str,
        job: Option<&Job>,
        rerun: Option<(RunId, &str)>,
    ) -> Result<Option<RunId>, RequestIdTaken> {
        let Some(submitted) = self.submissions.get(request_id) else {
            return Ok(None);
        };
        let known = submitted.rerun.as_ref().map(|rerun| (rerun.of, rerun.from.as_str()));
        if known == rerun && job.is_none_or(|job| *submitted.job == *job) {
            return Ok(Some(submitted.run));
        }
        Err(RequestIdTaken { run: submitted.run })
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
                rerun,
                at: _,
            } => {
                let mut entry = RunEntry::new(job.clone(), source.clone(), request_id.clone());
                entry.seed = *seed;
                entry.rerun.clone_from(rerun);
                self.insert(*run, entry);
            }
            Record::BatchFailed {
                run,
                batch,
                failed,
                tolerance: _,
            } => {
                if let Some(entry) = self.runs.get_mut(run) {
                    entry.failed.insert(*batch, (**failed).clone());
                }
            }
            Record::FailedRetried { run, batches, activity } => self.take_back_failed(*run, batches, activity),
            Record::RunReopened {
                run,
                batches,
                activity,
                ledger: _,
            } => {
                self.take_back_failed(*run, batches, activity);
                self.ended.retain(|ended| ended != run);
                if let Some(entry) = self.runs.get_mut(run) {
                    entry.ended = None;
                    let rerun = entry.rerun.clone();
                    self.need(rerun.as_deref(), *run);
                }
            }
            Record::RunCommanded { run, activity } => {
                if let Some(entry) = self.runs.get_mut(run) {
                    entry.activity.push(activity.clone());
                }
            }
            Record::RunEnded { summary, .. } => self.finish(summary),
            Record::SessionOpened { .. }
            | Record::SessionClosed { .. }
            | Record::BatchCommitted { .. }
            | Record::BatchCheckpointed { .. }
            | Record::CheckpointLost { .. }
            | Record::BatchHalved { .. }
            | Record::RunFailing { .. }
            | Record::RunFinishing { .. }
            | Record::RunOpCommitted { .. }
            | Record::AttemptFailed { .. }
            | Record::WorkerCrashed { .. }
            | Record::WorkerReturned { .. }
            | Record::RunStarted { .. }
            | Record::MarksRisen { .. }
            | Record::PoolSet { .. }
            | Record::CapSet { .. } => {}
        }
    }

    /// Returns what is closed when a run has ended.
    pub fn end_of(&mut self, run: RunId) -> Option<watch::Receiver<()>> {
        let entry = self.runs.get_mut(&run)?;
        if entry.ended.is_some() {
            return Some(watch::channel(()).1);
        }
        let end = entry.end.get_or_insert_with(|| watch::channel(()).0);
        Some(end.subscribe())
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

    /// Keeps a run's last summary, ends its watchers, and forgets the oldest ended run beyond the bound.
    pub fn finish(&mut self, summary: &Arc<RunSummary>) {
        let Some(entry) = self.runs.get_mut(&summary.run) else {
            return;
        };
        if entry.ended.is_some() {
            return;
        }
        entry.ended = Some(summary.clone());
        entry.end = None;
        self.needed.remove(&summary.run);
        self.ended.push_back(summary.run);
        self.expire(summary.ended.unwrap_or_default());
    }

    /// Keeps what is known of the memory of a run that has ended.
    pub fn keep_memory(&mut self, run: RunId, memory: Option<RunMemory>) {
        if let Some(entry) = self.runs.get_mut(&run) {
            entry.memory = memory;
        }
    }

    /// Returns the runs that were forgotten since the last call: the journal forgets them too.
    pub fn take_forgotten(&mut self) -> Vec<RunId> {
        std::mem::take(&mut self.forgotten)
    }

    /// Forgets ended runs that are too many or too old, without those that live ones begin at: they are kept beside.
    fn expire(&mut self, now: Time) {
        let needed: BTreeSet<RunId> = self.needed.values().flatten().map(|origin| origin.run).collect();
        let mut free = self.ended.iter().filter(|run| !needed.contains(run)).count();
        let mut place = 0;
        while let Some(oldest) = self.ended.get(place).copied() {
            if needed.contains(&oldest) {
                place += 1;
                continue;
            }
            let ended = self.runs.get(&oldest).and_then(|entry| entry.ended.as_ref()?.ended);
            let is_old = ended.is_some_and(|ended| now.since(ended) > self.retention.age);
            if free <= self.retention.runs && !is_old {
                return;
            }
            free -= 1;
            self.ended.remove(place);
            self.forgotten.push(oldest);
            let forgotten = self.runs.remove(&oldest);
            if let Some(name) = forgotten.and_then(|entry| entry.request_id) {
                self.submissions.remove(&name);
            }
        }
    }

    fn take_back_failed(&mut self, run: RunId, batches: &[BatchId], activity: &Activity) {
        if let Some(entry) = self.runs.get_mut(&run) {
            entry.activity.push(activity.clone());
            for batch in batches {
                entry.failed.remove(batch);
            }
        }
    }

    fn insert(&mut self, run: RunId, entry: RunEntry) {
        if let Some(name) = &entry.request_id {
            self.reserve(name.clone(), run, entry.job.clone(), entry.rerun.clone());
        }
        self.runs.insert(run, entry);
    }
}

impl RunEntry {
    fn of(run: RunLedger) -> RunEntry {
        RunEntry {
            seed: run.seed,
            rerun: run.rerun,
            activity: run.activity,
            failed: run.failed,
            ..RunEntry::new(run.job, run.source, run.request_id)
        }
    }

    fn new(job: Arc<Job>, source: Arc<FrozenSource>, request_id: Option<String>) -> RunEntry {
        RunEntry {
            job,
            source,
            seed: 0,
            rerun: None,
            ended: None,
            memory: None,
            activity: ActivityLog::default(),
            failed: BTreeMap::new(),
            end: None,
            request_id,
        }
    }
}

#[cfg(test)]
mod tests;
