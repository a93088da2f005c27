//! `/workers`: the sessions of workers, how busy they are, and draining; below them what runs share.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use scheduler::{WorkerState, WorkerView};

use super::format::{ago, bytes, count, percent};
use super::layout::{Frame, Place};
use super::runs::state_mark;
use super::{PartQuery, Site, limits};
use crate::service::{LookupError, PageRequest};
use crate::vitals::Vitals;
use common::time::Time;

/// How many sessions the page shows.
const SHOWN: u32 = 500;

/// Shows the page.
pub(super) async fn page(State(site): State<Site>, Query(query): Query<PartQuery>) -> Response {
    let request = PageRequest {
        size: Some(SHOWN),
        token: String::new(),
    };
    let found = async {
        let workers = site.service.workers(request).await?;
        let shared = (site.service.cluster().await?, site.service.pools().await?);
        Ok::<_, LookupError>((workers, shared))
    };
    match found.await {
        Ok((workers, (cluster, pools))) => {
            let frame = Frame {
                title: "Workers",
                place: Place::Workers,
                script: "workers.js",
                ahead: None,
            };
            let workers = workers.items.into_iter();
            let workers = workers.map(|worker| (site.service.vitals().of(worker.session), worker));
            let shared = limits::shared(&cluster, &pools);
            site.answer(&frame, query.part, body(&workers.collect::<Vec<_>>(), &shared))
        }
        Err(error) => site.refuse(&error),
    }
}

fn body(workers: &[(Vitals, WorkerView)], shared: &Markup) -> Markup {
    let sum = |value: &dyn Fn(&(Vitals, WorkerView)) -> u64| workers.iter().map(value).sum::<u64>();
    let rate: f64 = workers.iter().map(|(vitals, _)| vitals.tasks_per_second).sum();
    // The worker that was heard last tells the time well enough.
    let heard = workers.iter().map(|(_, worker)| worker.last_heard);
    let now = heard.max().unwrap_or(Time::ZERO);
    html! {
        div id="workers" data-live {
            h1 { "Workers" }
            @if workers.is_empty() {
                section class="card" {
                    h2 { "No worker is connected" }
                    p { "Runs wait until there is one. Start a worker on any machine that reaches the coordinator:" }
                    pre { "plumb worker" }
                }
            } @else {
                p class="quiet" {
                    (count(sum(&|(_, worker)| worker.busy.into()))) " of " (count(sum(&|(_, worker)| worker.slots.into())))
                    " slots are busy · " (per_second(rate)) " tasks a second · " (bytes(sum(&|(vitals, _)| vitals.rss_bytes))) " of memory"
                }
                div class="scroll" role="region" aria-label="Workers" tabindex="0" {
                    table {
                        thead { tr {
                            th scope="col" { "Worker" }
                            th scope="col" { "State" }
                            th scope="col" { "Busy slots" }
                            th scope="col" class="number" { "Tasks/s" }
                            th scope="col" class="number" { "Tasks done" }
                            th scope="col" class="number" { "Memory" }
                            th scope="col" class="number" { "Kept outputs" }
                            th scope="col" class="number" { "Last heard" }
                            th scope="col" { "Version" }
                            th scope="col" { "Session" }
                            th scope="col" { span class="sr" { "Actions" } }
                        } }
                        tbody { @for (vitals, worker) in workers { (row(vitals, worker, now)) } }
                    }
                }
            }
            p id="workers-said" role="status" data-keep {}
            (shared)
        }
    }
}

fn row(vitals: &Vitals, worker: &WorkerView, now: Time) -> Markup {
    let name = worker.worker.as_str();
    let share = f64::from(worker.busy) / f64::from(worker.slots.max(1));
    let ops: Vec<&str> = worker.ops.iter().map(String::as_str).collect();
    html! {
        tr data-key=(worker.session) {
            td class="name" title={ "Can do " (ops.join(", ")) } { (name) }
            td { (state_mark(state_name(worker.state))) }
            td {
                span class="bar" {
                    svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
                        rect class="done" height="8" width=(format!("{:.1}", share * 100.0)) {}
                    }
                }
                (worker.busy) " of " (worker.slots) " " small class="quiet" { (percent(share)) }
            }
            td class="number" { (per_second(vitals.tasks_per_second)) }
            td class="number" { (count(vitals.tasks_done)) }
            td class="number" { @if vitals.rss_bytes > 0 { (bytes(vitals.rss_bytes)) } @else { "–" } }
            td class="number" {
                (bytes(vitals.parked_bytes))
                @if vitals.spilled_bytes > 0 { " " small class="quiet" { (bytes(vitals.spilled_bytes)) " on disk" } }
            }
            td class="number" { (ago(worker.last_heard, now)) }
            td class="quiet" { (vitals.version) }
            td class="quiet" { (worker.session) }
            td {
                @if worker.state == WorkerState::Live {
                    button type="button" data-drain=(name) aria-label={ "Drain " (name) } { "Drain" }
                }
            }
        }
    }
}

fn per_second(rate: f64) -> String {
    if rate < 10.0 {
        format!("{rate:.1}")
    } else {
        count(rate.round() as u64)
    }
}

fn state_name(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Live => "live",
        WorkerState::Disconnected => "disconnected",
        WorkerState::Draining => "draining",
        WorkerState::Fenced => "fenced",
    }
}
