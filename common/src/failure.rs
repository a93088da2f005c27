//! What goes wrong with a task, as ops and workers report it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of thing went wrong; it decides whether the task is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FailureKind {
    /// May go well another time: a full disk, a refused connection.
    Retryable,
    /// Will fail the same way every time.
    Permanent,
    /// The rows themselves cannot be used: ragged, not UTF-8, a quote that never closes.
    BadInput,
    /// The worker was lost while it ran.
    LostWorker,
    /// Somebody asked for it to stop.
    Cancelled,
    /// It took longer than it was allowed to.
    TimedOut,
    /// The op panicked.
    Panicked,
}

impl FailureKind {
    /// Tells whether another attempt can end differently.
    pub fn may_be_retried(self) -> bool {
        match self {
            FailureKind::Retryable | FailureKind::LostWorker | FailureKind::TimedOut | FailureKind::Panicked => true,
            FailureKind::Permanent | FailureKind::BadInput | FailureKind::Cancelled => false,
        }
    }

    /// Returns the kind's name as it stands in JSON and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Retryable => "retryable",
            FailureKind::Permanent => "permanent",
            FailureKind::BadInput => "bad_input",
            FailureKind::LostWorker => "lost_worker",
            FailureKind::Cancelled => "cancelled",
            FailureKind::TimedOut => "timed_out",
            FailureKind::Panicked => "panicked",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an attempt failed: the kind, and one sentence that names file and line where there is one and says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of thing went wrong.
    pub kind: FailureKind,
    /// Lowercase, fits after "failed to run the op: ", no full stop.
    pub message: String,
}

impl Failure {
    /// The longest message kept, in bytes; a longer one is cut at a character.
    pub const MAX_MESSAGE: usize = 4096;

    /// Makes a failure of a kind from a message, cut to [`Failure::MAX_MESSAGE`].
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        let mut message = message.into();
        if message.len() > Self::MAX_MESSAGE {
            let cut = (0..=Self::MAX_MESSAGE)
                .rev()
                .find(|&at| message.is_char_boundary(at))
                .unwrap_or(0);
            message.truncate(cut);
        }
        Failure { kind, message }
    }

    /// Makes a failure that may go well another time.
    pub fn retryable(message: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Retryable, message)
    }

    /// Makes a failure that will come again.
    pub fn permanent(message: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Permanent, message)
    }

    /// Makes a failure of the rows themselves.
    pub fn bad_input(message: impl Into<String>) -> Failure {
        Failure::new(FailureKind::BadInput, message)
    }

    /// Makes the failure of something that was asked to stop.
    pub fn cancelled() -> Failure {
        Failure::new(FailureKind::Cancelled, "cancelled")
    }
}
