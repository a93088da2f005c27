//! What tasks logged: pages, and lines as they come.

use std::convert::Infallible;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use common::ids::OpId;
use common::job::Job;
use common::time::Time;
use futures_util::StreamExt;
use futures_util::stream::once;
use serde::Deserialize;
use serde_json::{Value, json};

use super::events::KEEP_ALIVE;
use super::{Problem, run_id};
use crate::service::{Follow, RunView, Service};
use crate::timeline::{KeptLine, LogFilter, LogPage};

/// How many lines a page has, unless a client says so, and at most.
const PAGE: usize = 200;
const MAX_PAGE: usize = 1_000;

/// Which lines are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogQuery {
    op: Option<String>,
    batch: Option<String>,
    attempt: Option<u32>,
    level: Option<String>,
    q: Option<String>,
    after: String,
    page_size: Option<usize>,
}

impl LogQuery {
    fn filter(&self, job: &Job) -> Result<LogFilter, Problem> {
        let batch = self.batch.as_deref().map(|batch| {
            let parsed: Result<common::ids::BatchId, _> = batch.parse();
            parsed.map_err(|error| Problem::field("batch", error.to_string()))
        });
        let level = self.level.as_deref().map(|level| {
            let parsed: Result<common::logs::LogLevel, String> = level.parse();
            parsed.map_err(|problem| Problem::field("level", problem))
        });
        Ok(LogFilter {
            op: self.op.as_deref().map(|op| op_of(job, op)).transpose()?,
            batch: batch.transpose()?,
            attempt: self.attempt,
            level: level.transpose()?,
            text: self.q.clone().filter(|text| !text.is_empty()),
        })
    }

    fn after(&self) -> Result<u64, Problem> {
        if self.after.is_empty() {
            return Ok(0);
        }
        let problem = "pass on next as it came";
        self.after.parse().map_err(|_| Problem::field("after", problem))
    }
}

/// An op by its place in the chain or by its name.
fn op_of(job: &Job, text: &str) -> Result<OpId, Problem> {
    let by_name = job.ops.iter().position(|op| op.name == text);
    let place = text.parse().ok().filter(|place| *place < job.ops.len()).or(by_name);
    let op = place.and_then(|place| u16::try_from(place).ok());
    op.map(OpId).ok_or_else(|| Problem::field("op", "is no op of the run"))
}

pub(super) async fn list(
    State(service): State<Service>,
    Path(run): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Json<Value>, Problem> {
    let run = run_id(&run)?;
    let filter = query.filter(&service.run(run).await?.job)?;
    let size = query.page_size.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let (view, page) = service.logs(run, filter, query.after()?, size).await?;
    Ok(Json(page_shape(&view, &page)))
}

/// A viewer that comes back with the id of the last event gets what came behind it.
pub(super) async fn events(
    State(service): State<Service>,
    Path(run): Path<String>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = run_id(&run)?;
    let filter = query.filter(&service.run(run).await?.job)?;
    let seen = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok());
    let from = seen.map_or_else(|| query.after(), Ok)?;
    let permit = service.admit_viewer().ok_or_else(|| {
        let detail = "too many viewers follow events; close some pages";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_VIEWERS", detail)
    })?;
    let pages = service.tail_logs(run, filter, from, Follow::UntilTheEnd);
    let lines = pages
        .take_while(|page| std::future::ready(page.is_ok()))
        .filter_map(move |page| {
            let _held = &permit;
            let event = page.ok().map(|(view, page)| {
                let id = page.next.to_string();
                let text = page_shape(&view, &page).to_string();
                Ok::<_, Infallible>(Event::default().event("lines").id(id).data(text))
            });
            std::future::ready(event)
        });
    let end = once(async { Ok(Event::default().event("end").data("{}")) });
    Ok(Sse::new(lines.chain(end))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response())
}

fn page_shape(view: &RunView, page: &LogPage) -> Value {
    let accepted = view.summary.accepted;
    let lines = page.lines.iter().map(|(id, line)| line_shape(*id, line, accepted));
    json!({
        "lines": lines.collect::<Vec<_>>(),
        "next": page.next.to_string(),
        "dropped": page.dropped,
    })
}

fn line_shape(id: u64, kept: &KeptLine, accepted: Time) -> Value {
    let line = &kept.line;
    json!({
        "id": id,
        "at_us": line.at.0.saturating_sub(accepted.0) / 1_000,
        "level": line.level.as_str(),
        "op": line.op.0,
        "batch": line.batch.map(|batch| batch.to_string()),
        "attempt": line.attempt.0,
        "worker": kept.worker.as_ref().map(common::ids::WorkerName::as_str),
        "text": line.text,
    })
}
