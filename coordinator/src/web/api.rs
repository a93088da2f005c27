//! The HTTP API: the service's answers as JSON, tiles and event streams.
//!
//! Owns routes, shapes and headers, and no state. The contract is below; the pages are built on it and on nothing else.
#![doc = include_str!("API.md")]

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use common::ids::RunId;
use common::summary::RunSummary;
use serde::{Deserialize, Serialize};

use super::SECURITY_HEADERS;
use crate::service::{LookupError, PageRequest, RunView, Service};

/// Returns every route below `/api`.
pub(super) fn router() -> Router<Service> {
    Router::new().route("/runs", get(runs)).route("/runs/{run}", get(run))
}

/// Which runs to list.
#[derive(Debug, Deserialize)]
struct RunsQuery {
    page_size: Option<u32>,
    #[serde(default)]
    page_token: String,
}

/// A page of runs.
#[derive(Debug, Serialize)]
struct RunsAnswer {
    runs: Vec<RunAnswer>,
    next_page_token: String,
}

/// A run.
#[derive(Debug, Serialize)]
struct RunAnswer {
    id: String,
    wall_seconds: f64,
    ops: Vec<String>,
    #[serde(flatten)]
    summary: RunSummary,
}

/// Why there is no answer.
#[derive(Debug, Serialize)]
struct ErrorAnswer {
    error: String,
}

/// Lists runs, newest first.
async fn runs(State(service): State<Service>, Query(query): Query<RunsQuery>) -> Response {
    let page = PageRequest {
        size: query.page_size,
        token: query.page_token,
    };
    answer(service.runs(page).await.map(|page| RunsAnswer {
        runs: page.items.iter().map(RunAnswer::from).collect(),
        next_page_token: page.next_token,
    }))
}

/// Shows a run.
async fn run(State(service): State<Service>, Path(run): Path<String>) -> Response {
    match run.parse::<RunId>() {
        Ok(run) => answer(
            service
                .run(run)
                .await
                .as_ref()
                .map(RunAnswer::from)
                .map_err(Clone::clone),
        ),
        Err(error) => refuse(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

impl From<&RunView> for RunAnswer {
    fn from(view: &RunView) -> Self {
        RunAnswer {
            id: view.summary.run.to_string(),
            wall_seconds: view.summary.wall_seconds(view.now),
            ops: view.job.ops.iter().map(|op| op.name.clone()).collect(),
            summary: RunSummary::clone(&view.summary),
        }
    }
}

fn answer(outcome: Result<impl Serialize, LookupError>) -> Response {
    match outcome {
        Ok(found) => (SECURITY_HEADERS, Json(found)).into_response(),
        Err(error) => {
            let code = match &error {
                LookupError::NoSuchRun(_) | LookupError::NoSuchWorker(_) | LookupError::NoSuchBatch { .. } => {
                    StatusCode::NOT_FOUND
                }
                LookupError::InvalidField(_) => StatusCode::BAD_REQUEST,
                LookupError::NotFinishing { .. } => StatusCode::CONFLICT,
                LookupError::Stopped(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            refuse(code, error.to_string())
        }
    }
}

fn refuse(code: StatusCode, error: String) -> Response {
    (code, SECURITY_HEADERS, Json(ErrorAnswer { error })).into_response()
}
