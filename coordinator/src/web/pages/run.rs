//! `/runs/{run}`: the numbers of one run above its chart, and the places that scripts fill.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use common::ids::{OpId, RunId};
use common::state::RunState;
use common::summary::{RunSummary, Stall};
use maud::{Markup, html};

use super::format::{ago, bytes, count, estimated_total, percent, seconds, shares};
use super::layout::{Frame, Place};
use super::runs::{left, state_mark, wide_bar};
use super::{PartQuery, Site};
use crate::service::RunView;
use crate::web::api;

/// The tabs below the chart: what is behind them is loaded when they are opened.
const TABS: [(&str, &str); 6] = [
    ("failures", "Failures"),
    ("log", "Log"),
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
    let found = match query.part {
        // The page begins with what its chart is made of; what cannot be read it finds out by asking.
        super::Part::Page => site.service.recent_chart(run).await.ok(),
        super::Part::Live => None,
    };
    let seed = found.as_ref().map(|look| api::seed(&look.view, &look.chart));
    let view = match found {
        Some(look) => Ok(look.view.clone()),
        None => site.service.run(run).await,
    };
    match view {
        Ok(view) => {
            let title = format!("{} · {run}", view.job.name);
            let ahead = api::first_view(run);
            let frame = Frame {
                title: &title,
                place: Place::Runs,
                script: "run.js",
                ahead: Some(&ahead),
            };
            let body = match query.part {
                super::Part::Page => body(&view, &site.grpc, seed.as_deref(), &ahead),
                super::Part::Live => head(&view),
            };
            site.answer(&frame, query.part, body)
        }
        Err(error) => site.refuse(&error),
    }
}

fn body(view: &RunView, grpc: &str, seed: Option<&str>, ahead: &str) -> Markup {
    html! {
        (head(view))
        div id="side" class="side" {
            div id="chart" class="chart" data-run=(view.summary.run) data-seed=[seed] data-ahead=(ahead) {
                p class="scale" { "The chart is drawn by a script. Without one, the tasks are at "
                    a href={ "/api/runs/" (view.summary.run) "/tasks.csv" } { "tasks.csv" } "." }
            }
            section id="drawer" class="drawer" aria-label="The selected task" data-grpc=(grpc) hidden {}
        }
        (tabs())
    }
}

/// The part above the chart, which follows the run: alive? how far? when done? slots busy? memory bounded? what failed?
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
                    @if let Some(rerun) = &view.rerun_of {
                        span class="quiet" { "runs " a href={ "/runs/" (rerun.run) } { (rerun.run) } " again from " code { (rerun.from) } }
                    }
                }
                (tools(summary))
            }
            p id="steer-said" class="quiet" role="status" data-keep {}
            (wide_bar(summary))
            @if let Some(stall) = &summary.stalled {
                div class="notice calm" role="note" { (stalled(view, stall)) }
            }
            @if let Some(failure) = &summary.failure {
                div class="notice why" role="note" {
                    strong { "Failed" }
                    @if let Some(op) = failure.op { " in " code { (op_name(view, op)) } }
                    @if let Some(batch) = failure.batch { " on batch " code { (batch) } }
                    ": " (failure.failure.message)
                }
            }
            (facts(view))
            div id="first-failure" data-keep {}
        }
    }
}

/// The buttons that steer a run: those that its state allows.
fn tools(summary: &RunSummary) -> Markup {
    let is_over = summary.state.is_terminal();
    html! {
        div class="row tools" {
            @match summary.state {
                RunState::Queued | RunState::Running => button type="button" data-act="pause" { "Pause" },
                RunState::Paused => button type="button" class="primary" data-act="resume" { "Resume" },
                RunState::Succeeded | RunState::CompletedWithFailures | RunState::Failed | RunState::Cancelled => {}
            }
            @if summary.batches.failed > 0 {
                button type="button" data-act="retry" aria-haspopup="dialog" { "Retry " (count(summary.batches.failed)) " failed…" }
            }
            @if !is_over {
                button type="button" data-act="explain" aria-haspopup="dialog" { "Why not more?" }
                button type="button" data-act="limits" aria-haspopup="dialog" { "Limits…" }
                button type="button" data-act="cancel" class="danger" aria-haspopup="dialog" { "Cancel…" }
            }
            a class="button" href={ "/new?from=" (summary.run) } { "Run again…" }
        }
    }
}

