//! `/`: the runs, newest first; two or three of them can be picked and compared.

use axum::extract::{Query, State};
use axum::response::Response;
use common::summary::RunSummary;
use common::time::Time;
use maud::{Markup, html};
use serde::Deserialize;

use super::format::{ago, count, estimated_total, seconds, seconds_left, shares, words};
use super::layout::{Frame, Place};
use super::{Part, Site};
use crate::service::{LookupError, Page, PageRequest, RunView};

/// How many runs one page shows.
const SHOWN: u32 = 50;

/// The sample jobs, as they lie in the repository.
const SAMPLES: [(&str, &str); 3] = [
    ("static_job", include_str!("../../../../data/jobs/static_job.json")),
    ("dynamic_job", include_str!("../../../../data/jobs/dynamic_job.json")),
    (
        "prio_dynamic_job",
        include_str!("../../../../data/jobs/prio_dynamic_job.json"),
    ),
];

/// Which runs are wanted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RunsQuery {
    #[serde(default)]
    part: Part,
    #[serde(default)]
    page_token: String,
}

/// Shows the page.
pub(super) async fn page(State(site): State<Site>, Query(query): Query<RunsQuery>) -> Response {
    let request = PageRequest {
        size: Some(SHOWN),
        token: query.page_token,
    };
    let found = async {
        let runs = site.service.runs(request).await?;
        let workers = site.service.workers(PageRequest::default()).await?;
        Ok::<_, LookupError>((runs, workers.items.iter().map(|worker| u64::from(worker.slots)).sum()))
    };
    match found.await {
        Ok((runs, slots)) => {
            let frame = Frame {
                title: "Runs",
                place: Place::Runs,
                script: "runs.js",
                ahead: None,
            };
            site.answer(&frame, query.part, body(&runs, slots))
        }
        Err(error) => site.refuse(&error),
    }
}

fn body(runs: &Page<RunView>, slots: u64) -> Markup {
    html! {
        div id="runs" data-live {
            div class="row between" {
                h1 { "Runs" }
                div class="row tools" {
                    @if let Some(samples) = samples_among(&runs.items) {
                        a class="button" href={ "/compare?runs=" (samples) } { "Compare the three sample jobs" }
                    }
                    a class="button" href="/new" { "New run" }
                }
            }
            @if slots == 0 {
                div class="notice calm" role="note" {
                    "No worker is connected, so nothing can run. Start one: " code { "plumb worker" }
                }
            }
            @if runs.items.is_empty() {
                (empty())
            } @else {
                (list(runs))
            }
        }
    }
}

/// Returns the newest run of each sample job, as a comparison names them; `None` unless there is one of each.
fn samples_among(runs: &[RunView]) -> Option<String> {
    let newest = |name: &str| runs.iter().find(|view| view.summary.job == name);
    let found: Option<Vec<String>> = SAMPLES
        .iter()
        .map(|(name, _)| newest(name).map(|view| view.summary.run.to_string()))
        .collect();
    found.map(|runs| runs.join(","))
}

/// What stands where the first run will be.
fn empty() -> Markup {
    html! {
        section class="card" aria-labelledby="samples" {
            h2 id="samples" { "Nothing has run yet" }
            p {
                "The sample jobs send the same 801 rows through the same chain in three ways: as one block, all batches "
                "side by side, and depth first. Start them and compare their charts."
            }
            (start_samples("Start the three sample jobs"))
            p class="quiet" { "Or from a shell: " code { "plumb submit data/jobs/prio_dynamic_job.yaml" } }
        }
    }
}

fn start_samples(label: &str) -> Markup {
    html! {
        p class="row" {
            button class="primary" type="button" data-samples { (label) }
            span role="status" data-samples-said {}
        }
        @for (name, job) in SAMPLES { span hidden data-sample=(name) data-job=(job) {} }
    }
}

