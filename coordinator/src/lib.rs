//! The coordinator: owns the scheduler, keeps the journal, serves gRPC and web.
//!
//! [`Coordinator::bind`] takes ports and folders, [`Coordinator::run`] serves. Inside, data flows one way round: the
//! edges ([`grpc`], [`web`]) turn messages into questions for the [`service`] or events for the [`driver`]; the driver
//! is the only owner of the scheduler, and executes what it commands: records to the [`store`], leases to the worker
//! sessions, searches for slices to [`source`]. What has become durable is shown by the [`registry`].

pub mod blocking;
pub mod chart;
pub mod clock;
pub mod config;
mod coordinator;
pub mod driver;
pub mod grpc;
pub mod registry;
pub mod service;
pub mod shutdown;
pub mod source;
pub mod spec;
pub mod store;
pub mod submit;
#[cfg(test)]
mod testing;
pub mod timeline;
pub mod vitals;
pub mod web;

pub use config::{ConfigError, CoordinatorConfig};
pub use coordinator::{Addresses, BindError, Coordinator, RunError};
