//! One connection of a session: reads always, writes when there is room.
//!
//! A heartbeat is answered when the scheduler has counted it, and not when it has come in: its worker relies on its
//! leases from when it sent it, and a scheduler that is held up must not count them as over meanwhile.
//!
//! Frames to write wait in a short backlog until the stream takes them, so a worker that does not read never keeps the
//! coordinator from reading what it says; meanwhile the session's queue fills, and the driver ends the session when it
//! is full. Acknowledgements ride on other frames, and go alone every [`ACKNOWLEDGE_EVERY`] frames.

use std::collections::{BTreeMap, VecDeque};

use common::ids::RunId;
use common::link::Arrival;
use common::message::{Report, ToWorker};
use prost::Message as _;
use proto::convert::logs::line_from_wire;
use proto::convert::packed::{messages_to_wire, reports_from_wire};
use proto::v1;
use proto::v1::session_ended::Reason;
use scheduler::EndReason;
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

use super::Sessions;
use super::table::{Backlog, Handover, Link};
use crate::driver::{FromSession, Stopped};
use crate::grpc::status;
use crate::grpc::status::ToStatus;
use crate::timeline::KeptLine;
use crate::vitals::Memory;

/// How many frames of a worker are taken before they are acknowledged at the latest.
const ACKNOWLEDGE_EVERY: u32 = 16;
/// How large a frame of several messages gets before another one is begun.
const FRAME_BYTES: usize = 1 << 20;

/// A session with a connection.
pub(super) struct Connection {
    link: Link,
    outgoing: mpsc::Sender<Result<v1::CoordinatorFrame, Status>>,
    handovers: mpsc::Receiver<Handover>,
    backlog: VecDeque<(u64, Vec<v1::ToWorker>)>,
    /// Heartbeats that the driver has not counted yet, oldest first; each stands for a message in its bounded queue.
    counting: VecDeque<(v1::HeartbeatReply, oneshot::Receiver<()>)>,
    /// The answer to the latest one that is counted.
    heartbeat: Option<v1::HeartbeatReply>,
    unacknowledged: u32,
}

/// Why a connection ended.
enum End {
    /// It broke; the worker may come back.
    Broken,
    /// The worker came back on another one.
    HandedOver(Handover),
    /// The worker said goodbye.
    Goodbye,
    /// The driver ended the session; nothing when it was cut off.
    Ended(Option<EndReason>),
    /// The worker said what cannot be.
    Violation(Status),
    /// The coordinator stops.
    Stopping,
}

impl Connection {
    pub(super) fn new(
        sessions: &Sessions,
        link: Link,
        backlog: Backlog,
        outgoing: mpsc::Sender<Result<v1::CoordinatorFrame, Status>>,
    ) -> Connection {
        Connection {
            handovers: sessions.table.connect(link.session),
            link,
            outgoing,
            backlog: backlog.into(),
            counting: VecDeque::new(),
            heartbeat: None,
            unacknowledged: 0,
        }
    }

    /// Passes frames both ways until the connection or the session ends.
    pub(super) async fn converse(mut self, sessions: &Sessions, mut incoming: Streaming<v1::WorkerFrame>) {
        let end = loop {
            match self.step(sessions, &mut incoming).await {
                Ok(()) => {}
                Err(end) => break end,
            }
        };
        self.finish(sessions, end).await;
    }

    /// Keeps the session for its worker to come back to.
    pub(super) async fn park(self, sessions: &Sessions) {
        let session = self.link.session;
        sessions.table.park(self.link);
        tell(sessions, FromSession::Disconnected(session)).await;
    }

