//! The journal's trait: appending returns at once, durability comes later.
//!
//! Nothing waits for a disk here. [`Journal::append`] takes records and says where they will be; the implementation
//! makes them durable in groups of its own and moves [`Durability`] on, which the driver watches and hands to the
//! scheduler as an event. A watch holds one value, so a slow driver sees the latest position and no queue can grow.
//!
//! What the records add up to is the [`Ledger`], and that is all that comes back after a restart. What grows with the
//! batches of a run (committed parts, checkpoints) is kept beside it and read in pages through [`Archive`].

use std::sync::Arc;

use common::ids::{BatchId, Generation, RunId};
use common::part::Part;
use scheduler::{Checkpoint, Ledger, Record, RecordSequence};
use tokio::sync::watch;

/// A record and its number.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The number: one more than the last one's.
    pub sequence: RecordSequence,
    /// What must survive.
    pub record: Record,
}

/// How far the journal is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Records up to and including this one cannot be lost any more.
    UpTo(RecordSequence),
    /// A coordinator of a later generation owns the journal: this one must stop at once.
    Fenced {
        /// The generation that took over.
        by: Generation,
    },
    /// Writing failed. It is never retried as if nothing had happened: the process must end.
    Failed {
        /// What the disk said.
        reason: String,
    },
}

/// Why the journal took nothing, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A coordinator of a later generation owns it.
    #[error("a coordinator of generation {} has taken over", by.0)]
    Fenced {
        /// The generation that took over.
        by: Generation,
    },
    /// Numbers have a gap, which is a mistake of the caller.
    #[error("record {} follows record {}", got.0, last.0)]
    Gap {
        /// The last number taken.
        last: RecordSequence,
        /// The number that came.
        got: RecordSequence,
    },
    /// A newer version of the program wrote it.
    #[error(
        "the journal {path} has format {found}, this program knows {known}; use the newer program, or name another folder with --state"
    )]
    Newer {
        /// The file.
        path: String,
        /// The format that was found.
        found: u32,
        /// The newest format that is known.
        known: u32,
    },
    /// An older version of the program wrote it.
    #[error(
        "the journal {path} has format {found}, this program knows {known}; let the older program end its runs, or name another folder with --state"
    )]
    Older {
        /// The file.
        path: String,
        /// The format that was found.
        found: u32,
        /// The format that is known.
        known: u32,
    },
    /// What is stored is not what was written.
    #[error("the journal {path} is damaged: {what}; restore it from a copy, or name another folder with --state")]
    Damaged {
        /// The file.
        path: String,
        /// What does not fit.
        what: String,
    },
    /// The disk refused.
    #[error("failed to use the journal {path}: {reason}")]
    Storage {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
}

/// Why a page of the archive cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read what the journal keeps of {run}: {reason}")]
pub struct ArchiveError {
    /// The run.
    pub run: RunId,
    /// What went wrong.
    pub reason: String,
}

/// The durable log of one coordinator at a time.
pub trait Journal: Send {
    /// Returns the generation under which this journal was opened.
    fn generation(&self) -> Generation;

    /// Takes records, in order and without gaps, and returns the position of the last one at once.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] when another coordinator owns the journal, [`JournalError::Gap`] for a wrong number.
    fn append(&mut self, entries: Vec<Entry>) -> Result<RecordSequence, JournalError>;

    /// Returns a watch on how far the journal is safe.
    fn durability(&self) -> watch::Receiver<Durability>;

    /// Returns what the records of earlier generations add up to; called once, before the first append.
    fn recover(&mut self) -> Ledger;

    /// Forgets an ended run and all that is kept of it.
    fn forget(&mut self, run: RunId);

    /// Returns where the parts and the checkpoints can be read.
    fn archive(&self) -> Arc<dyn Archive>;
}

/// Reads what the journal keeps beside the ledger. May block on a disk: not for the driver's thread.
pub trait Archive: Send + Sync {
    /// Returns the committed batches of a live run that have parts, in the order of the source, at most `limit` of
    /// them, beginning behind `after`. Empty when there are no more.
    ///
    /// # Errors
    /// [`ArchiveError`] when they cannot be read.
    fn parts_page(
        &self,
        run: RunId,
        after: Option<BatchId>,
        limit: usize,
    ) -> Result<Vec<(BatchId, Vec<Part>)>, ArchiveError>;

    /// Returns the checkpoints of an ended run's batches, each in the order of its ops, beginning with the batch of a number;
    /// at most `limit` batches in the order of the source, no halves, and fewer only when there are no more.
    ///
    /// # Errors
    /// [`ArchiveError`] when they cannot be read.
    fn checkpoints_page(
        &self,
        run: RunId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<Checkpoint>)>, ArchiveError>;
}
