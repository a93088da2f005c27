//! `/runs/{run}`: the numbers of one run above its chart, and the places that scripts fill.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use common::ids::{OpId, RunId};
use common::summary::Stall;
use maud::{Markup, html};

use super::format::{ago, bytes, count, seconds};
use super::layout::{Frame, Place};
use super::runs::{bar, in_flight, left, state_mark};
use super::{PartQuery, Site};
use crate::service::RunView;

/// The tabs below the chart: what is behind them is loaded when they are opened.
const TABS: [(&str, &str); 5] = [
    ("failures", "Failures"),
    ("tasks", "Tasks"),
    ("batches", "Batches"),
    ("spec", "Spec"),
    ("activity", "Activity"),
];

/// Shows the page.
pub(super) async fn page(
    State(site): State<Site>,
    Path(run): Path<String>,
    Query(query): Query<PartQuery>,
) -> Response {
    let run: RunId = match run.parse() {
        Ok(run) => run,
        Err(error) => return site.say(StatusCode::NOT_FOUND, "There is no such run", &format!("{error}")),
    };
    match site.service.run(run).await {
        Ok(view) => {
            let title = format!("{} · {run}", view.job.name);
            let frame = Frame {
                title: &title,
                place: Place::Runs,
                script: "run.js",
            };
            let body = match query.part {
                super::Part::Page => body(&view),
                super::Part::Live => head(&view),
            };
            site.answer(&frame, query.part, body)
        }
        Err(error) => site.refuse(&error),
    }
}

fn body(view: &RunView) -> Markup {
    html! {
        (head(view))
        div id="side" class="side" {
            div id="chart" class="chart" data-run=(view.summary.run) {
                p class="scale" { "The chart is drawn by a script. Without one, the tasks are at "
                    a href={ "/api/runs/" (view.summary.run) "/tasks.csv" } { "tasks.csv" } "." }
            }
            section id="drawer" class="drawer" aria-label="The selected task" hidden {}
        }
        (tabs())
        dialog id="cancel-dialog" aria-labelledby="cancel-title" {
            h2 id="cancel-title" { "Cancel this run?" }
            p id="cancel-loses" {}
            p class="row" {
                button type="button" class="danger" id="cancel-yes" { "Cancel the run" }
                button type="button" id="cancel-no" { "Let it go on" }
            }
            p role="alert" id="cancel-said" {}
        }
    }
}

/// The part above the chart, which follows the run.
fn head(view: &RunView) -> Markup {
    let summary = &view.summary;
    let state = summary.state.as_str();
    let run = summary.run;
    html! {
        div id="head" data-live data-state=(state) {
            div class="row between" {
                div class="row" {
                    h1 { (summary.job) }
                    span class="quiet" { (run) }
                    (state_mark(state))
                    span class="quiet" { "started " (ago(summary.accepted, view.now)) }
                }
                div class="row tools" {
                    @if !summary.state.is_terminal() {
                        button type="button" class="danger" data-act="cancel" { "Cancel…" }
                    }
                    a class="button" href={ "/new?from=" (run) } { "Run again…" }
                }
            }
            @if let Some(stall) = &summary.stalled {
                div class="notice calm" role="note" { (stalled(view, stall)) }
            }
            @if let Some(failure) = &summary.failure {
                div class="notice" role="note" {
                    strong { "Failed" }
                    @if let Some(op) = failure.op { " in " code { (op_name(view, op)) } }
                    @if let Some(batch) = failure.batch { " on batch " code { (batch) } }
                    ": " (failure.failure.message)
                }
            }
            (facts(view))
        }
    }
}

fn facts(view: &RunView) -> Markup {
    let summary = &view.summary;
    let wall = summary.wall_seconds(view.now);
    let rate = if wall > 0.0 {
        summary.rows.loaded as f64 / wall
    } else {
        0.0
    };
    html! {
        dl class="facts" {
            div { dt { "Batches" } dd { (bar(summary)) } }
            div { dt { "In flight / bound" } dd { (in_flight(summary)) } }
            div { dt { "Running / cap" } dd {
                (count(summary.tasks_running.now)) " / " (count(summary.cap))
                " " small { "peak " (count(summary.tasks_running.peak)) }
            } }
            div { dt { "Bytes in flight" } dd {
                (bytes(summary.bytes_in_flight.now)) " " small { "peak " (bytes(summary.bytes_in_flight.peak)) }
            } }
            div { dt { "Rows loaded" } dd {
                (count(summary.rows.loaded)) " " small { (count(rate.round() as u64)) "/s" }
            } }
            div { dt { "Failed batches" } dd class=[(summary.batches.failed > 0).then_some("bad")] {
                (count(summary.batches.failed)) " "
                small { (count(summary.tasks.failed)) " attempts, " (count(summary.rows.rejected)) " rejects" }
            } }
            div { dt { "First batch loaded" } dd {
                @match summary.first_batch_loaded {
                    Some(time) => (seconds(time.seconds_since(summary.accepted))),
                    None => "–",
                }
            } }
            div { dt { "Time" } dd { (seconds(wall)) } }
            div { dt { "Left" } dd { (left(summary, view.now)) } }
        }
    }
}

fn stalled(view: &RunView, stall: &Stall) -> Markup {
    html! {
        @match stall {
            Stall::NoWorkers => { "Nothing runs because no worker is connected. Start one: " code { "plumb worker" } },
            Stall::NoWorkerWithOp { op } => {
                "Nothing runs because no connected worker can do " code { (op_name(view, *op)) } "."
            },
        }
    }
}

fn op_name(view: &RunView, op: OpId) -> &str {
    view.job.ops.get(op.index()).map_or("a later op", |op| &op.name)
}

fn tabs() -> Markup {
    html! {
        div class="tabs" role="tablist" aria-label="More about the run" {
            @for (place, (name, label)) in TABS.iter().enumerate() {
                button type="button" role="tab" id={ "tab-" (name) } data-tab=(name) aria-controls={ "panel-" (name) }
                    aria-selected=(if place == 0 { "true" } else { "false" })
                    tabindex=(if place == 0 { "0" } else { "-1" }) { (label) }
            }
        }
        @for (place, (name, _)) in TABS.iter().enumerate() {
            div class="tabpanel" role="tabpanel" id={ "panel-" (name) } aria-labelledby={ "tab-" (name) } tabindex="0"
                hidden[place != 0] {}
        }
    }
}