    async fn step(&mut self, sessions: &Sessions, incoming: &mut Streaming<v1::WorkerFrame>) -> Result<(), End> {
        let has_to_write =
            !self.backlog.is_empty() || self.heartbeat.is_some() || self.unacknowledged >= ACKNOWLEDGE_EVERY;
        let outgoing = self.outgoing.clone();
        // In this order, so that the same happens whenever the same is there. What is asked first ends soon: the driver has no
        // more to say to a worker that it does not hear.
        tokio::select! {
            biased;
            () = sessions.shutdown.requested() => Err(End::Stopping),
            Some(handover) = self.handovers.recv() => Err(End::HandedOver(handover)),
            counted = next_counted(&mut self.counting), if !self.counting.is_empty() => {
                // A heartbeat that was not counted is of a session that is over: the driver says so in its own way.
                if let Some(reply) = counted {
                    self.heartbeat = Some(reply);
                }
                Ok(())
            }
            room = outgoing.reserve(), if has_to_write => {
                let room = room.map_err(|_| End::Broken)?;
                let (number, messages) = self.backlog.pop_front().unwrap_or_default();
                self.unacknowledged = 0;
                room.send(Ok(v1::CoordinatorFrame {
                    number,
                    acknowledged: self.link.inbox.received(),
                    heartbeat_reply: self.heartbeat.take().map(|mut reply| {
                        reply.replied_at_nanos = sessions.clock.now().0;
                        reply
                    }),
                    messages,
                    ..v1::CoordinatorFrame::default()
                }));
                Ok(())
            }
            messages = self.link.from_driver.recv(), if self.backlog.is_empty() => match messages {
                Some(messages) => self.queue(messages),
                None => Err(End::Ended((&mut self.link.ended).await.ok())),
            },
            frame = incoming.message() => match frame {
                Ok(Some(frame)) => self.take(sessions, frame).await,
                Ok(None) | Err(_) => Err(End::Broken),
            },
        }
    }

    /// Makes numbered frames of a round of messages.
    fn queue(&mut self, messages: Vec<ToWorker>) -> Result<(), End> {
        let mut frame = Vec::new();
        let mut bytes = 0;
        for wire in messages_to_wire(&messages) {
            let size = wire.encoded_len();
            if bytes + size > FRAME_BYTES && !frame.is_empty() {
                self.push(std::mem::take(&mut frame))?;
                bytes = 0;
            }
            bytes += size;
            frame.push(wire);
        }
        self.push(frame)
    }

    fn push(&mut self, frame: Vec<v1::ToWorker>) -> Result<(), End> {
        match self.link.outbox.push(frame.clone()) {
            Ok(number) => {
                self.backlog.push_back((number, frame));
                Ok(())
            }
            Err(full) => Err(End::Violation(status::silent_peer(&full))),
        }
    }

    async fn take(&mut self, sessions: &Sessions, frame: v1::WorkerFrame) -> Result<(), End> {
        let session = self.link.session;
        self.link
            .outbox
            .acknowledge(frame.acknowledged)
            .map_err(|error| End::Violation(status::invalid_field("acknowledged", error)))?;
        if frame.number != 0 {
            match self.link.inbox.arrive(frame.number) {
                Arrival::Next => self.report(sessions, frame.reports).await?,
                Arrival::Repeat => {}
                Arrival::Gap => return Err(End::Broken),
            }
            self.unacknowledged += 1;
        }
        if let Some(logs) = frame.logs {
            self.keep_logs(sessions, logs)?;
        }
        if let Some(heartbeat) = frame.heartbeat {
            let reply = v1::HeartbeatReply {
                sent_at_nanos: heartbeat.sent_at_nanos,
                received_at_nanos: sessions.clock.now().0,
                replied_at_nanos: 0,
            };
            let (counted, answer) = oneshot::channel();
            self.counting.push_back((reply, answer));
            let memory = Memory {
                rss: heartbeat.rss_bytes,
                parked: heartbeat.parked_bytes,
                spilled: heartbeat.spilled_bytes,
                peak_rss: heartbeat.peak_rss_bytes,
                peak_held: heartbeat.peak_held_bytes,
            };
            sessions.vitals.heard(session, memory, sessions.clock.now());
            sessions
                .driver
                .session(FromSession::Heard(session, counted))
                .await
                .map_err(|Stopped| End::Stopping)?;
        }
        match frame.goodbye {
            Some(_) => Err(End::Goodbye),
            None => Ok(()),
        }
    }

    /// Hands on what tasks logged; it changes nothing, so the driver is not troubled with it.
    fn keep_logs(&self, sessions: &Sessions, logs: v1::TaskLogs) -> Result<(), End> {
        let mut of_runs: BTreeMap<RunId, (Vec<KeptLine>, u64)> = BTreeMap::new();
        for line in logs.lines {
            let (run, line) =
                line_from_wire(line).map_err(|invalid| End::Violation(status::invalid_message(&invalid)))?;
            let worker = Some(self.link.worker.clone());
            of_runs.entry(run).or_default().0.push(KeptLine { worker, line });
        }
        for dropped in logs.dropped {
            of_runs.entry(RunId(dropped.run)).or_default().1 += dropped.lines;
        }
        for (run, (lines, dropped)) in of_runs {
            sessions.driver.timelines().log(run, lines, dropped);
        }
        Ok(())
    }

