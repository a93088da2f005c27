//! Errors as problem+json (RFC 9457): the only file of the web that names error statuses.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::job::{FieldProblem, InvalidJob};
use common::steering::AskRefused;
use serde::Serialize;

use crate::driver::{RetryError, Stopped};
use crate::service::LookupError;
use crate::spec;
use crate::submit::{RerunRefused, SubmitError};
use crate::timeline::TimelineError;

/// Why there is no answer.
#[derive(Debug, Serialize)]
pub(in crate::web) struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    reason: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<FieldAnswer>,
}

#[derive(Debug, Serialize)]
struct FieldAnswer {
    path: String,
    problem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

impl Problem {
    pub(in crate::web) fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Problem {
        Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            reason,
            detail: detail.into(),
            problems: Vec::new(),
        }
    }

    fn fields(status: StatusCode, reason: &'static str, invalid: InvalidJob) -> Problem {
        let detail = invalid.to_string();
        let problems = invalid.problems.into_iter();
        let answer = |FieldProblem { path, problem }| FieldAnswer::of(path, problem);
        Problem {
            problems: problems.map(answer).collect(),
            ..Problem::new(status, reason, detail)
        }
    }

    pub(in crate::web) fn field(path: &str, problem: impl Into<String>) -> Problem {
        let problem = problem.into();
        let detail = format!("{path}: {problem}");
        Problem {
            problems: vec![FieldAnswer::of(path.to_owned(), problem)],
            ..Problem::new(StatusCode::BAD_REQUEST, "INVALID_FIELD", detail)
        }
    }

    /// What is wrong with a spec, by line and column.
    pub(in crate::web) fn written(problems: Vec<spec::Problem>) -> Problem {
        let answer = |problem: &spec::Problem| FieldAnswer {
            line: problem.line_and_column().map(|(line, _)| line),
            column: problem.line_and_column().map(|(_, column)| column),
            ..FieldAnswer::of(problem.path().to_owned(), problem.message().to_owned())
        };
        let sentences: Vec<String> = problems
            .iter()
            .map(|problem| problem.display("spec").to_string())
            .collect();
        Problem {
            problems: problems.iter().map(answer).collect(),
            ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_JOB", sentences.join("; "))
        }
    }
}

impl FieldAnswer {
    fn of(path: String, problem: String) -> FieldAnswer {
        FieldAnswer {
            path,
            problem,
            line: None,
            column: None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

impl From<InvalidJob> for Problem {
    fn from(invalid: InvalidJob) -> Self {
        Problem::fields(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_JOB", invalid)
    }
}

impl From<Stopped> for Problem {
    fn from(stopped: Stopped) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "SHUTTING_DOWN", stopped.to_string())
    }
}

impl From<LookupError> for Problem {
    fn from(error: LookupError) -> Self {
        let detail = error.to_string();
        match error {
            LookupError::NoSuchRun(_) => Problem::new(StatusCode::NOT_FOUND, "NO_SUCH_RUN", detail),
            LookupError::NoSuchWorker(_) => Problem::new(StatusCode::NOT_FOUND, "NO_SUCH_WORKER", detail),
            LookupError::NoSuchBatch { .. } => Problem::new(StatusCode::NOT_FOUND, "NO_SUCH_BATCH", detail),
            LookupError::NotFinishing { .. } => Problem::new(StatusCode::CONFLICT, "RUN_NOT_FINISHING", detail),
            LookupError::RunEnded { .. } => Problem::new(StatusCode::CONFLICT, "RUN_ENDED", detail),
            LookupError::Invalid(invalid) => Problem::fields(StatusCode::BAD_REQUEST, "INVALID_FIELD", invalid),
            LookupError::Refused(refused) => Problem::new(StatusCode::CONFLICT, reason_of(&refused), detail),
            LookupError::InvalidField(FieldProblem { path, problem }) => Problem::field(&path, problem),
            LookupError::Retry(RetryError::NotFailed { .. }) => {
                Problem::new(StatusCode::NOT_FOUND, "NO_SUCH_BATCH", detail)
            }
            LookupError::Retry(RetryError::NoSuchOp { .. }) => Problem::field("op", detail),
            LookupError::Retry(RetryError::NoSuchRun(_)) => Problem::new(StatusCode::NOT_FOUND, "NO_SUCH_RUN", detail),
            LookupError::Retry(RetryError::NotRetryable(_)) => {
                Problem::new(StatusCode::CONFLICT, "NOT_RETRYABLE", detail)
            }
            LookupError::Retry(RetryError::TargetTaken(_)) => {
                Problem::new(StatusCode::CONFLICT, "TARGET_TAKEN", detail)
            }
            LookupError::Archive(_) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "JOURNAL_UNREADABLE", detail),
            LookupError::Timeline(_) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "TIMELINE_UNREADABLE", detail),
            LookupError::Stopped(stopped) => stopped.into(),
        }
    }
}

impl From<TimelineError> for Problem {
    fn from(error: TimelineError) -> Self {
        LookupError::from(error).into()
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let detail = error.to_string();
        match error {
            SubmitError::Invalid(invalid) => invalid.into(),
            SubmitError::TargetTaken(_) => Problem::new(StatusCode::CONFLICT, "TARGET_TAKEN", detail),
            SubmitError::RequestIdTaken(_) => Problem::new(StatusCode::CONFLICT, "REQUEST_ID_TAKEN", detail),
            SubmitError::Rerun(RerunRefused::NoSuchRun(_)) => {
                Problem::new(StatusCode::NOT_FOUND, "NO_SUCH_RUN", detail)
            }
            SubmitError::Rerun(RerunRefused::NoSuchOp { .. }) => Problem::field("from", detail),
            SubmitError::Rerun(RerunRefused::Archive(_)) => {
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "JOURNAL_UNREADABLE", detail)
            }
            SubmitError::Rerun(_) => Problem::new(StatusCode::CONFLICT, "NOT_RERUNNABLE", detail),
            SubmitError::Stopped(stopped) => stopped.into(),
            SubmitError::CheckFailed => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", detail),
        }
    }
}

fn reason_of(refused: &AskRefused) -> &'static str {
    match refused {
        AskRefused::Ended { .. } => "RUN_ENDED",
        AskRefused::Stopping { .. } => "RUN_STOPPING",
    }
}
