//! What goes wrong with a task.

use common::failure::{Failure, FailureKind};

use super::{InvalidMessage, known};
use crate::v1;

impl From<FailureKind> for v1::FailureKind {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Retryable => v1::FailureKind::Retryable,
            FailureKind::Permanent => v1::FailureKind::Permanent,
            FailureKind::BadInput => v1::FailureKind::BadInput,
            FailureKind::LostWorker => v1::FailureKind::LostWorker,
            FailureKind::Cancelled => v1::FailureKind::Cancelled,
            FailureKind::TimedOut => v1::FailureKind::TimedOut,
            FailureKind::Panicked => v1::FailureKind::Panicked,
        }
    }
}

impl From<&Failure> for v1::Failure {
    fn from(failure: &Failure) -> Self {
        v1::Failure {
            kind: v1::FailureKind::from(failure.kind).into(),
            message: failure.message.clone(),
        }
    }
}

impl TryFrom<v1::Failure> for Failure {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Failure) -> Result<Self, InvalidMessage> {
        let kind = match known("kind", wire.kind)? {
            v1::FailureKind::Unspecified => return Err(InvalidMessage::missing("kind")),
            v1::FailureKind::Retryable => FailureKind::Retryable,
            v1::FailureKind::Permanent => FailureKind::Permanent,
            v1::FailureKind::BadInput => FailureKind::BadInput,
            v1::FailureKind::LostWorker => FailureKind::LostWorker,
            v1::FailureKind::Cancelled => FailureKind::Cancelled,
            v1::FailureKind::TimedOut => FailureKind::TimedOut,
            v1::FailureKind::Panicked => FailureKind::Panicked,
        };
        Ok(Failure::new(kind, wire.message))
    }
}
