//! Commands to a run that goes on, or goes on again. A body may be left out where every field has a default.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::ids::BatchId;
use common::steering::{Asker, CancelMode, RunCommand};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Problem, run_id, shapes};
use crate::driver::RetrySelection;
use crate::service::Service;

/// How to cancel.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    #[serde(default)]
    mode: Mode,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Now,
    AfterRunning,
}

/// A command that has nothing to say but itself.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

type Run = Path<String>;
type Answer = Result<Response, Problem>;

pub(super) async fn cancel(State(service): State<Service>, Path(run): Run, body: Bytes) -> Answer {
    let mode = match read::<Cancel>(&body)?.mode {
        Mode::Now => CancelMode::Now,
        Mode::AfterRunning => CancelMode::AfterRunning,
    };
    steer(&service, &run, RunCommand::Cancel(mode)).await
}

pub(super) async fn pause(State(service): State<Service>, Path(run): Run, body: Bytes) -> Answer {
    let Nothing {} = read(&body)?;
    steer(&service, &run, RunCommand::Pause { reason: None }).await
}

pub(super) async fn resume(State(service): State<Service>, Path(run): Run, body: Bytes) -> Answer {
    let Nothing {} = read(&body)?;
    steer(&service, &run, RunCommand::Resume).await
}

/// Which failed batches to try again.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retry {
    #[serde(default)]
    op: Option<String>,
    #[serde(default)]
    batches: Vec<String>,
}

pub(super) async fn retry(State(service): State<Service>, Path(run): Run, body: Bytes) -> Answer {
    let asked: Retry = read(&body)?;
    let parsed = |batch: &String| {
        let id: Result<BatchId, _> = batch.parse();
        id.map_err(|error| Problem::field("batches", error.to_string()))
    };
    let selection = RetrySelection {
        op: asked.op,
        batches: asked.batches.iter().map(parsed).collect::<Result<_, _>>()?,
    };
    let (view, batches) = service.retry_failed(run_id(&run)?, selection, Asker::Web).await?;
    let answer = Json(json!({"run": shapes::run(&view), "batches": batches}));
    Ok((StatusCode::ACCEPTED, answer).into_response())
}

async fn steer(service: &Service, run: &str, command: RunCommand) -> Answer {
    let view = service.steer(Asker::Web, run_id(run)?, command).await?;
    Ok((StatusCode::ACCEPTED, Json(shapes::run(&view))).into_response())
}

pub(super) fn read<T: Default + DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "INVALID_JSON", error.to_string()))
}
