//! Whether the worker can work, for health checks: `grpc.health.v1` on the exchange's port.
//!
//! A worker is healthy while it is connected to its coordinator; `plumb health --grpc` asks.

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::server::{HealthReporter, health_reporter};

/// Every service of this port: they have one state.
const ALL_SERVICES: &str = "";

/// How the worker stands with its coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// A session is connected.
    Up,
    /// None is.
    Down,
}

/// Tells health checks how the worker is.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// Makes the service, and what tells it; a worker begins without a connection.
    pub(super) async fn new() -> (Health, HealthServer<impl health_server::Health>) {
        let (reporter, service) = health_reporter();
        let health = Health { reporter };
        health.set(Link::Down).await;
        (health, service)
    }

    /// Says how the worker stands with its coordinator.
    pub(crate) async fn set(&self, link: Link) {
        let status = match link {
            Link::Up => ServingStatus::Serving,
            Link::Down => ServingStatus::NotServing,
        };
        self.reporter.set_service_status(ALL_SERVICES, status).await;
    }
}
