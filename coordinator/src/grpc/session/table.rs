//! The sessions by id: connected, or waiting for their worker to come back.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use common::ids::{SessionId, WorkerName};
use common::link::{Inbox, Outbox};
use common::message::ToWorker;
use proto::v1;
use scheduler::EndReason;
use tokio::sync::{mpsc, oneshot};

/// How many frames may be unacknowledged.
const OUTBOX: usize = 1_024;

/// Numbered frames that have to be sent.
pub(super) type Backlog = Vec<(u64, Vec<v1::ToWorker>)>;

/// What outlives a connection.
pub(super) struct Link {
    pub(super) session: SessionId,
    pub(super) worker: WorkerName,
    pub(super) exchange_key: Vec<u8>,
    pub(super) outbox: Outbox<Vec<v1::ToWorker>>,
    pub(super) inbox: Inbox,
    /// Closed by the driver when the session is over.
    pub(super) from_driver: mpsc::Receiver<Vec<ToWorker>>,
    /// Says why, if the driver ended it; nothing if it was cut off.
    pub(super) ended: oneshot::Receiver<EndReason>,
}

/// Asks a connection to hand over its session.
pub(super) type Handover = oneshot::Sender<Link>;

/// The sessions that can be resumed.
#[derive(Default)]
pub(super) struct Table {
    places: Mutex<BTreeMap<SessionId, Place>>,
}

enum Place {
    Connected(mpsc::Sender<Handover>),
    Waiting(Box<Link>),
}

impl Link {
    pub(super) fn new(
        session: SessionId,
        worker: WorkerName,
        exchange_key: Vec<u8>,
        from_driver: mpsc::Receiver<Vec<ToWorker>>,
        ended: oneshot::Receiver<EndReason>,
    ) -> Link {
        Link {
            session,
            worker,
            exchange_key,
            outbox: Outbox::new(OUTBOX),
            inbox: Inbox::default(),
            from_driver,
            ended,
        }
    }
}

impl Table {
    /// Notes that a connection holds a session, and returns where it is asked to hand it over.
    pub(super) fn connect(&self, session: SessionId) -> mpsc::Receiver<Handover> {
        let (sender, receiver) = mpsc::channel(1);
        self.put(session, Place::Connected(sender));
        receiver
    }

    /// Keeps a session that lost its connection.
    pub(super) fn park(&self, link: Link) {
        self.put(link.session, Place::Waiting(Box::new(link)));
    }

    /// Forgets a session that is over.
    pub(super) fn forget(&self, session: SessionId) {
        self.lock().remove(&session);
    }

    /// Takes a session over, from a connection that may not know yet that it is broken if need be.
    pub(super) async fn take(&self, session: SessionId) -> Option<Link> {
        loop {
            let place = self.lock().remove(&session);
            let connected = match place? {
                Place::Waiting(link) => return Some(*link),
                Place::Connected(connected) => connected,
            };
            let (handover, link) = oneshot::channel();
            // Errors say that the connection is ending by itself: then it has parked the session, or it is over.
            let _ = connected.send(handover).await;
            if let Ok(link) = link.await {
                return Some(link);
            }
        }
    }

    fn put(&self, session: SessionId, place: Place) {
        let mut places = self.lock();
        places.retain(|_, place| match place {
            Place::Connected(_) => true,
            Place::Waiting(link) => !link.from_driver.is_closed(),
        });
        places.insert(session, place);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SessionId, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