fn facts(view: &RunView) -> Markup {
    let summary = &view.summary;
    let part = shares(summary);
    let about = if summary.total_is_exact { "" } else { "≈ " };
    let busy = summary.tasks_running;
    html! {
        dl class="facts" {
            (fact("Done", html! { (percent(part.done + part.failed)) }, html! {
                (count(summary.batches.committed + summary.batches.failed)) " of " (about) (count(estimated_total(summary))) " batches"
            }))
            (time_fact(view))
            (fact("Slots busy", html! { (count(busy.now)) " of " (count(summary.cap)) }, html! {
                @if summary.state.is_terminal() { "peak " (count(busy.peak)) }
                @else { (percent(busy.now as f64 / summary.cap.max(1) as f64)) " of what may run · peak " (count(busy.peak)) }
            }))
            (fact("Batches in flight", html! {
                (count(summary.batches_in_flight.now)) " of "
                @match summary.max_in_flight { Some(bound) => (count(bound)), None => "∞" }
            }, html! {
                "peak " (count(summary.batches_in_flight.peak)) " · "
                @if summary.max_in_flight.is_some() { "bounded" } @else { "no bound is set" }
            }))
            (fact("Memory held", html! { (bytes(summary.bytes_in_flight.now)) }, html! {
                "peak " (bytes(summary.bytes_in_flight.peak))
                @match view.job.schedule.in_flight_bytes_bound() {
                    Some(bound) => { " of " (bytes(bound)) },
                    None => " · no bound is set",
                }
            }))
            (rate_fact(view))
            (failures_fact(summary))
        }
    }
}

/// A number with what it means above it and what it is measured by below it.
fn fact(name: &str, value: Markup, more: Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) small { (more) } } } }
}

/// When the run will be done, or how long it took.
fn time_fact(view: &RunView) -> Markup {
    let summary = &view.summary;
    let wall = seconds(summary.wall_seconds(view.now));
    let first = match summary.first_batch_loaded {
        Some(time) => format!("first batch after {}", seconds(time.seconds_since(summary.accepted))),
        None => "no batch loaded yet".to_owned(),
    };
    if summary.state.is_terminal() {
        return fact("Took", html! { (wall) }, html! { (first) });
    }
    fact(
        "Left",
        html! { (left(summary, view.now)) },
        html! { (wall) " so far · " (first) },
    )
}

fn rate_fact(view: &RunView) -> Markup {
    let summary = &view.summary;
    let wall = summary.wall_seconds(view.now);
    let rate = if wall > 0.0 {
        summary.rows.loaded as f64 / wall
    } else {
        0.0
    };
    fact(
        "Rows loaded",
        html! { (count(summary.rows.loaded)) },
        html! {
            (count(rate.round() as u64)) " a second"
            @if summary.rows.filtered > 0 { " · " (count(summary.rows.filtered)) " filtered" }
        },
    )
}

fn failures_fact(summary: &RunSummary) -> Markup {
    let failed = summary.batches.failed;
    let words = if failed == 1 { " batch" } else { " batches" };
    html! {
        div class=[(failed + summary.tasks.failed > 0).then_some("bad")] {
            dt { "Failed" }
            dd { (count(failed)) (words) small {
                (count(summary.tasks.failed)) " attempts · " (count(summary.tasks.retried)) " retries"
                @if summary.rows.rejected > 0 { " · " (count(summary.rows.rejected)) " rows rejected" }
            } }
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
