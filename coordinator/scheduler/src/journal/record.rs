//! What must survive: the entries of the journal.

use std::num::NonZeroU32;
use std::sync::Arc;

use common::counts::RowCounts;
use common::ids::{Attempt, BatchId, LeaseId, OpId, RunId, SessionId, WorkerName};
use common::job::{Job, PoolName};
use common::part::Part;
use common::slice::{FrozenSource, Slice};
use common::steering::{Activity, Asker};
use common::summary::{RunFailure, RunSummary};
use common::time::Time;
use serde::{Deserialize, Serialize};

use crate::journal::budgets::UsedUp;
use crate::journal::checkpoint::{Checkpoint, Rerun};
use crate::journal::ending::Finishing;
use crate::journal::failed::{FailedBatch, Tolerance};
use crate::journal::marks::HighMarks;
use crate::journal::run_ledger::RunLedger;

/// The number of a record, from 1, without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordSequence(pub u64);

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// A run was accepted.
    RunAccepted {
        /// The run.
        run: RunId,
        /// Its job.
        job: Arc<Job>,
        /// Its listing and header.
        source: Arc<FrozenSource>,
        /// What generated values are derived from.
        seed: u64,
        /// The submitter's name for the submission.
        request_id: Option<String>,
        /// The run whose later ops it runs again, if so.
        rerun: Option<Box<Rerun>>,
        /// When.
        at: Time,
    },
    /// Numbers of a run have risen that no other record tells; written with the next record of the run.
    MarksRisen {
        /// The run.
        run: RunId,
        /// What they are.
        marks: HighMarks,
    },
    /// A run has begun its first batch.
    RunStarted {
        /// The run.
        run: RunId,
    },
    /// A worker's session was opened.
    SessionOpened {
        /// The session.
        session: SessionId,
        /// The worker.
        worker: WorkerName,
        /// What tells this process of the worker from another one of the same name.
        instance: String,
        /// Its slots.
        slots: u32,
    },
    /// A session ended, and its units are free.
    SessionClosed {
        /// The session.
        session: SessionId,
    },
    /// A batch is committed by a lease: this is *the* commit point.
    BatchCommitted {
        /// The run.
        run: RunId,
        /// The batch.
        batch: BatchId,
        /// The lease whose output is the batch's.
        lease: LeaseId,
        /// Where its rows went.
        rows: RowCounts,
        /// What it staged.
        parts: Vec<Part>,
        /// How many ops this run ran well on it since its last checkpoint, or since its begin.
        ran: u16,
        /// When.
        at: Time,
    },
    /// A batch's output behind an op is kept where every worker sees it: the ops up to there are never run on it again.
    BatchCheckpointed {
        /// The run.
        run: RunId,
        /// The batch.
        batch: BatchId,
        /// The lease that wrote it.
        lease: LeaseId,
        /// How many ops this run ran well on it since the checkpoint before, or since its begin.
        ran: u16,
        /// The checkpoint.
        checkpoint: Box<Checkpoint>,
    },
    /// A batch's checkpoint cannot be read any more: the batch begins at its source.
    CheckpointLost {
        /// The run.
        run: RunId,
        /// The batch.
        batch: BatchId,
        /// The op that made it.
        op: OpId,
    },
    /// An attempt failed and counts: its number is used up. Other attempts follow, or the halves of its batch.
    AttemptFailed {
        /// The run.
        run: RunId,
        /// The batch; none of an op over the whole run.
        batch: Option<BatchId>,
        /// The op.
        op: OpId,
        /// Its number.
        attempt: Attempt,
    },
    /// A worker's process was lost while it ran a batch.
    WorkerCrashed {
        /// The run.
        run: RunId,
        /// The batch.
        batch: BatchId,
        /// The op that it ran.
        op: OpId,
        /// The number of the attempt, which is used up.
        attempt: Attempt,
        /// The process, as its session named it.
        instance: String,
    },
    /// A process that counted as lost is there: it was frozen or cut off, and no batch has killed it.
    WorkerReturned {
        /// The process.
        instance: String,
    },
    /// A batch has failed for good.
    BatchFailed {
        /// The run.
        run: RunId,
        /// The batch.
        batch: BatchId,
        /// What is kept of it.
        failed: Box<FailedBatch>,
        /// Whether it is tolerated.
        tolerance: Tolerance,
    },
    /// A failed batch was cut in two; its halves are tried in its place.
    BatchHalved {
        /// The run.
        run: RunId,
        /// The batch.
        batch: BatchId,
        /// The slice of its first half.
        first: Slice,
        /// The slice of its second half.
        second: Slice,
    },
    /// Somebody asked for failed batches of a run that goes on to be tried again.
    FailedRetried {
        /// The run.
        run: RunId,
        /// The batches.
        batches: Vec<BatchId>,
        /// Who asked for it, and when.
        activity: Activity,
    },
    /// Somebody asked for failed batches of an ended run to be tried again: the run goes on.
    RunReopened {
        /// The run.
        run: RunId,
        /// What it goes on from.
        ledger: Box<RunLedger>,
        /// The batches that are tried again.
        batches: Vec<BatchId>,
        /// Who asked for it, and when.
        activity: Activity,
    },
    /// A run is going to end as failed for a reason that a restart would not find again: it begins nothing more.
    RunFailing {
        /// The run.
        run: RunId,
        /// Why.
        failure: RunFailure,
    },
    /// Every batch of a run is done, and how it ends is decided; a later one of these takes the place of an earlier one.
    RunFinishing {
        /// The run.
        run: RunId,
        /// How it ends, and what its source came to.
        finishing: Finishing,
    },
    /// An op over the whole run is committed by a lease.
    RunOpCommitted {
        /// The run.
        run: RunId,
        /// The op.
        op: OpId,
        /// The lease whose output it is.
        lease: LeaseId,
        /// What it staged.
        parts: Vec<Part>,
    },
    /// A run was told something while it goes on.
    RunCommanded {
        /// The run.
        run: RunId,
        /// What, by whom, and when.
        activity: Activity,
    },
    /// A run has ended, with its output in place.
    RunEnded {
        /// Its last summary.
        summary: Arc<RunSummary>,
        /// What was used up by what it leaves undone, if it can be reopened.
        used: UsedUp,
    },
    /// A limit shared between runs was set.
    PoolSet {
        /// The pool.
        pool: PoolName,
        /// Its limit.
        limit: NonZeroU32,
        /// Who set it.
        by: SetBy,
    },
    /// The coordinator's own cap was set, or taken off.
    CapSet {
        /// The cap.
        cap: Option<NonZeroU32>,
        /// Who set it.
        by: SetBy,
    },
}

