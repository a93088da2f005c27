//! `/workers`: the sessions of workers, how busy they are, and draining.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use scheduler::{WorkerState, WorkerView};

use super::format::{ago, count};
use super::layout::{Frame, Place};
use super::runs::state_mark;
use super::{PartQuery, Site};
use crate::service::PageRequest;
use common::time::Time;

/// How many sessions the page shows.
const SHOWN: u32 = 500;

/// Shows the page.
pub(super) async fn page(State(site): State<Site>, Query(query): Query<PartQuery>) -> Response {
    let request = PageRequest {
        size: Some(SHOWN),
        token: String::new(),
    };
    match site.service.workers(request).await {
        Ok(workers) => {
            let frame = Frame {
                title: "Workers",
                place: Place::Workers,
                script: "workers.js",
            };
            site.answer(&frame, query.part, body(&workers.items))
        }
        Err(error) => site.refuse(&error),
    }
}

fn body(workers: &[WorkerView]) -> Markup {
    let slots: u64 = workers.iter().map(|worker| u64::from(worker.slots)).sum();
    let busy: u64 = workers.iter().map(|worker| u64::from(worker.busy)).sum();
    // The worker that was heard last tells the time well enough.
    let now = workers
        .iter()
        .map(|worker| worker.last_heard)
        .max()
        .unwrap_or(Time::ZERO);
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
                p class="quiet" { (count(busy)) " of " (count(slots)) " slots are busy." }
                div class="scroll" role="region" aria-label="Workers" tabindex="0" {
                    table {
                        thead { tr {
                            th scope="col" { "Worker" }
                            th scope="col" { "State" }
                            th scope="col" { "Busy slots" }
                            th scope="col" class="number" { "Last heard" }
                            th scope="col" { "Ops" }
                            th scope="col" { "Session" }
                            th scope="col" { span class="sr" { "Actions" } }
                        } }
                        tbody { @for worker in workers { (row(worker, now)) } }
                    }
                }
            }
            p id="workers-said" role="status" data-keep {}
        }
    }
}

fn row(worker: &WorkerView, now: Time) -> Markup {
    let name = worker.worker.as_str();
    let share = f64::from(worker.busy) / f64::from(worker.slots.max(1));
    html! {
        tr data-key=(worker.session) {
            td class="name" { (name) }
            td { (state_mark(state_name(worker.state))) }
            td {
                span class="bar" {
                    svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
                        rect class="done" height="8" width=(format!("{:.1}", share * 100.0)) {}
                    }
                }
                (worker.busy) " of " (worker.slots) " " small class="quiet" { (format!("{:.0} %", share * 100.0)) }
            }
            td class="number" { (ago(worker.last_heard, now)) }
            td class="wrap quiet" {
                @for (place, op) in worker.ops.iter().enumerate() { @if place > 0 { ", " } (op) }
            }
            td class="quiet" { (worker.session) }
            td {
                @if worker.state == WorkerState::Live {
                    button type="button" data-drain=(name) aria-label={ "Drain " (name) } { "Drain" }
                }
            }
        }
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
