//! What the scheduler wants done: imperative, in order, each to be executed by the driver.

use std::sync::Arc;

use common::failure::Failure;
use common::ids::{BatchId, LeaseId, RunId, SessionId};
use common::message::ToWorker;
use common::slice::Slice;
use common::steering::AskRefused;
use common::summary::RunSummary;
use common::timeline::{ChainEntry, TimelineEntry};

use crate::interface::event::Ticket;
use crate::journal::record::{Record, RecordSequence};

/// Something to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Append a record to the journal; [`crate::Event::DurableUpTo`] comes back when it cannot be lost any more.
    Append {
        /// The record's number: one more than the last one's.
        sequence: RecordSequence,
        /// The record.
        record: Record,
    },
    /// Send a message to a worker's session. To a session that is gone it is dropped.
    Send {
        /// The session.
        session: SessionId,
        /// The message.
        message: ToWorker,
    },
    /// Find up to `count` more slices of a run's source; one request at a time is under way per run.
    FindSlices {
        /// The run.
        run: RunId,
        /// How many are wanted.
        count: u32,
    },
    /// Cut the slice of a failed batch between two records, with half of them on each side.
    CutSlice {
        /// The run.
        run: RunId,
        /// The batch.
        batch: BatchId,
        /// Its slice.
        slice: Slice,
    },
    /// Open the source of a run that had ended, from its beginning: slices will be asked for again.
    ReopenSource {
        /// The run.
        run: RunId,
    },
    /// Let go of a run's source: no more slices will be asked for.
    CloseSource {
        /// The run.
        run: RunId,
    },
    /// A submission is durable: answer the submitter.
    RunAccepted {
        /// The run.
        run: RunId,
    },
    /// A session is durable: welcome the worker.
    SessionAccepted {
        /// The session.
        session: SessionId,
    },
    /// A lease of a former generation goes on under its id: its worker has connected again and said where it is.
    LeaseAdopted {
        /// The lease.
        lease: LeaseId,
        /// The session that holds it now.
        session: SessionId,
        /// The run.
        run: RunId,
        /// The batch; `None` for an op over the whole run.
        batch: Option<BatchId>,
    },
    /// End a session: its connection is closed, and it may not be resumed.
    EndSession {
        /// The session.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// An attempt ended: keep its row of the timeline. Those that run are in [`crate::Scheduler::outlook`].
    RecordAttempt {
        /// The run.
        run: RunId,
        /// The row.
        entry: TimelineEntry,
        /// Why it failed, if it did.
        failure: Option<Failure>,
    },
    /// All attempts of a chain ended well: keep their rows of the timeline.
    RecordChain {
        /// The run.
        run: RunId,
        /// What ran.
        chain: ChainEntry,
    },
    /// What was asked for is durable and in effect, or refused: answer whoever asked.
    Answer {
        /// Names the question.
        ticket: Ticket,
        /// Whether it was granted.
        answer: Result<(), AskRefused>,
    },
    /// A run has ended, durably and with its output in place; the scheduler forgets it with this command.
    RunEnded {
        /// Its last summary.
        summary: Arc<RunSummary>,
    },
}

/// Why a session is ended by the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// A new process of the same name has connected.
    Replaced,
    /// It was not heard for longer than a lease lives.
    Expired,
    /// It drained, and holds nothing any more.
    Drained,
    /// It said what cannot be: a lease or an op it was never given.
    Protocol,
}
