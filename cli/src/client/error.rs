//! Why a coordinator did not do what it was asked, in words for people.

use proto::convert::InvalidMessage;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::exit::Exit;
use crate::spec::InvalidSpec;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No coordinator answers.
    #[error(
        "no coordinator answers at {addresses}: {reason}; start one with `plumb coordinator`, or name one with --coordinator"
    )]
    Unavailable {
        /// Where one was looked for.
        addresses: String,
        /// What the last attempt met.
        reason: String,
    },
    /// An address is no address.
    #[error("{address:?} is no address of a coordinator; write one such as 127.0.0.1:50051 or http://host:50051")]
    BadAddress {
        /// What was given.
        address: String,
    },
    /// The coordinator found fields that cannot be.
    #[error("{message}")]
    BadJob {
        /// The coordinator's words.
        message: String,
        /// The paths of the fields, each with its problem.
        violations: Vec<(String, String)>,
    },
    /// The same, mapped back to the file.
    #[error(transparent)]
    BadSpec(InvalidSpec),
    /// The coordinator said no.
    #[error("{message}")]
    Refused {
        /// The coordinator's words.
        message: String,
    },
    /// The answer is not what the protocol allows: another version, most likely.
    #[error("the coordinator's answer is not understood ({0}); use a plumb of the coordinator's version")]
    NotUnderstood(#[from] InvalidMessage),
}

impl ClientError {
    /// Turns a status into words.
    pub(super) fn from_status(status: &Status, addresses: &str) -> ClientError {
        match status.code() {
            Code::Unavailable => ClientError::Unavailable {
                addresses: addresses.to_owned(),
                reason: status.message().to_owned(),
            },
            Code::InvalidArgument => {
                let details = status.get_details_bad_request();
                let violations = details.into_iter().flat_map(|details| details.field_violations);
                ClientError::BadJob {
                    message: status.message().to_owned(),
                    violations: violations.map(|each| (each.field, each.description)).collect(),
                }
            }
            Code::Unimplemented => ClientError::Refused {
                message: format!(
                    "{addresses} is no JobService; a worker's port, perhaps? ({})",
                    status.message()
                ),
            },
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => ClientError::Refused {
                message: status.message().to_owned(),
            },
        }
    }

    /// Tells whether trying again may help.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, ClientError::Unavailable { .. })
    }

    /// Returns the exit code that tells scripts about it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            ClientError::Unavailable { .. } => Exit::Unavailable,
            ClientError::BadAddress { .. } | ClientError::BadJob { .. } | ClientError::BadSpec(_) => Exit::Usage,
            ClientError::Refused { .. } | ClientError::NotUnderstood(_) => Exit::Failed,
        }
    }
}

/// Prints an error with what caused it: a transport error says nothing by itself.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
