//! The web port: health for machines, a status page and a small JSON API for people.
//!
//! Owns no state: everything comes from [`crate::service`]. Pages are made on the server, every text in them is
//! escaped, and the content security policy allows no script at all.

mod api;
mod page;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::service::Service;
use crate::shutdown::Shutdown;

/// How long the driver may take to say that it is there.
const READY_PATIENCE: Duration = Duration::from_secs(1);

const STYLE: &str = include_str!("web/style.css");

/// Serves the web port until it is told to stop.
///
/// # Errors
/// When the listener fails.
pub async fn serve_web(listener: TcpListener, service: Service, shutdown: Shutdown) -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(page::status_page))
        .route("/style.css", get(style))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .nest("/api", api::router())
        .with_state(service);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { shutdown.requested().await })
        .await
}

/// The process is there.
async fn healthz() -> &'static str {
    "ok\n"
}

/// The driver serves, and its journal is open.
async fn readyz(State(service): State<Service>) -> impl IntoResponse {
    match tokio::time::timeout(READY_PATIENCE, service.is_ready()).await {
        Ok(true) => (StatusCode::OK, "ready\n"),
        Ok(false) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the driver does not answer yet\n"),
    }
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

/// What every page says to the browser: no script, nothing from elsewhere, in no frame.
const SECURITY_HEADERS: [(HeaderName, &str); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];
