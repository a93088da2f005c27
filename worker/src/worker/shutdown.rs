//! Asking a worker to leave: first gracefully, then at once.

use tokio::sync::watch;

/// Asks a worker to leave. Dropping it asks for nothing.
#[derive(Clone, Debug)]
pub struct ShutdownHandle {
    stage: watch::Sender<Stage>,
}

/// The worker's end of a [`ShutdownHandle`].
#[derive(Debug)]
pub struct Shutdown {
    stage: watch::Receiver<Stage>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing.
    Staying,
    /// Leave gracefully.
    Draining,
    /// Leave at once.
    Leaving,
}

/// Makes a handle and the worker's end of it.
pub fn shutdown() -> (ShutdownHandle, Shutdown) {
    let (sender, receiver) = watch::channel(Stage::Staying);
    (ShutdownHandle { stage: sender }, Shutdown { stage: receiver })
}

impl ShutdownHandle {
    /// Asks the worker to finish the ops that run, to hand over what it keeps, and to leave.
    pub fn drain(&self) {
        self.stage.send_if_modified(|stage| match stage {
            Stage::Staying => {
                *stage = Stage::Draining;
                true
            }
            Stage::Draining | Stage::Leaving => false,
        });
    }

    /// Asks the worker to stop the ops that run and to leave.
    pub fn leave_now(&self) {
        self.stage.send_replace(Stage::Leaving);
    }
}

impl Shutdown {
    /// Returns the next stage that is asked for. Safe to be dropped while it waits.
    pub(super) async fn next(&mut self) -> Stage {
        if self.stage.changed().await.is_err() {
            return std::future::pending().await;
        }
        *self.stage.borrow_and_update()
    }
}
