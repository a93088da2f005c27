//! What a session takes from the world outside: the network, the machine's clock, chance, and what names its process.
//!
//! In production it is the system's ([`Outside::system`]). A simulation gives it a network and a time of its own, so that
//! the same session, byte for byte, can be held up, cut off and started again as a seed says.

use std::fmt::{Debug, Formatter};
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;

use common::time::Time;
use tonic::transport::{Channel, Endpoint, Error};

use crate::clock::{boot_id, monotonic_now};

/// A connection that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = Result<Channel, Error>> + Send>>;

/// What a session takes from outside.
#[derive(Clone)]
pub struct Outside {
    /// Connects to a coordinator.
    pub connect: Arc<dyn Fn(Endpoint) -> Connecting + Send + Sync>,
    /// Reads the monotonic clock of the machine.
    pub now: Arc<dyn Fn() -> Time + Send + Sync>,
    /// Draws a number, so that workers do not all dial at once.
    pub draw: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// What names this boot of the machine; empty where the system does not say.
    pub boot_id: String,
    /// What names the process on the machine.
    pub pid: u32,
}

impl Outside {
    /// Takes everything from the system.
    pub fn system() -> Outside {
        Outside {
            connect: Arc::new(|endpoint| Box::pin(async move { endpoint.connect().await })),
            now: Arc::new(monotonic_now),
            draw: Arc::new(|| RandomState::new().build_hasher().finish()),
            boot_id: boot_id(),
            pid: std::process::id(),
        }
    }

    pub(super) fn now(&self) -> Time {
        (self.now)()
    }

    pub(super) fn draw(&self) -> u64 {
        (self.draw)()
    }
}

impl Debug for Outside {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside")
            .field("boot_id", &self.boot_id)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}
