//! What is kept of one run: what its records add up to, and what it goes on from after a restart or when it is reopened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::counts::RowCounts;
use common::ids::{BatchId, Halves, LeaseId, OpId, RunId};
use common::job::{Job, LimitsChange, OnFailure};
use common::message::Step;
use common::part::Part;
use common::slice::{FrozenSource, RunContext, Slice};
use common::steering::{Activity, ActivityLog, CancelMode, RunCommand};
use common::summary::{RunFailure, RunSummary};
use common::time::Time;
use serde::{Deserialize, Serialize};

use crate::journal::budgets::{Budgets, UsedUp};
use crate::journal::checkpoint::{Checkpoint, Rerun};
use crate::journal::committed::Committed;
use crate::journal::ending::Finishing;
use crate::journal::failed::{FailedBatch, Tolerance};
use crate::journal::marks::HighMarks;

/// What is kept of a run that goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunLedger {
    /// Its job.
    pub job: Arc<Job>,
    /// Its listing and header.
    pub source: Arc<FrozenSource>,
    /// What generated values are derived from.
    pub seed: u64,
    /// The submitter's name for the submission.
    pub request_id: Option<String>,
    /// When it was accepted.
    pub accepted: Time,
    /// Whether it has begun a batch.
    pub started: bool,
    /// The batches whose commit is durable.
    pub committed: Committed,
    /// How many they are.
    pub committed_count: u64,
    /// The batches that failed for good.
    pub failed: BTreeMap<BatchId, FailedBatch>,
    /// Whether they are tolerated.
    pub tolerance: Tolerance,
    /// The halves of batches that were cut in two, as long as they are neither committed nor failed nor cut themselves.
    pub halves: BTreeMap<BatchId, Slice>,
    /// How many batches were cut in two.
    pub halvings: u64,
    /// Where the rows of committed and failed batches went.
    pub rows: RowCounts,
    /// When the first batch was committed.
    pub first_loaded: Option<Time>,
    /// Attempts that ended well, as far as records know of them: those at committed batches and up to checkpoints, and at what was
    /// committed over the whole run.
    pub succeeded: u64,
    /// Its peaks, and what else only rises.
    pub marks: HighMarks,
    /// The last checkpoints of batches that are neither committed nor cut in two.
    pub checkpoints: BTreeMap<BatchId, Checkpoint>,
    /// Batches that begin at no checkpoint of another run any more, because it could not be read.
    pub given_up: BTreeSet<BatchId>,
    /// The run whose later ops it runs again, if so.
    pub rerun: Option<Box<Rerun>>,
    /// What is used up of the budgets of batches that go on.
    pub budgets: BTreeMap<BatchId, Budgets>,
    /// How it ends, once every batch is done.
    pub ends: Option<Finishing>,
    /// What ops over the whole run have used up.
    pub finishing: Budgets,
    /// What ops over the whole run committed, and under which lease.
    pub run_ops: BTreeMap<OpId, (LeaseId, Vec<Part>)>,
    /// Why it is going to end as failed, if that does not follow from its failed batches.
    pub failing: Option<RunFailure>,
    /// How somebody has cancelled it, if so.
    pub cancelled: Option<CancelMode>,
    /// Whether it is paused.
    pub hold: Hold,
    /// What was changed of the job's limits while it went on.
    pub limits: LimitsChange,
    /// What it was told while it went on.
    pub activity: ActivityLog,
    /// When it was reopened last, if it had ended before.
    pub reopened: Option<Time>,
}

/// Whether a run begins anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// It goes on.
    #[default]
    GoesOn,
    /// It is paused, and begins nothing until it is resumed.
    Paused,
}

impl RunLedger {
    /// Makes what is kept of a run that was just accepted.
    pub(crate) fn new(
        job: &Arc<Job>,
        source: &Arc<FrozenSource>,
        seed: u64,
        request_id: Option<String>,
        at: Time,
    ) -> RunLedger {
        RunLedger {
            job: Arc::clone(job),
            source: Arc::clone(source),
            seed,
            request_id,
            accepted: at,
            started: false,
            committed: Committed::default(),
            committed_count: 0,
            failed: BTreeMap::new(),
            tolerance: Tolerance::Within,
            halves: BTreeMap::new(),
            halvings: 0,
            rows: RowCounts::default(),
            first_loaded: None,
            succeeded: 0,
            marks: HighMarks::default(),
            checkpoints: BTreeMap::new(),
            given_up: BTreeSet::new(),
            rerun: None,
            budgets: BTreeMap::new(),
            ends: None,
            finishing: Budgets::default(),
            run_ops: BTreeMap::new(),
            failing: None,
            cancelled: None,
            hold: Hold::GoesOn,
            limits: LimitsChange::default(),
            activity: ActivityLog::default(),
            reopened: None,
        }
    }