fn list(runs: &Page<RunView>) -> Markup {
    html! {
        form action="/compare" id="compare" {
            div class="scroll" role="region" aria-label="Runs" tabindex="0" {
                table {
                    thead {
                        tr {
                            th scope="col" { span class="sr" { "Pick" } }
                            th scope="col" { "Run" }
                            th scope="col" { "Job" }
                            th scope="col" { "State" }
                            th scope="col" { "Batches" }
                            th scope="col" class="number" { "In flight / bound" }
                            th scope="col" { "Over time" }
                            th scope="col" class="number" { "Failed" }
                            th scope="col" class="number" { "Time" }
                            th scope="col" class="number" { "Left" }
                            th scope="col" class="number" { "Started" }
                        }
                    }
                    tbody { @for view in &runs.items { (row(view)) } }
                }
            }
            div class="row bottom" {
                button class="primary" type="submit" id="compare-button" { "Compare" }
                span id="compare-said" class="quiet" role="status" { "Pick two or three runs." }
            }
        }
        @if !runs.next_token.is_empty() {
            p class="pager" { a href={ "/?page_token=" (runs.next_token) } { "Older runs" } }
        }
        details class="card" {
            summary { "Sample jobs" }
            p { "The same rows through the same chain: static, breadth first, depth first." }
            (start_samples("Start the three sample jobs"))
        }
    }
}

fn row(view: &RunView) -> Markup {
    let summary: &RunSummary = &view.summary;
    let run = summary.run.to_string();
    let state = summary.state.as_str();
    html! {
        tr data-key=(run) data-state=(state) {
            td { input type="checkbox" name="runs" value=(run) aria-label={ "Pick " (run) } data-keep; }
            td { a href={ "/runs/" (run) } { (run) } }
            td class="name" { (summary.job) }
            td { (state_mark(state)) }
            td { (bar(summary)) }
            td class="number" { (in_flight(summary)) }
            td { canvas class="strip" data-strip=(run) data-keep role="img" aria-label="Batches in flight over time" {} }
            td class="number" { (count(summary.batches.failed)) }
            td class="number" { (seconds(summary.wall_seconds(view.now))) }
            td class="number" { (left(summary, view.now)) }
            td class="number quiet" { (ago(summary.accepted, view.now)) }
        }
    }
}

/// A state as a shape and a word.
pub(super) fn state_mark(state: &str) -> Markup {
    html! { span class={ "state " (state) } { (words(state)) } }
}

/// How far a run is, as a bar and as numbers.
fn bar(summary: &RunSummary) -> Markup {
    let about = if summary.total_is_exact { "" } else { "≈" };
    html! {
        span class="bar" { (segments(summary)) }
        span { (count(summary.batches.committed)) " of " (about) (count(estimated_total(summary))) }
    }
}

/// How far a run is, as a bar over the whole width.
pub(super) fn wide_bar(summary: &RunSummary) -> Markup {
    let says = format!(
        "{} batches loaded, {} failed, {} in flight, of {}",
        count(summary.batches.committed),
        count(summary.batches.failed),
        count(summary.batches_in_flight.now + summary.committing.now),
        count(estimated_total(summary)),
    );
    html! { div class="bar wide" role="img" aria-label=(says) { (segments(summary)) } }
}

fn segments(summary: &RunSummary) -> Markup {
    let part = shares(summary);
    let at = |share: f64| format!("{:.2}", share * 100.0);
    html! {
        svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect class="done" x="0" y="0" height="8" width=(at(part.done)) {}
            rect class="flight" x=(at(part.done)) y="0" height="8" width=(at(part.in_flight)) {}
            rect class="bad" x=(at(part.done + part.in_flight)) y="0" height="8" width=(at(part.failed)) {}
        }
    }
}

/// Batches in flight against their bound, with the peak.
fn in_flight(summary: &RunSummary) -> Markup {
    let gauge = summary.batches_in_flight;
    html! {
        (count(gauge.now)) " / "
        @match summary.max_in_flight {
            Some(bound) => (count(bound)),
            None => { span title="no bound is set" { "∞" } },
        }
        " " small class="quiet" { "peak " (count(gauge.peak)) }
    }
}

/// How long a run will take, if that can be said.
pub(super) fn left(summary: &RunSummary, now: Time) -> String {
    match seconds_left(summary, now) {
        Some(left) => format!("≈ {}", seconds(left)),
        None if summary.state.is_terminal() => "–".to_owned(),
        None => "not known".to_owned(),
    }
}
