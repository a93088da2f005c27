//! Domain errors to gRPC statuses: the only file that names a status code.
//!
//! Every status carries a google.rpc.ErrorInfo with a stable reason; a wrong field has its path in a BadRequest too,
//! and in the message, because many tools print only that.

use std::collections::HashMap;

use common::ids::SessionId;
use common::job::{FieldProblem, InvalidJob};
use common::link::OutboxFull;
use common::steering::AskRefused;
use proto::convert::InvalidMessage;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::driver::{NoSuchRun, NoSuchWorker, RetryError, Stopped};
use crate::service::{LookupError, WatchEnd};
use crate::submit::{RerunRefused, SubmitError};

/// Whose reasons they are.
const DOMAIN: &str = "plumbline";

fn status(code: Code, reason: &str, message: impl std::fmt::Display) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message.to_string(), details)
}

/// Says that something is not in a state for what was asked.
pub(super) fn wrong_state(reason: &str, message: impl std::fmt::Display) -> Status {
    status(Code::FailedPrecondition, reason, message)
}

/// Says that something is not to be had now.
pub(super) fn unavailable(reason: &str, message: impl std::fmt::Display) -> Status {
    status(Code::Unavailable, reason, message)
}

/// Says that a request is none, where no field is to blame.
pub(super) fn bad_request(reason: &str, message: impl std::fmt::Display) -> Status {
    status(Code::InvalidArgument, reason, message)
}

/// Says that a handler panicked.
pub(super) fn panicked() -> Status {
    status(
        Code::Internal,
        "PANICKED",
        "the coordinator failed on this call; its log says why",
    )
}

/// Says that the deadline passed.
pub(super) fn too_late() -> Status {
    status(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "the call was not answered before its deadline",
    )
}

/// Says that a worker did not show the token.
pub(super) fn no_worker_token() -> Status {
    status(
        Code::Unauthenticated,
        "NO_WORKER_TOKEN",
        "the worker token is missing or another one; start the worker with the coordinator's --worker-token-file",
    )
}

/// Says which fields of a job are wrong.
pub(super) fn invalid_job(invalid: &InvalidJob) -> Status {
    let mut details = ErrorDetails::with_error_info("INVALID_JOB", DOMAIN, HashMap::new());
    for FieldProblem { path, problem } in &invalid.problems {
        details.add_bad_request_violation(path, problem);
    }
    Status::with_error_details(Code::InvalidArgument, invalid.to_string(), details)
}

/// Says which field of a request is wrong.
pub(super) fn invalid_field(path: &str, problem: impl std::fmt::Display) -> Status {
    let problem = FieldProblem::new(path, problem.to_string());
    let mut details = ErrorDetails::with_error_info("INVALID_FIELD", DOMAIN, HashMap::new());
    details.add_bad_request_violation(&problem.path, &problem.problem);
    let message = format!("{}: {}", problem.path, problem.problem);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// Says that a frame of a worker is none.
pub(super) fn invalid_message(invalid: &InvalidMessage) -> Status {
    invalid_field(&invalid.field, &invalid.problem)
}

/// Says that a worker does not acknowledge what it is sent.
pub(super) fn silent_peer(full: &OutboxFull) -> Status {
    status(Code::ResourceExhausted, "UNACKNOWLEDGED", full)
}

/// Says that a worker does not take what it is sent.
pub(super) fn cut_off(session: SessionId) -> Status {
    let message = format!("{session} did not take its messages; connect without resume");
    status(Code::ResourceExhausted, "SESSION_CUT_OFF", message)
}

/// Turns an error of ours into a status.
pub(super) trait ToStatus {
    /// Returns the status that says the same.
    fn to_status(&self) -> Status;
}

impl ToStatus for Stopped {
    fn to_status(&self) -> Status {
        status(Code::Unavailable, "SHUTTING_DOWN", self)
    }
}

impl ToStatus for NoSuchRun {
    fn to_status(&self) -> Status {
        status(Code::NotFound, "NO_SUCH_RUN", self)
    }
}

impl ToStatus for NoSuchWorker {
    fn to_status(&self) -> Status {
        status(Code::NotFound, "NO_SUCH_WORKER", self)
    }
}

impl ToStatus for AskRefused {
    fn to_status(&self) -> Status {
        match self {
            AskRefused::Ended { .. } => status(Code::FailedPrecondition, "RUN_ENDED", self),
            AskRefused::Stopping { .. } => status(Code::FailedPrecondition, "RUN_STOPPING", self),
        }
    }
}

impl ToStatus for SubmitError {
    fn to_status(&self) -> Status {
        match self {
            SubmitError::Invalid(invalid) => invalid_job(invalid),
            SubmitError::TargetTaken(taken) => status(Code::FailedPrecondition, "TARGET_TAKEN", taken),
            SubmitError::RequestIdTaken(taken) => status(Code::AlreadyExists, "REQUEST_ID_TAKEN", taken),
            SubmitError::Rerun(RerunRefused::NoSuchRun(error)) => error.to_status(),
            SubmitError::Rerun(RerunRefused::NoSuchOp { .. }) => invalid_field("from_op", self),
            SubmitError::Rerun(RerunRefused::Archive(error)) => status(Code::Internal, "JOURNAL_UNREADABLE", error),
            SubmitError::Rerun(refused) => status(Code::FailedPrecondition, "NOT_RERUNNABLE", refused),
            SubmitError::Stopped(stopped) => stopped.to_status(),
            SubmitError::CheckFailed => status(Code::Internal, "CHECK_FAILED", self),
        }
    }
}

impl ToStatus for LookupError {
    fn to_status(&self) -> Status {
        match self {
            LookupError::NoSuchRun(error) => error.to_status(),
            LookupError::NoSuchWorker(error) => error.to_status(),
            LookupError::NoSuchBatch { .. } => status(Code::NotFound, "NO_SUCH_BATCH", self),
            LookupError::NotFinishing { .. } => status(Code::FailedPrecondition, "RUN_NOT_FINISHING", self),
            LookupError::Refused(refused) => refused.to_status(),
            LookupError::RunEnded { .. } => status(Code::FailedPrecondition, "RUN_ENDED", self),
            LookupError::Invalid(invalid) => invalid_job(invalid),
            LookupError::InvalidField(problem) => invalid_field(&problem.path, &problem.problem),
            LookupError::Retry(RetryError::NotFailed { .. }) => status(Code::NotFound, "NO_SUCH_BATCH", self),
            LookupError::Retry(RetryError::NoSuchOp { .. }) => invalid_field("op", self),
            LookupError::Retry(RetryError::NoSuchRun(error)) => error.to_status(),
            LookupError::Retry(RetryError::NotRetryable(error)) => {
                status(Code::FailedPrecondition, "NOT_RETRYABLE", error)
            }
            LookupError::Retry(RetryError::TargetTaken(taken)) => {
                status(Code::FailedPrecondition, "TARGET_TAKEN", taken)
            }
            LookupError::Archive(error) => status(Code::Internal, "JOURNAL_UNREADABLE", error),
            LookupError::Timeline(error) => status(Code::Internal, "TIMELINE_UNREADABLE", error),
            LookupError::Stopped(stopped) => stopped.to_status(),
        }
    }
}

impl ToStatus for WatchEnd {
    fn to_status(&self) -> Status {
        match self {
            WatchEnd::Timeline(error) => status(Code::Internal, "TIMELINE_UNREADABLE", error),
            WatchEnd::Forgotten(error) => error.to_status(),
            WatchEnd::Stopped(stopped) => stopped.to_status(),
        }
    }
}
