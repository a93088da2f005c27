//! The exchange: hands parked outputs to other workers, and fetches theirs.
//!
//! Owns the service that other workers call ([`ExchangeServer`]) and the client that calls theirs ([`Fetcher`]). An
//! output travels as an Arrow IPC stream in chunks; the stream's flow control holds the sender back, and so many
//! outputs are sent at once at most. A fetch needs the ticket that the coordinator gave with the lease; the holder
//! checks it with the key of its own session.
//!
//! Data flows from the parking of one worker to a slot's thread of another, never through the coordinator. This is
//! one of the edges at which generated types are named.
//!
//! Known weakness: an output in memory is encoded as a whole before it is sent.

mod fetch;
mod health;
mod serve;

pub use fetch::FetchError;
pub(crate) use fetch::Fetcher;
pub(crate) use health::{Health, Link};
pub(crate) use serve::{ExchangeKey, ExchangeServer};
