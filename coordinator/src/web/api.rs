//! The HTTP API: the service's answers as JSON, tiles and event streams.
//!
//! Owns routes, shapes and headers, and no state. The contract is below; the pages are built on it and on nothing else.
#![doc = include_str!("API.md")]

mod chart;
mod commands;
mod events;
mod export;
mod limits;
mod logs;
mod problem;
mod runs;
mod shapes;
mod steering;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use common::ids::RunId;
use serde::Deserialize;

use crate::service::{PageRequest, RunView, Service};
use crate::timeline::TimelineView;

pub(super) use problem::Problem;

/// The largest job that is read, in bytes.
const MAX_BODY: usize = 1 << 20;

/// Returns every route below `/api`.
pub(super) fn router() -> Router<Service> {
    Router::new()
        .route("/runs", get(runs::list).post(commands::submit))
        .route("/runs/{run}", get(runs::show))
        .route("/runs/{run}/batches", get(runs::batches))
        .route("/runs/{run}/batches/{batch}", get(runs::batch))
        .route("/runs/{run}/spec", get(runs::spec))
        .route("/runs/{run}/activity", get(runs::activity))
        .route("/runs/{run}/cancel", post(steering::cancel))
        .route("/runs/{run}/pause", post(steering::pause))
        .route("/runs/{run}/resume", post(steering::resume))
        .route("/runs/{run}/retry", post(steering::retry))
        .route("/runs/{run}/rerun", post(commands::rerun))
        .route("/runs/{run}/limits", post(limits::change))
        .route("/runs/{run}/explain", get(limits::explain))
        .route("/pools", get(limits::pools).post(limits::set_pool))
        .route("/cluster/cap", post(limits::set_cap))
        .route("/runs/{run}/chart", get(chart::axes))
        .route("/runs/{run}/view", get(chart::view))
        .route("/runs/{run}/bars", get(chart::bars))
        .route("/runs/{run}/tiles/{by}/{k}/{r}/{i}/{j}", get(chart::tile))
        .route("/runs/{run}/totals", get(chart::totals))
        .route("/runs/{run}/series", get(chart::series))
        .route("/runs/{run}/tasks", get(chart::tasks))
        .route("/runs/{run}/failures", get(chart::failures))
        .route("/runs/{run}/logs", get(logs::list))
        .route("/runs/{run}/logs/events", get(logs::events))
        .route("/runs/{run}/trace.json", get(export::trace))
        .route("/runs/{run}/tasks.csv", get(export::csv))
        .route("/runs/{run}/events", get(events::of_run))
        .route("/events", get(events::of_all))
        .route("/workers", get(runs::workers))
        .route("/workers/{name}/drain", post(commands::drain))
        .route("/cluster", get(runs::cluster))
        .fallback(missing)
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize)]
struct PageQuery {
    page_size: Option<u32>,
    #[serde(default)]
    page_token: String,
}

impl From<PageQuery> for PageRequest {
    fn from(query: PageQuery) -> Self {
        PageRequest {
            size: query.page_size,
            token: query.page_token,
        }
    }
}

/// Returns what a run's page begins with, so that it need not ask: CHART and RUN.
pub(super) fn seed(view: &RunView, chart: &TimelineView) -> String {
    serde_json::json!({"chart": shapes::chart(view, chart), "run": shapes::run(view)}).to_string()
}

/// Returns the address of what a run's page shows first, on a screen of a common size: its whole chart by batch.
pub(super) fn first_view(run: RunId) -> String {
    format!("/api/runs/{run}/view?by=batch&width=1280&height=352&inline=1")
}

fn run_id(text: &str) -> Result<RunId, Problem> {
    text.parse()
        .map_err(|error: common::ids::InvalidId| Problem::field("run", error.to_string()))
}

async fn missing() -> Problem {
    let detail = "there is no such resource; see API.md for those there are";
    Problem::new(axum::http::StatusCode::NOT_FOUND, "NO_SUCH_RESOURCE", detail)
}
