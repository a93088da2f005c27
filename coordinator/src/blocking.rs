//! Where work is done that may block a thread: files that are listed, read and cut.
//!
//! In production it is a thread of its own. A simulation has one thread, and a time that stands still for it, so it does
//! such work in place: what comes of it comes at a moment that follows from the seed.

use tokio::task::{AbortHandle, JoinError, JoinSet};

/// Where work is done that may block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blocking {
    /// On threads that are there for it.
    #[default]
    Threads,
    /// On the thread of the runtime.
    InPlace,
}

impl Blocking {
    /// Does some work and returns what comes of it.
    ///
    /// # Errors
    /// [`JoinError`] when it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            Blocking::Threads => tokio::task::spawn_blocking(work).await,
            Blocking::InPlace => tokio::spawn(async move { work() }).await,
        }
    }

    /// Begins some work whose end is waited for with others.
    pub(crate) fn begin<T: Send + 'static>(
        self,
        among: &mut JoinSet<T>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> AbortHandle {
        match self {
            Blocking::Threads => among.spawn_blocking(work),
            Blocking::InPlace => among.spawn(async move { work() }),
        }
    }
}
