//! Telling every part of the coordinator to stop, once.

use std::sync::Arc;

use tokio::sync::watch;

/// Sees whether it is time to stop. Cloned freely.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
}

/// Tells every [`Shutdown`] to stop; dropping the last one does so too.
#[derive(Clone, Debug)]
pub struct ShutdownTrigger {
    requested: Arc<watch::Sender<bool>>,
}

/// Makes a trigger and the first of those that see it.
pub fn shutdown_channel() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    let trigger = ShutdownTrigger {
        requested: Arc::new(sender),
    };
    (trigger, Shutdown { requested: receiver })
}

impl ShutdownTrigger {
    /// Asks everybody to stop.
    pub fn request(&self) {
        self.requested.send_replace(true);
    }
}

impl Shutdown {
    /// Waits until somebody asked to stop.
    pub async fn requested(&self) {
        let mut requested = self.requested.clone();
        // An error says that the trigger is gone: nobody could ask any more, so it is time as well.
        let _ = requested.wait_for(|requested| *requested).await;
    }
}
