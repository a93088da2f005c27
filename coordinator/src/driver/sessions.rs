//! The ways out to the workers: one bounded queue per session, filled in rounds, never waited for.
//!
//! Owns where a session's messages go and the key its worker's outputs are fetched with; whether a session lives is
//! the scheduler's to say. Messages of a round are collected and sent together, so that several share a frame. A queue
//! that is full ends its session: a worker that cannot keep up loses its leases, and everybody else keeps their pace.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::{SessionId, WorkerName};
use common::message::{Grant, Input, ToWorker};
use proto::ticket::fetch_ticket;
use scheduler::EndReason;
use tokio::sync::{mpsc, oneshot};

use super::message::Opening;

/// The sessions that messages can be sent to.
#[derive(Default)]
pub(super) struct Sessions {
    open: BTreeMap<SessionId, Outgoing>,
    /// Those that were spoken to in this round.
    spoken_to: BTreeSet<SessionId>,
}

struct Outgoing {
    worker: WorkerName,
    exchange_address: String,
    exchange_key: Vec<u8>,
    queue: mpsc::Sender<Vec<ToWorker>>,
    ended: oneshot::Sender<EndReason>,
    accepted: Option<oneshot::Sender<SessionId>>,
    round: Vec<ToWorker>,
}

impl Sessions {
    /// Keeps the way to a new session.
    pub(super) fn open(&mut self, session: SessionId, opening: Opening) {
        let outgoing = Outgoing {
            worker: opening.worker,
            exchange_address: opening.exchange_address,
            exchange_key: opening.exchange_key,
            queue: opening.outgoing,
            ended: opening.ended,
            accepted: Some(opening.accepted),
            round: Vec::new(),
        };
        self.open.insert(session, outgoing);
    }

    /// Lets a session send its welcome.
    pub(super) fn accept(&mut self, session: SessionId) {
        let accepted = self
            .open
            .get_mut(&session)
            .and_then(|outgoing| outgoing.accepted.take());
        if let Some(accepted) = accepted {
            // An error says that the connection broke meanwhile; the session's own task reports that.
            let _ = accepted.send(session);
        }
    }

    /// Adds a message to a session's round; to a session that is gone it is dropped.
    pub(super) fn send(&mut self, session: SessionId, mut message: ToWorker) {
        if let ToWorker::Grant(grant) = &mut message {
            self.issue_ticket(grant);
        }
        if let Some(outgoing) = self.open.get_mut(&session) {
            if outgoing.round.is_empty() {
                self.spoken_to.insert(session);
            }
            outgoing.round.push(message);
        }
    }

    /// Sends what was collected, and returns the sessions that could not take it: they are cut off.
    pub(super) fn flush(&mut self) -> Vec<SessionId> {
        let mut cut_off = Vec::new();
        for session in std::mem::take(&mut self.spoken_to) {
            let Some(outgoing) = self.open.get_mut(&session) else {
                continue;
            };
            if outgoing.flush().is_err() {
                tracing::warn!(%session, worker = outgoing.worker.as_str(), "a session does not take its messages");
                cut_off.push(session);
            }
        }
        for session in &cut_off {
            self.open.remove(session);
        }
        cut_off
    }

    /// Ends a session after what was sent to it.
    pub(super) fn end(&mut self, session: SessionId, reason: EndReason) {
        if let Some(mut outgoing) = self.open.remove(&session) {
            // Errors say that the session's task is gone already, or that it does not listen: it ends either way.
            let _ = outgoing.flush();
            let _ = outgoing.ended.send(reason);
        }
    }

    /// Forgets a session that said goodbye.
    pub(super) fn close(&mut self, session: SessionId) {
        self.open.remove(&session);
    }

    /// Returns the newest session of a worker.
    pub(super) fn of_worker(&self, worker: &WorkerName) -> Option<SessionId> {
        let mut sessions = self.open.iter().rev();
        sessions
            .find(|(_, outgoing)| outgoing.worker == *worker)
            .map(|(session, _)| *session)
    }

    /// Fills in the right to fetch: made with the key of the session whose exchange listens at the address.
    fn issue_ticket(&self, grant: &mut Grant) {
        let Input::Remote(remote) = &mut grant.input else {
            return;
        };
        let listens = |outgoing: &&Outgoing| outgoing.exchange_address == remote.address;
        let holder = self.open.get(&remote.holder).filter(listens);
        match holder.or_else(|| self.open.values().rev().find(listens)) {
            Some(holder) => {
                remote.ticket = fetch_ticket(&holder.exchange_key, grant.run, remote.output, grant.lease).to_vec();
            }
            // The fetch will be refused, and the output reported lost: the batch starts again from its slice.
            None => tracing::warn!(lease = %grant.lease, "the worker that keeps an output has no session"),
        }
    }
}

impl Outgoing {
    fn flush(&mut self) -> Result<(), mpsc::error::TrySendError<Vec<ToWorker>>> {
        if self.round.is_empty() {
            return Ok(());
        }
        self.queue.try_send(std::mem::take(&mut self.round))
    }
}
