//! Worker sessions on the wire: hello, numbered frames both ways, heartbeats, going on after a broken connection.
//!
//! Owns the connections and what has to outlive one: the frames that are not acknowledged and the queue of messages
//! from the driver ([`table::Link`]). It decides nothing: whether a session lives is the scheduler's to say, and the
//! driver tells it here by closing the queue. Data flows from a stream's frames to the driver as reports, and from the
//! session's queue into numbered frames, several messages a frame.
//!
//! Known weakness: while a session has no connection its messages wait in the bounded queue; when that is full, the
//! driver ends the session although its worker might have come back in time.

mod connection;
mod reattaching;
mod refused;
mod table;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use common::ids::{Generation, SessionId, WorkerName};
use common::job::FieldProblem;
use common::limits::MAX_SLOTS;
use proto::v1;
use proto::v1::welcome::Resumption;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::status::ToStatus;
use crate::clock::Clock;
use crate::driver::{DriverHandle, FromSession, Opening, Stopped};
use crate::shutdown::Shutdown;
use crate::vitals::VitalsBook;
use connection::Connection;
pub use refused::PROTOCOL_VERSION;
use refused::{HELLO_TIMEOUT, SessionRefused};
use table::{Link, Table};

/// How many rounds of messages may wait for a session.
const MESSAGE_QUEUE: usize = 256;
/// How many kinds of op a worker may name.
const MAX_OP_KINDS: usize = 256;

/// What every welcome says.
#[derive(Clone, Debug)]
pub struct SessionTerms {
    /// The coordinator's incarnation.
    pub generation: Generation,
    /// How often a worker sends a heartbeat.
    pub heartbeat_interval: Duration,
    /// How long a lease lives.
    pub lease_time: Duration,
    /// How much earlier than that a worker stops its tasks.
    pub lease_margin: Duration,
    /// What names the boot of this machine; empty where that is unknown.
    pub boot_id: String,
}

/// All worker sessions.
pub(super) struct Sessions {
    driver: DriverHandle,
    clock: Clock,
    terms: SessionTerms,
    vitals: VitalsBook,
    table: Table,
    shutdown: Shutdown,
}

impl Sessions {
    pub(super) fn new(
        driver: DriverHandle,
        clock: Clock,
        terms: SessionTerms,
        vitals: VitalsBook,
        shutdown: Shutdown,
    ) -> Sessions {
        Sessions {
            driver,
            clock,
            terms,
            vitals,
            table: Table::default(),
            shutdown,
        }
    }

    /// Serves one connection from its hello to its end.
    pub(super) async fn serve(
        self: Arc<Self>,
        mut incoming: Streaming<v1::WorkerFrame>,
        outgoing: mpsc::Sender<Result<v1::CoordinatorFrame, Status>>,
    ) {
        match self.greet(&mut incoming, &outgoing).await {
            Ok(Some(connection)) => connection.converse(&self, incoming).await,
            Ok(None) => {}
            Err(SessionRefused::Ended(reason)) => {
                tracing::warn!(?reason, "a worker was refused");
                let _ = outgoing.send(Ok(connection::ended_frame(reason))).await;
            }
            Err(refused) => {
                tracing::warn!(%refused, "a worker was refused");
                // An error says that the worker has gone.
                let _ = outgoing.send(Err(refused.to_status())).await;
            }
        }
    }

    /// Takes the hello and answers it; `None` when the worker has gone meanwhile.
    async fn greet(
        &self,
        incoming: &mut Streaming<v1::WorkerFrame>,
        outgoing: &mpsc::Sender<Result<v1::CoordinatorFrame, Status>>,
    ) -> Result<Option<Connection>, SessionRefused> {
        let first = timeout(HELLO_TIMEOUT, incoming.message()).await;
        let hello = match first {
            Ok(Ok(Some(v1::WorkerFrame { hello: Some(hello), .. }))) => hello,
            Ok(_) | Err(_) => return Err(SessionRefused::NoHello),
        };
        if hello.protocol_version != PROTOCOL_VERSION {
            return Err(SessionRefused::Version {
                theirs: hello.protocol_version,
            });
        }
        let same_clock = !hello.boot_id.is_empty() && hello.boot_id == self.terms.boot_id;
        let version = hello.program_version.clone();
        let (link, resumption, backlog) = match hello.resume {
            None => {
                let (link, resumption) = self.open(hello, same_clock).await?;
                (link, resumption, Vec::new())
            }
            Some(resume) => {
                let (link, backlog) = self.resume(resume).await?;
                (link, Resumption::Resumed, backlog)
            }
        };
        self.vitals.met(link.session, link.worker.clone(), &version);
        let welcome = self.welcome(&link, resumption, same_clock);
        let frame = v1::CoordinatorFrame {
            acknowledged: link.inbox.received(),
            welcome: Some(welcome),
            ..v1::CoordinatorFrame::default()
        };
        let connection = Connection::new(self, link, backlog, outgoing.clone());
        if outgoing.send(Ok(frame)).await.is_err() {
            connection.park(self).await;
            return Ok(None);
        }
        Ok(Some(connection))
    }

