//! Trying failed batches again: which ones are meant, and who waits until that cannot be lost any more.

use std::collections::BTreeSet;

use common::ids::{BatchId, RunId};
use common::job::{InvalidJob, Job};
use common::state::RunState;
use common::steering::Asker;
use scheduler::{Event, FailedBatch, NotRetryable, Record};
use tokio::sync::oneshot;

use super::{Driver, NoSuchRun, targets};

/// Which failed batches of a run are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetrySelection {
    /// Only those that failed in the op of this name.
    pub op: Option<String>,
    /// Only these; none means all.
    pub batches: BTreeSet<BatchId>,
}

/// Why failed batches are not tried again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RetryError {
    /// There is no such run.
    #[error(transparent)]
    NoSuchRun(#[from] NoSuchRun),
    /// The run is not in a state for it.
    #[error(transparent)]
    NotRetryable(#[from] NotRetryable),
    /// The job has no op of that name.
    #[error("the job has no op {op:?}; its ops are {}", .ops.join(", "))]
    NoSuchOp {
        /// The name that was asked for.
        op: String,
        /// Those that there are.
        ops: Vec<String>,
    },
    /// A batch that was named has not failed, and never was committed.
    #[error("{run} has no failed batch {batch}; list its batches to see which have failed")]
    NotFailed {
        /// The run.
        run: RunId,
        /// The batch that was asked for.
        batch: BatchId,
    },
    /// Another run writes to its target meanwhile.
    #[error("{0}")]
    TargetTaken(InvalidJob),
}

/// Who waits for a retry to be durable.
pub(super) struct Waiting {
    /// How many batches it is about.
    batches: u64,
    /// Those of which it is not durable yet; of a run that is reopened, all at once.
    open: BTreeSet<BatchId>,
    reply: oneshot::Sender<Result<u64, RetryError>>,
}

/// What a request comes to.
enum Chosen {
    /// There is nothing to do, and nothing to wait for.
    Nothing,
    /// The run is being reopened already.
    UnderWay,
    /// These batches, or what a run that had ended has left.
    Retry(Vec<BatchId>),
}

impl RetrySelection {
    fn is_everything(&self) -> bool {
        self.op.is_none() && self.batches.is_empty()
    }

    fn takes(&self, job: &Job, batch: BatchId, failed: &FailedBatch) -> bool {
        let in_op = self.op.as_ref().is_none_or(|name| job.op(failed.op).name == *name);
        in_op && (self.batches.is_empty() || self.batches.contains(&batch))
    }
}

impl Driver {
    /// Lets failed batches be tried again. Asked once more, there is nothing left to do, and that is fine; who asks again while
    /// the first request can still be lost waits with it.
    pub(super) fn on_retry(
        &mut self,
        run: RunId,
        selection: &RetrySelection,
        by: Asker,
        reply: oneshot::Sender<Result<u64, RetryError>>,
    ) {
        // Errors of replies say that whoever asked has gone.
        match self.select(run, selection) {
            Err(error) => {
                let _ = reply.send(Err(error));
            }
            Ok(Chosen::Nothing) => {
                let _ = reply.send(Ok(0));
            }
            Ok(Chosen::UnderWay) => self.wait_for_retry(run, &[], reply),
            Ok(Chosen::Retry(batches)) => {
                self.wait_for_retry(run, &batches, reply);
                self.handle(Event::RetryRequested { run, batches, by });
            }
        }
    }

    fn wait_for_retry(&mut self, run: RunId, batches: &[BatchId], reply: oneshot::Sender<Result<u64, RetryError>>) {
        let open: BTreeSet<BatchId> = batches.iter().copied().collect();
        let batches = open.len() as u64;
        let waiting = Waiting { batches, open, reply };
        self.retriers.entry(run).or_default().push(waiting);
    }

    fn select(&self, run: RunId, selection: &RetrySelection) -> Result<Chosen, RetryError> {
        let entry = self.world.registry.run(run).ok_or(NoSuchRun { run })?;
        if let Some(op) = selection
            .op
            .as_ref()
            .filter(|op| entry.job.ops.iter().all(|known| known.name != **op))
        {
            return Err(RetryError::NoSuchOp {
                op: op.clone(),
                ops: entry.job.ops.iter().map(|op| op.name.clone()).collect(),
            });
        }
        let state = entry.ended.as_ref().map(|summary| summary.state);
        if state == Some(RunState::Succeeded) {
            return Ok(Chosen::Nothing);
        }
        let failed = self.world.scheduler.retryable(run)?;
        let chosen = failed.filter(|(batch, failed)| selection.takes(&entry.job, *batch, failed));
        let chosen: Vec<BatchId> = chosen.map(|(batch, _)| batch).collect();
        if let Some(batch) = selection.batches.iter().find(|batch| !self.is_known(run, **batch)) {
            return Err(RetryError::NotFailed { run, batch: *batch });
        }
        if state.is_some() && !self.world.scheduler.can_be_reopened(run) {
            return Ok(Chosen::UnderWay);
        }
        let is_of_all_that_is_left = state.is_some() && selection.is_everything();
        if chosen.is_empty() && !is_of_all_that_is_left {
            return Ok(Chosen::Nothing);
        }
        if state.is_some() {
            targets::check_free(&self.world.scheduler, &entry.job).map_err(RetryError::TargetTaken)?;
        }
        Ok(Chosen::Retry(chosen))
    }

    /// Tells whether a batch has failed, or is being tried, or is committed: then asking for it again is no mistake.
    fn is_known(&self, run: RunId, batch: BatchId) -> bool {
        let scheduler = &self.world.scheduler;
        let failed = scheduler
            .retryable(run)
            .is_ok_and(|mut failed| failed.any(|(known, _)| known == batch));
        failed || scheduler.is_open_or_committed(run, batch)
    }

    /// Answers those whose request is durable.
    pub(super) fn answer_retriers(&mut self, record: &Record) {
        let (run, durable) = match record {
            Record::FailedRetried { run, batches, .. } => (*run, Some(batches)),
            Record::RunReopened { run, .. } => (*run, None),
            Record::RunAccepted { .. }
            | Record::SessionOpened { .. }
            | Record::SessionClosed { .. }
            | Record::BatchCommitted { .. }
            | Record::AttemptFailed { .. }
            | Record::WorkerCrashed { .. }
            | Record::WorkerReturned { .. }
            | Record::RunStarted { .. }
            | Record::MarksRisen { .. }
            | Record::BatchFailed { .. }
            | Record::BatchCheckpointed { .. }
            | Record::CheckpointLost { .. }
            | Record::BatchHalved { .. }
            | Record::RunOpCommitted { .. }
            | Record::RunFailing { .. }
            | Record::RunFinishing { .. }
            | Record::RunCommanded { .. }
            | Record::PoolSet { .. }
            | Record::CapSet { .. }
            | Record::RunEnded { .. } => return,
        };
        let mut still = Vec::new();
        for mut waiting in self.retriers.remove(&run).unwrap_or_default() {
            waiting
                .open
                .retain(|batch| durable.is_some_and(|durable| !durable.contains(batch)));
            if waiting.open.is_empty() {
                let _ = waiting.reply.send(Ok(waiting.batches));
            } else {
                still.push(waiting);
            }
        }
        if !still.is_empty() {
            self.retriers.insert(run, still);
        }
    }
}
