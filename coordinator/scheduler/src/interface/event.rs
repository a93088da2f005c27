//! What happens to the scheduler: past tense, one variant a kind of thing.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use common::failure::Failure;
use common::holdings::Holdings;
use common::ids::{BatchId, RunId, SessionId, WorkerName};
use common::job::{Job, PoolName};
use common::message::Report;
use common::slice::{BadRow, FrozenSource, Slice};
use common::steering::{Asker, RunCommand};

use crate::journal::checkpoint::{Checkpoint, Rerun};
use crate::journal::record::RecordSequence;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A job was submitted, checked, and its source listed. Answered with [`crate::Command::RunAccepted`] once durable.
    RunSubmitted(Box<NewRun>),
    /// Somebody asked for something. Answered with [`crate::Command::Answer`] once it is durable and in effect.
    Asked(Box<Asked>),
    /// The answer to [`crate::Command::FindSlices`].
    SlicesFound {
        /// The run.
        run: RunId,
        /// The next slices, in the order of the source.
        slices: Vec<Slice>,
        /// Where those of their batches begin that do not begin at their slices, of a run that goes on from another one.
        checkpoints: Vec<(BatchId, Checkpoint)>,
        /// How many bytes of the source are sharded now, of all files together.
        bytes_sharded: u64,
        /// Whether there are more.
        end: SourceEnd,
    },
    /// The other answer to [`crate::Command::FindSlices`]: the source cannot be read or sharded further.
    SourceFailed {
        /// The run.
        run: RunId,
        /// Why.
        failure: Failure,
    },
    /// The answer to [`crate::Command::CutSlice`].
    SliceCut {
        /// The run.
        run: RunId,
        /// The batch.
        batch: BatchId,
        /// What its slice was cut into.
        cut: SliceCut,
    },
    /// Somebody asked for failed batches to be tried again, of a run that goes on or has ended.
    RetryRequested {
        /// The run.
        run: RunId,
        /// The batches; those that have not failed are left alone.
        batches: Vec<BatchId>,
        /// Who asked.
        by: Asker,
    },
    /// An ended run is not kept any longer.
    RunForgotten {
        /// The run.
        run: RunId,
    },
    /// A worker said hello. Answered with [`crate::Command::SessionAccepted`] once durable.
    SessionOpened(Box<NewSession>),
    /// A session's connection broke; its leases live on until their time is over.
    SessionDisconnected {
        /// The session.
        session: SessionId,
    },
    /// A session's worker connected again in time, and goes on where it was.
    SessionResumed {
        /// The session.
        session: SessionId,
    },
    /// A worker was heard (a heartbeat): its leases live on.
    SessionHeard {
        /// The session.
        session: SessionId,
    },
    /// A worker said goodbye: it holds nothing and runs nothing.
    SessionClosed {
        /// The session.
        session: SessionId,
    },
    /// Somebody asked for a worker to be drained.
    DrainRequested {
        /// The session.
        session: SessionId,
    },
    /// A worker reported something.
    Reported {
        /// The session.
        session: SessionId,
        /// What it said.
        report: Report,
    },
    /// All records up to this one are durable.
    DurableUpTo {
        /// The last durable record.
        sequence: RecordSequence,
    },
    /// A moment named by [`crate::Scheduler::next_timeout`] has come.
    TimeoutReached,
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Names the answer.
    pub ticket: Ticket,
    /// Who asks.
    pub by: Asker,
    /// What for.
    pub ask: Ask,
}

/// Names a question and its answer; never used before by this incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Something to be asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// That a run does something.
    Run {
        /// The run.
        run: RunId,
        /// What.
        command: RunCommand,
    },
    /// That a limit shared between runs is set; one that was not there is made.
    SetPool {
        /// The pool.
        pool: PoolName,
        /// Its limit.
        limit: NonZeroU32,
    },
    /// That the coordinator's own cap is set, or taken off.
    SetCap {
        /// The cap.
        cap: Option<NonZeroU32>,
    },
}

/// A run to be accepted.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id, never used before.
    pub run: RunId,
    /// The job, checked.
    pub job: Arc<Job>,
    /// The listing and the header.
    pub source: Arc<FrozenSource>,
    /// What generated values are derived from.
    pub seed: u64,
    /// What the submitter named the submission, to make it idempotent; kept in the record.
    pub request_id: Option<String>,
    /// The run whose later ops it runs again, if so.
    pub rerun: Option<Box<Rerun>>,
}

/// A session to be opened. An earlier session of the same worker is fenced.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Its id, never used before.
    pub session: SessionId,
    /// The worker.
    pub worker: WorkerName,
    /// What tells this process of the worker from another one of the same name.
    pub instance: String,
    /// How many tasks it runs at once.
    pub slots: NonZeroU32,
    /// The kinds of op it can do, by [`common::job::OpKind::name`].
    pub ops: BTreeSet<String>,
    /// Where its exchange listens, as an URL; empty if other workers cannot fetch from it.
    pub exchange_address: String,
    /// The how-manieth hello of its process this is: one that comes late never takes the place of a later one.
    pub hello: u64,
    /// What the process holds from a session of a former generation; `None` if it lets go of everything.
    pub reattached: Option<Reattached>,
}

/// A process that goes on with what it holds.
#[derive(Clone, Debug)]
pub struct Reattached {
    /// The session that it held it in.
    pub from: SessionId,
    /// What it holds.
    pub holdings: Holdings,
}

/// What the slice of a failed batch was cut into.
#[derive(Clone, Debug, PartialEq)]
pub enum SliceCut {
    /// Two slices that hold its rows in order, none of them empty.
    Halves {
        /// The first one.
        first: Slice,
        /// The second one.
        second: Slice,
    },
    /// It holds a single row.
    Single(BadRow),
    /// The source cannot be read any more.
    Unreadable,
}

/// Whether a source has more slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceEnd {
    /// There are more, to be asked for.
    More,
    /// These were the last ones.
    Reached,
}
