//! What must survive: the entries of the journal.

use std::sync::Arc;

use common::counts::RowCounts;
use common::failure::Failure;
use common::ids::{BatchId, LeaseId, OpId, RunId, SessionId, WorkerName};
use common::job::Job;
use common::part::Part;
use common::slice::FrozenSource;
use common::steering::Activity;
use common::summary::RunSummary;
use common::time::Time;
use serde::{Deserialize, Serialize};

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
        /// When.
        at: Time,
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
        /// When.
        at: Time,
    },
    /// An attempt failed, and the op will be tried again on the batch.
    AttemptFailed {
        /// The run.
        run: RunId,
        /// The batch.
        batch: BatchId,
        /// The op.
        op: OpId,
    },
    /// A worker's process was lost while it ran a batch.
    WorkerCrashed {
        /// The run.
        run: RunId,
        /// The batch.
        batch: BatchId,
    },
    /// A batch has failed for good.
    BatchFailed {
        /// The run.
        run: RunId,
        /// The batch.
        batch: BatchId,
        /// The op it failed in.
        op: OpId,
        /// Why.
        failure: Failure,
        /// Where its rows went.
        rows: RowCounts,
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
    },
}
