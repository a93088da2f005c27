//! What can be wrong with the rows of a slice.

use common::failure::Failure;
use common::limits::{MAX_FIELD_BYTES, MAX_RECORD_BYTES};

/// Why the reading of a slice ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The text is not RFC 4180, or a record is very long; the state machine has to read it.
    Irregular,
    /// Somebody asked for a stop.
    Cancelled(Failure),
    /// The rows are no good, and the place of that in the slice.
    Bad(Problem, usize),
}

/// What is wrong with a record.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error(
        "the record has {found} fields, the header has {expected}; mend the record, or quote the field that holds a delimiter"
    )]
    Ragged { expected: usize, found: usize },
    #[error("a quote opens here and does not close before the batch ends; close it, or double it if it is text")]
    OpenQuote,
    #[error("column {column:?} is not UTF-8; convert the file to UTF-8")]
    NotUtf8 { column: String },
    #[error(
        "column {column:?} has {bytes} bytes, at most {MAX_FIELD_BYTES} are allowed in a field; is a quote not closed?"
    )]
    LongField { column: String, bytes: usize },
    #[error("the record has {bytes} bytes, at most {MAX_RECORD_BYTES} are allowed; is a quote not closed?")]
    LongRecord { bytes: usize },
}