    async fn report(&mut self, sessions: &Sessions, reports: Vec<v1::Report>) -> Result<(), End> {
        let reports =
            reports_from_wire(reports).map_err(|invalid| End::Violation(status::invalid_message(&invalid)))?;
        let ended = reports.iter().map(ops_ended).sum();
        sessions.vitals.did(self.link.session, ended);
        let message = FromSession::Reported(self.link.session, reports);
        sessions.driver.session(message).await.map_err(|Stopped| End::Stopping)
    }

    /// Says how it ended, to the worker and to the driver. Errors of sending say that the worker has gone.
    async fn finish(self, sessions: &Sessions, end: End) {
        let session = self.link.session;
        match end {
            End::Broken => self.park(sessions).await,
            End::HandedOver(handover) => {
                // An error says that the new connection is gone already; the lease time ends the session.
                let _ = handover.send(self.link);
            }
            End::Goodbye => {
                sessions.forget(session);
                tell(sessions, FromSession::Closed(session)).await;
            }
            End::Ended(Some(reason)) => {
                sessions.forget(session);
                for (number, messages) in self.backlog {
                    let frame = v1::CoordinatorFrame {
                        number,
                        messages,
                        ..v1::CoordinatorFrame::default()
                    };
                    let _ = self.outgoing.send(Ok(frame)).await;
                }
                let _ = self.outgoing.send(Ok(ended_frame(reason))).await;
            }
            End::Ended(None) => {
                sessions.forget(session);
                let _ = self.outgoing.send(Err(status::cut_off(session))).await;
            }
            End::Violation(status) => {
                tracing::warn!(%session, %status, "a worker broke the protocol");
                sessions.forget(session);
                tell(sessions, FromSession::Disconnected(session)).await;
                let _ = self.outgoing.send(Err(status)).await;
            }
            End::Stopping => {
                let _ = self.outgoing.send(Err(Stopped.to_status())).await;
            }
        }
    }
}

/// Returns how many ops a report says that they ended.
fn ops_ended(report: &Report) -> u64 {
    match report {
        Report::OpEnded { .. } => 1,
        Report::ChainRan(ran) => ran.ops.len() as u64,
        Report::OpStarted { .. }
        | Report::FetchStarted { .. }
        | Report::Truncated { .. }
        | Report::LeaseEnded { .. }
        | Report::Published { .. }
        | Report::PublishFailed { .. }
        | Report::Draining => 0,
    }
}

/// Waits until the oldest heartbeat is counted, and returns its answer; `None` when it never will be. Safe to be dropped
/// while it waits.
async fn next_counted(
    counting: &mut VecDeque<(v1::HeartbeatReply, oneshot::Receiver<()>)>,
) -> Option<v1::HeartbeatReply> {
    let (reply, answer) = counting.front_mut()?;
    let counted = answer.await;
    let reply = *reply;
    counting.pop_front();
    counted.ok().map(|()| reply)
}

/// Tells the driver; that it has stopped changes nothing any more.
async fn tell(sessions: &Sessions, message: FromSession) {
    if sessions.driver.session(message).await.is_err() {
        tracing::debug!("a session ended after the driver did");
    }
}

/// Makes the last frame of a session.
pub(super) fn ended_frame(reason: EndReason) -> v1::CoordinatorFrame {
    let (reason, message) = match reason {
        EndReason::Replaced => (Reason::Replaced, "another process of this name has connected"),
        EndReason::Expired => (Reason::Expired, "the worker was not heard in time"),
        EndReason::Drained => (Reason::Drained, "the worker is drained and holds nothing any more"),
        EndReason::Protocol => (Reason::Protocol, "the worker said what cannot be"),
    };
    v1::CoordinatorFrame {
        ended: Some(v1::SessionEnded {
            reason: reason.into(),
            message: message.to_owned(),
        }),
        ..v1::CoordinatorFrame::default()
    }
}
