//! The pages: HTML made on the server by typed templates, the same for a first look and for every refresh.
//!
//! Owns the templates and what they are made from; every text in them is escaped by the template engine. A page works
//! without scripts as far as reading goes. Scripts ask for the same page with `?part=live` and put the answer, element
//! by element, in the place of what they show; charts are drawn from the resources in `api`.
//!
//! Known weakness: lists are pages of a fixed size, newest first.

mod compare;
mod format;
mod layout;
mod limits;
mod run;
mod runs;
mod submit;
mod workers;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use super::SECURITY_HEADERS;
use super::assets::Assets;
use crate::service::{LookupError, Service};

/// What every page is made from.
#[derive(Clone)]
pub(super) struct Site {
    service: Service,
    assets: Assets,
    /// Where JobService listens, for the command lines that pages show.
    grpc: String,
}

/// Which part of a page is wanted.
#[derive(Debug, Default, Deserialize)]
struct PartQuery {
    #[serde(default)]
    part: Part,
}

/// A whole page, or only what changes while it is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    #[default]
    Page,
    Live,
}

/// Returns the routes of all pages and of what they are made of.
pub(super) fn routes(service: Service, assets: Assets, grpc: String) -> Router {
    Router::new()
        .route("/", get(runs::page))
        .route("/runs/{run}", get(run::page))
        .route("/compare", get(compare::page))
        .route("/workers", get(workers::page))
        .route("/new", get(submit::page))
        .route("/assets/{mark}/{name}", get(asset))
        .with_state(Site { service, assets, grpc })
}

async fn asset(State(site): State<Site>, Path((_mark, name)): Path<(String, String)>) -> Response {
    (SECURITY_HEADERS, site.assets.serve(&name).await).into_response()
}

impl Site {
    /// Answers with a page, or with its live part alone.
    fn answer(&self, frame: &layout::Frame<'_>, part: Part, body: Markup) -> Response {
        let html = match part {
            Part::Page => layout::whole(self, frame, &body),
            Part::Live => body,
        };
        (SECURITY_HEADERS, Html(html.into_string())).into_response()
    }

    /// Answers with a page that says why there is nothing to see.
    fn refuse(&self, error: &LookupError) -> Response {
        let code = match error {
            LookupError::NoSuchRun(_) | LookupError::NoSuchWorker(_) | LookupError::NoSuchBatch { .. } => {
                StatusCode::NOT_FOUND
            }
            LookupError::InvalidField(_) => StatusCode::BAD_REQUEST,
            LookupError::NotFinishing { .. }
            | LookupError::Refused(_)
            | LookupError::Retry(_)
            | LookupError::RunEnded { .. } => StatusCode::CONFLICT,
            LookupError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            LookupError::Archive(_) | LookupError::Timeline(_) => StatusCode::INTERNAL_SERVER_ERROR,
            LookupError::Stopped(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        self.say(code, "There is nothing here", &error.to_string())
    }

    /// Answers with a page of one sentence.
    fn say(&self, code: StatusCode, title: &str, sentence: &str) -> Response {
        let frame = layout::Frame {
            title,
            place: layout::Place::Elsewhere,
            script: "shell.js",
            ahead: None,
        };
        let body = html! {
            h1 { (title) }
            p { (sentence) }
            p { a href="/" { "All runs" } }
        };
        (code, self.answer(&frame, Part::Page, body)).into_response()
    }
}