    /// Opens a session; waits until it is durable. What a process holds from a session of this generation is void: that
    /// session was ended here, and its leases with it.
    async fn open(&self, hello: v1::Hello, same_clock: bool) -> Result<(Link, Resumption), SessionRefused> {
        let (worker, slots) = check_hello(&hello).map_err(SessionRefused::InvalidHello)?;
        let claim = hello
            .holdings
            .map(|held| reattaching::Claim::new(held, &self.clock, same_clock));
        let claim = claim.transpose().map_err(SessionRefused::InvalidHello)?;
        let claim = claim.filter(|claim| claim.reattached.from.generation < self.terms.generation);
        let (messages, from_driver) = mpsc::channel(MESSAGE_QUEUE);
        let (end, mut ended) = oneshot::channel();
        let (accept, accepted) = oneshot::channel();
        let (exchange_key, reattached, resumption) = match claim {
            Some(claim) => (claim.exchange_key, Some(claim.reattached), Resumption::Reattached),
            None => (new_exchange_key(), None, Resumption::New),
        };
        let opening = Opening {
            worker: worker.clone(),
            // Containers of one machine share the boot and often the pid, so the address is part of it.
            instance: format!("{}/{}/{}", hello.boot_id, hello.pid, hello.exchange_address),
            slots,
            ops: hello.ops.into_iter().collect(),
            exchange_address: hello.exchange_address,
            hello: hello.number,
            reattached,
            exchange_key: exchange_key.clone(),
            outgoing: messages,
            ended: end,
            accepted: accept,
        };
        self.driver.session(FromSession::Opened(Box::new(opening))).await?;
        let Ok(session) = accepted.await else {
            // The reason was given before the session was let go of.
            let reason = ended.try_recv().map_err(|_| Stopped)?;
            return Err(SessionRefused::Ended(reason));
        };
        tracing::info!(%session, worker = worker.as_str(), slots, pid = hello.pid, "session opened");
        Ok((Link::new(session, worker, exchange_key, from_driver, ended), resumption))
    }

    /// Goes on with a session; returns the frames that the worker has not taken.
    async fn resume(&self, resume: v1::Resume) -> Result<(Link, table::Backlog), SessionRefused> {
        let session = SessionId::from(resume.session.unwrap_or_default());
        let refused = SessionRefused::NotResumable { session };
        let Some(mut link) = self.table.take(session).await else {
            return Err(refused);
        };
        if link.from_driver.is_closed() {
            return Err(refused);
        }
        let backlog = match link.outbox.resend_after(resume.last_received) {
            Ok(frames) => frames.collect(),
            Err(error) => {
                tracing::warn!(%session, %error, "a worker cannot be told what it missed");
                return Err(refused);
            }
        };
        // A worker that is welcomed relies on its leases from its hello on, so the scheduler counts the hello first. While it is
        // slow, the worker may dial again: the newer connection gets the session then.
        let mut handovers = self.table.connect(session);
        let counted = async {
            let (counted, answer) = oneshot::channel();
            self.driver.session(FromSession::Resumed(session, counted)).await?;
            answer.await.map_err(|_| SessionRefused::NotResumable { session })
        };
        tokio::select! {
            biased;
            counted = counted => {
                if let Err(refused) = counted {
                    self.table.forget(session);
                    return Err(refused);
                }
            }
            Some(handover) = handovers.recv() => {
                // An error says that the newer connection is gone already; the lease time ends the session.
                let _ = handover.send(link);
                return Err(SessionRefused::DialledAgain { session });
            }
        }
        tracing::info!(%session, worker = link.worker.as_str(), "session resumed");
        Ok((link, backlog))
    }

    /// Forgets a session that is over.
    fn forget(&self, session: SessionId) {
        self.table.forget(session);
        self.vitals.forget(session);
    }

    fn welcome(&self, link: &Link, resumption: Resumption, same_clock: bool) -> v1::Welcome {
        v1::Welcome {
            session: Some(link.session.into()),
            generation: self.terms.generation.0,
            resumption: resumption.into(),
            last_received: link.inbox.received(),
            heartbeat_interval: Some(proto::convert::time::duration_to_wire(self.terms.heartbeat_interval)),
            lease_time: Some(proto::convert::time::duration_to_wire(self.terms.lease_time)),
            lease_margin: Some(proto::convert::time::duration_to_wire(self.terms.lease_margin)),
            exchange_key: link.exchange_key.clone(),
            clock: Some(v1::ClockMapping {
                same_clock,
                offset_nanos: i64::try_from(self.clock.offset_nanos()).unwrap_or(i64::MAX),
            }),
        }
    }
}

fn new_exchange_key() -> Vec<u8> {
    [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat()
}

fn check_hello(hello: &v1::Hello) -> Result<(WorkerName, NonZeroU32), FieldProblem> {
    let worker = WorkerName::new(&hello.worker_name)
        .map_err(|error| FieldProblem::new("hello.worker_name", error.to_string()))?;
    let slots = NonZeroU32::new(hello.slots)
        .filter(|slots| slots.get() <= MAX_SLOTS)
        .ok_or_else(|| FieldProblem::new("hello.slots", format!("must be 1 to {MAX_SLOTS}")))?;
    if hello.ops.len() > MAX_OP_KINDS {
        let problem = format!("names more than {MAX_OP_KINDS} kinds of op");
        return Err(FieldProblem::new("hello.ops", problem));
    }
    Ok((worker, slots))
}
