//! The journal's trait: appending returns at once, durability comes later.
//!
//! Nothing waits for a disk here. [`Journal::append`] takes records and says where they will be; the implementation
//! makes them durable in groups of its own and moves [`Durability`] on, which the driver watches and hands to the
//! scheduler as an event. A watch holds one value, so a slow driver sees the latest position and no queue can grow.

use common::ids::Generation;
use scheduler::{Record, RecordSequence};
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
    /// The disk refused.
    #[error("failed to use the journal: {0}")]
    Io(#[from] std::io::Error),
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

    /// Returns what earlier generations left, in order; called once, before the first append.
    ///
    /// # Errors
    /// [`JournalError::Io`] when it cannot be read.
    fn recover(&mut self) -> Result<Vec<Entry>, JournalError>;
}
