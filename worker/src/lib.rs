//! The worker: executes leased ops, keeps and moves data, writes sinks.
//!
//! Owns the process that holds leases: the session with the coordinator ([`worker`] runs it), the slots' threads, the
//! ops and sinks, the parked outputs and the exchange with other workers. The decisions are the `agent`'s, a pure
//! crate; scheduling is the coordinator's, which this crate never names.
//!
//! Data flows: a slice is read by `extract` in a slot's thread, goes through the ops of its chain there, and leaves
//! through a sink or waits in the parking or in a checkpoint, from where this worker or another one goes on with it.

pub mod batch;
mod checkpoint;
mod clock;
mod column;
pub mod config;
mod disk;
mod exchange;
mod executor;
pub mod memory;
pub mod ops;
mod panics;
pub mod parking;
pub mod session;
pub mod sink;
mod task_log;
#[cfg(test)]
mod testing;
pub mod worker;

pub use config::WorkerConfig;
pub use exchange::FetchError;
pub use ops::exec::{AllowedPrograms, UnknownProgram};
pub use session::SessionError;
pub use worker::{Ready, Shutdown, ShutdownHandle, Worker, WorkerError, shutdown};
