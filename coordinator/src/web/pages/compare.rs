//! `/compare?runs=r1,r2,r3`: up to three charts at the same scale below a table of what differs.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use common::ids::RunId;
use maud::{Markup, html};

use super::format::{bytes, count, seconds};
use super::layout::{Frame, Place};
use super::runs::state_mark;
use super::{Part, Site};
use crate::service::RunView;

/// How many runs are compared at most.
const MOST: usize = 3;

/// Shows the page.
pub(super) async fn page(State(site): State<Site>, RawQuery(query): RawQuery) -> Response {
    let Some(runs) = wanted(&query.unwrap_or_default()) else {
        let sentence = "name one to three runs, as in /compare?runs=r1,r2,r3";
        return site.say(StatusCode::BAD_REQUEST, "Nothing to compare", sentence);
    };
    let mut views = Vec::with_capacity(runs.len());
    for run in runs {
        match site.service.run(run).await {
            Ok(view) => views.push(view),
            Err(error) => return site.refuse(&error),
        }
    }
    let frame = Frame {
        title: "Compare",
        place: Place::Runs,
        script: "compare.js",
        ahead: None,
    };
    site.answer(&frame, Part::Page, body(&views))
}

/// Reads `runs=r1,r2` and `runs=r1&runs=r2`; `None` if that names no run, too many, or something else.
fn wanted(query: &str) -> Option<Vec<RunId>> {
    let values = query.split('&').filter_map(|pair| pair.strip_prefix("runs="));
    let names = values
        .flat_map(|value| value.split([',']))
        .flat_map(|value| value.split("%2C"));
    let runs: Vec<RunId> = names.map(|name| name.parse().ok()).collect::<Option<_>>()?;
    (!runs.is_empty() && runs.len() <= MOST).then_some(runs)
}

fn body(views: &[RunView]) -> Markup {
    html! {
        h1 { "Compare" }
        (table(views))
        p class="quiet" { "All charts have the same scale: a second is as wide in each of them." }
        div id="compared" class="compared" {
            @for view in views {
                section aria-label={ "Chart of " (view.summary.job) } {
                    h2 { (view.summary.job) " " a href={ "/runs/" (view.summary.run) } { (view.summary.run) } }
                    div class="chart" data-run=(view.summary.run) {}
                }
            }
        }
    }
}

/// A line of the table: what it is called, what it says of a run, and the number that decides which run is best.
type Line = (&'static str, fn(&RunView) -> String, fn(&RunView) -> Option<f64>);

const LINES: [Line; 6] = [
    ("Wall time", |view| seconds(wall(view)), |view| Some(wall(view))),
    (
        "First batch loaded after",
        |view| first_loaded(view).map_or_else(|| "–".to_owned(), seconds),
        first_loaded,
    ),
    (
        "Peak of batches in flight",
        |view| count(view.summary.batches_in_flight.peak),
        |view| Some(view.summary.batches_in_flight.peak as f64),
    ),
    (
        "Peak of bytes in flight",
        |view| bytes(view.summary.bytes_in_flight.peak),
        |view| Some(view.summary.bytes_in_flight.peak as f64),
    ),
    (
        "Peak of tasks running",
        |view| count(view.summary.tasks_running.peak),
        |_| None,
    ),
    ("Rows loaded", |view| count(view.summary.rows.loaded), |_| None),
];

/// What scripts compute from the tasks themselves.
const COMPUTED: [(&str, &str); 3] = [
    ("busy", "Slots busy, of the cap"),
    ("p50", "Wait of a task, median"),
    ("p95", "Wait of a task, 95th percentile"),
];

fn table(views: &[RunView]) -> Markup {
    html! {
        div class="scroll" role="region" aria-label="What differs" tabindex="0" {
            table {
                thead { tr {
                    th scope="col" { "What" }
                    @for view in views {
                        th scope="col" class="number" { (view.summary.job) " " a href={ "/runs/" (view.summary.run) } { (view.summary.run) } }
                    }
                } }
                tbody {
                    tr {
                        th scope="row" { "State" }
                        @for view in views { td class="number" { (state_mark(view.summary.state.as_str())) } }
                    }
                    @for (name, say, number) in LINES {
                        @let best = least(views, number);
                        tr {
                            th scope="row" { (name) }
                            @for view in views {
                                td class="number" {
                                    @match (best, number(view)) {
                                        (Some(best), Some(own)) if own <= best => strong { (say(view)) " " span class="quiet" { "least" } },
                                        (Some(best), Some(own)) if best > 0.0 => { (say(view)) " " span class="quiet" { (times(own / best)) } },
                                        (Some(_), Some(_)) | (None, _) | (Some(_), None) => (say(view)),
                                    }
                                }
                            }
                        }
                    }
                    @for (key, name) in COMPUTED {
                        tr {
                            th scope="row" { (name) }
                            @for view in views { td class="number" data-computed={ (key) ":" (view.summary.run) } { "…" } }
                        }
                    }
                }
            }
        }
    }
}

/// Writes how many times as much something is.
fn times(ratio: f64) -> String {
    if ratio < 1.05 {
        "about the same".to_owned()
    } else {
        format!("× {ratio:.1}")
    }
}

/// Returns the least of several different numbers.
fn least(views: &[RunView], number: fn(&RunView) -> Option<f64>) -> Option<f64> {
    let numbers: Vec<f64> = views.iter().filter_map(number).collect();
    let least = numbers.iter().copied().reduce(f64::min)?;
    let most = numbers.iter().copied().reduce(f64::max)?;
    (numbers.len() > 1 && least < most).then_some(least)
}

fn wall(view: &RunView) -> f64 {
    view.summary.wall_seconds(view.now)
}

fn first_loaded(view: &RunView) -> Option<f64> {
    let loaded = view.summary.first_batch_loaded?;
    Some(loaded.seconds_since(view.summary.accepted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_named_in_one_value_or_in_several() {
        let both = Some(vec![RunId(1), RunId(2)]);
        assert_eq!(wanted("runs=r1,r2"), both);
        assert_eq!(wanted("runs=r1%2Cr2"), both);
        assert_eq!(wanted("runs=r1&runs=r2"), both);
        assert_eq!(wanted("runs=r1,r2,r3,r4"), None);
        assert_eq!(wanted("runs=%3Cscript%3E"), None);
        assert_eq!(wanted(""), None);
    }
}
