//! `/new`: a job as YAML with a form above it that writes it, checked while it is typed, and the command lines that do the same.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::layout::{Frame, Place};
use super::{Part, Site};

/// What the editor begins with when it is given nothing else.
const FIRST_JOB: &str = include_str!("../../../../data/jobs/prio_dynamic_job.yaml");

/// Shows the page.
pub(super) async fn page(State(site): State<Site>) -> Response {
    let frame = Frame {
        title: "New run",
        place: Place::New,
        script: "new.js",
        ahead: None,
    };
    let body = body(&site.grpc);
    site.answer(&frame, Part::Page, body)
}

fn body(grpc: &str) -> Markup {
    html! {
        h1 { "New run" }
        form id="new" data-grpc=(grpc) class="editor" {
            section aria-labelledby="job-title" {
                h2 id="job-title" { "Job" }
                div class="fields" {
                    label { "Name" input data-field="name" autocomplete="off" spellcheck="false"; }
                    label { "CSV files" input data-field="uris" autocomplete="off" spellcheck="false"; }
                    label { "Batches" select data-field="whole" {
                        option value="rows" { "Of some rows" } option value="whole" { "The whole input" }
                    } }
                    label { "Rows a batch" input data-field="rows" type="number" min="1" inputmode="numeric"; }
                    label { "Order" select data-field="order" {
                        option value="ORDER_DEPTH_FIRST" { "Depth first" } option value="ORDER_BREADTH_FIRST" { "Breadth first" }
                    } }
                    label { "Tasks at once" input data-field="cap" type="number" min="1" inputmode="numeric"; }
                    label { "Batches in flight" input data-field="flight" type="number" min="1" inputmode="numeric" placeholder="the cap and a quarter"; }
                    label { "When a batch fails" select data-field="failure" {
                        option value="ON_FAILURE_DRAIN" { "Finish what is in flight" } option value="ON_FAILURE_CONTINUE" { "Go on with the others" }
                        option value="ON_FAILURE_CANCEL" { "Cancel the run" }
                    } }
                }
                label for="spec" { "Spec (YAML or JSON)" }
                textarea id="spec" rows="20" wrap="off" spellcheck="false" autocomplete="off" aria-describedby="checked" { (FIRST_JOB) }
                p class="row bottom" {
                    button type="submit" class="primary" id="submit" { "Start the run" }
                    span id="said" role="status" class="quiet" {}
                }
            }
            section aria-labelledby="check-title" {
                h2 id="check-title" { "What the coordinator says" }
                div id="checked" role="status" { p class="quiet" { "Not looked at yet." } }
                h2 { "The same from a shell" }
                h3 { "plumb" }
                pre id="line-plumb" tabindex="0" {}
                p class="pager" { button type="button" data-copy="line-plumb" { "Copy" } }
                h3 { "grpcurl" }
                pre id="line-grpcurl" tabindex="0" {}
                p class="pager" { button type="button" data-copy="line-grpcurl" { "Copy" } }
            }
        }
    }
}
