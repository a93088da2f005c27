//! The web port: health for machines, pages and an API for people.
//!
//! Owns no state: everything comes from [`crate::service`]. Pages are made on the server, every text in them is
//! escaped, and the content security policy allows nothing inline and nothing from elsewhere.

mod api;
mod assets;
mod guard;
mod pages;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::service::Service;
use crate::shutdown::Shutdown;

/// How long the driver may take to say that it is there.
const READY_PATIENCE: Duration = Duration::from_secs(1);

/// What the pages are made with beside the service.
#[derive(Clone, Debug)]
pub struct PageOptions {
    /// The folder that assets are read from anew for every request; `None` is what is embedded.
    pub ui_dir: Option<PathBuf>,
    /// Where JobService listens, for the command lines that pages show.
    pub grpc: SocketAddr,
}

/// Serves the web port until it is told to stop.
///
/// # Errors
/// When the listener fails.
pub async fn serve_web(
    listener: TcpListener,
    service: Service,
    options: PageOptions,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let assets = assets::Assets::new(options.ui_dir);
    let pages = pages::routes(service.clone(), assets, options.grpc.to_string());
    let reach = if listener.local_addr()?.ip().is_loopback() {
        guard::Reach::Loopback
    } else {
        guard::Reach::Network
    };
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .nest("/api", api::router())
        .with_state(service)
        .merge(pages)
        .layer(from_fn_with_state(reach, guard::guard));
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

/// What every answer says to the browser: nothing inline, nothing from elsewhere, in no frame.
const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