    /// Returns what workers are told of the run.
    pub(crate) fn context(&self, run: RunId) -> Arc<RunContext> {
        Arc::new(RunContext {
            run,
            job: Arc::clone(&self.job),
            source: Arc::clone(&self.source),
            seed: self.seed,
        })
    }

    /// Takes failed batches back to be tried again; those that have not failed are left alone.
    pub(crate) fn take_back_failed(&mut self, batches: &[BatchId]) {
        for id in batches {
            let Some(failed) = self.failed.remove(id) else { continue };
            self.rows -= failed.rows;
            self.budgets.insert(*id, failed.fresh_budgets());
            if id.halves.depth() > 0 {
                self.halves.insert(*id, failed.slice);
            }
        }
        self.tolerance = Tolerance::Within;
    }

    /// Returns what an ended run goes on from when some of its failed batches are tried again.
    pub(crate) fn reopened(mut self, batches: &[BatchId], activity: Activity) -> RunLedger {
        self.take_back_failed(batches);
        self.run_ops.clear();
        self.ends = None;
        self.finishing = self.finishing.refreshed();
        self.budgets.values_mut().for_each(|budgets| budgets.lost.clear());
        self.failing = None;
        self.cancelled = None;
        self.hold = Hold::GoesOn;
        self.reopened = Some(activity.at);
        self.activity.push(activity);
        self
    }

    /// Returns what is kept of a run that has ended.
    pub(crate) fn kept_after(self, summary: &RunSummary, used: &UsedUp) -> RunLedger {
        if summary.state.may_be_reopened() {
            return RunLedger {
                succeeded: summary.tasks.succeeded,
                marks: HighMarks::of(summary),
                run_ops: BTreeMap::new(),
                ends: None,
                budgets: used.batches.clone(),
                finishing: used.whole.clone(),
                ..self
            };
        }
        let defined = RunLedger::new(&self.job, &self.source, self.seed, self.request_id, self.accepted);
        RunLedger {
            failed: self.failed,
            activity: self.activity,
            rerun: self.rerun,
            ..defined
        }
    }

    /// Returns the budgets of a batch, or of the ops over the whole run.
    pub(crate) fn budgets_of(&mut self, batch: Option<BatchId>) -> &mut Budgets {
        match batch {
            Some(batch) => self.budgets.entry(batch).or_default(),
            None => &mut self.finishing,
        }
    }

    /// Takes in a batch that failed for good. Where its policy pauses the run for it, it is paused from now on: the record that
    /// says so may come late, when the run was about to go on, or be lost.
    pub(crate) fn fail(&mut self, batch: BatchId, failed: &FailedBatch, tolerance: Tolerance) {
        self.rows += failed.rows;
        self.failed.insert(batch, failed.clone());
        self.tolerance = tolerance;
        self.halves.remove(&batch);
        self.budgets.remove(&batch);
        let pauses = tolerance == Tolerance::Exceeded && self.job.failure.on_failure == OnFailure::Pause;
        if pauses && self.cancelled.is_none() {
            self.hold = Hold::Paused;
        }
    }

    /// Takes in what the run was told.
    pub(crate) fn command(&mut self, activity: &Activity) {
        match &activity.command {
            RunCommand::Pause { .. } => self.hold = Hold::Paused,
            RunCommand::Resume => self.hold = Hold::GoesOn,
            RunCommand::Cancel(mode) => {
                self.hold = Hold::GoesOn;
                self.cancelled = self.cancelled.max(Some(*mode));
            }
            RunCommand::ChangeLimits(change) => self.limits.add(change),
            RunCommand::RetryFailed { .. } => {}
        }
        self.activity.push(activity.clone());
    }

    /// Remembers attempts of a run that has ended, for the case that it is reopened.
    pub(crate) fn keep_attempts(&mut self, batch: Option<BatchId>, steps: &[Step]) {
        let Some(id) = batch else {
            return self.finishing.use_up_all(steps);
        };
        if let Some(failed) = self.failed.get_mut(&id) {
            failed.use_up_all(steps);
        } else if !self.committed.contains(id) && (id.halves == Halves::WHOLE || self.halves.contains_key(&id)) {
            self.budgets.entry(id).or_default().use_up_all(steps);
        }
    }
}