impl Record {
    /// Returns the run that it is of, if it is of one that goes on.
    pub(crate) fn live_run(&self) -> Option<RunId> {
        match self {
            Record::RunStarted { run }
            | Record::BatchCommitted { run, .. }
            | Record::BatchCheckpointed { run, .. }
            | Record::CheckpointLost { run, .. }
            | Record::AttemptFailed { run, .. }
            | Record::WorkerCrashed { run, .. }
            | Record::BatchFailed { run, .. }
            | Record::BatchHalved { run, .. }
            | Record::FailedRetried { run, .. }
            | Record::RunFailing { run, .. }
            | Record::RunFinishing { run, .. }
            | Record::RunOpCommitted { run, .. }
            | Record::RunCommanded { run, .. } => Some(*run),
            Record::RunAccepted { .. }
            | Record::MarksRisen { .. }
            | Record::SessionOpened { .. }
            | Record::SessionClosed { .. }
            | Record::WorkerReturned { .. }
            | Record::RunReopened { .. }
            | Record::RunEnded { .. }
            | Record::PoolSet { .. }
            | Record::CapSet { .. } => None,
        }
    }
}

/// Who set a limit of the coordinator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetBy {
    /// The flags that it was started with.
    Start,
    /// Somebody, while it ran.
    Asked(Asker),
}
