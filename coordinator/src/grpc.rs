//! The gRPC edge: JobService for people and tools, WorkerService for workers, each on a listener of its own.
//!
//! Owns what is common to both servers: accepting, limits, deadlines, keep-alive, reflection, health. Wire types are
//! named here and nowhere else in the coordinator. Messages are at most 4 MiB in both directions.

mod incoming;
mod job_service;
mod layers;
mod session;
mod status;
mod token;
mod wire;
mod worker_service;

use std::time::Duration;

use common::limits::MAX_MESSAGE_BYTES;
use proto::token::WorkerToken;
use proto::v1::job_service_server::JobServiceServer;
use proto::v1::worker_service_server::WorkerServiceServer;
use tonic::server::NamedService;
use tonic::service::{InterceptorLayer, LayerExt as _, Routes};
use tonic::transport::Server;
use tonic_health::server::health_reporter;

use crate::clock::Clock;
use crate::driver::DriverHandle;
use crate::service::Service;
use crate::shutdown::Shutdown;
use incoming::connections;
use job_service::Jobs;
use layers::GuardLayer;
use session::Sessions;
use token::TokenGuard;
use worker_service::Workers;

pub use incoming::Listener;
pub use session::{PROTOCOL_VERSION, SessionTerms};

/// How many connections each server serves at once.
const MAX_CONNECTIONS: usize = 4_096;
/// How many streams one connection may have at once.
const MAX_STREAMS: u32 = 256;
/// How large the headers of one call may be.
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// How often a silent connection is asked whether it lives, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Why a server stopped although nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors for reflection do not fit together.
    #[error("failed to build reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("failed to serve gRPC: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves JobService until it is told to stop.
///
/// # Errors
/// [`ServeError`] when it cannot begin or go on.
pub async fn serve_jobs(listener: impl Listener, service: Service, shutdown: Shutdown) -> Result<(), ServeError> {
    let jobs = JobServiceServer::new(Jobs::new(service))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let (health, health_service) = health_reporter();
    health.set_serving::<JobServiceServer<Jobs>>().await;
    let routes = Routes::new(jobs).add_service(health_service);
    let routes = with_reflection::<JobServiceServer<Jobs>>(routes)?;
    serve(listener, routes, shutdown).await
}

/// Serves WorkerService until it is told to stop.
///
/// # Errors
/// [`ServeError`] when it cannot begin or go on.
pub async fn serve_workers(
    listener: impl Listener,
    driver: DriverHandle,
    service: Service,
    clock: Clock,
    terms: SessionTerms,
    token: Option<WorkerToken>,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let workers = Workers::new(
        Sessions::new(driver, clock, terms, service.vitals().clone(), shutdown.clone()),
        service,
    );
    let workers = WorkerServiceServer::new(workers)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let workers = InterceptorLayer::new(TokenGuard { token }).named_layer(workers);
    let (health, health_service) = health_reporter();
    health.set_serving::<WorkerServiceServer<Workers>>().await;
    let routes = Routes::new(workers).add_service(health_service);
    let routes = with_reflection::<WorkerServiceServer<Workers>>(routes)?;
    serve(listener, routes, shutdown).await
}

/// Adds reflection in both versions: newer tools ask for v1, grpcurl for v1alpha. The error details are registered too,
/// so that tools can print them. The descriptors hold all services: only those of this port are listed.
fn with_reflection<S: NamedService>(routes: Routes) -> Result<Routes, ServeError> {
    let builder = |reflection: &str| {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name(S::NAME)
            .with_service_name(tonic_health::pb::health_server::SERVICE_NAME)
            .with_service_name(reflection)
    };
    let v1 = builder(tonic_reflection::pb::v1::server_reflection_server::SERVICE_NAME).build_v1()?;
    let v1alpha = builder(tonic_reflection::pb::v1alpha::server_reflection_server::SERVICE_NAME).build_v1alpha()?;
    Ok(routes.add_service(v1).add_service(v1alpha))
}

async fn serve(listener: impl Listener, routes: Routes, shutdown: Shutdown) -> Result<(), ServeError> {
    let server = Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .layer(GuardLayer)
        .add_routes(routes);
    let incoming = connections(listener, MAX_CONNECTIONS);
    server
        .serve_with_incoming_shutdown(incoming, async move { shutdown.requested().await })
        .await?;
    Ok(())
}
