//! The session with the coordinator, on the wire: connecting, numbered frames, resuming, heartbeats, the clock.
//!
//! Owns the connection and everything that outlives it: the session's id, the frames that the coordinator has not
//! taken, the clock's mapping. It decides nothing: what comes in is handed to the agent as [`SessionEvent`]s, what the
//! agent wants said is packed into frames, as many reports to a frame as are there. It is driven by
//! [`Session::next`], which is safe to be dropped while it waits, so no task and no queue stand in between.
//!
//! A broken connection is dialled again, the coordinators of the list in turn, with a growing and jittered wait; then
//! both sides send what the other has not taken. A coordinator that does not know the session is told in the next hello
//! what the worker holds: it may be the same one, started again. What it does not want to know of is begun anew.
//!
//! Known weakness: reports that the coordinator has not taken are kept without a bound of their own; they are bounded
//! by the leases that the worker holds, and a full outbox ends the session.

mod advertised;
mod committed;
mod connect;
mod connection;
mod dial;
mod outside;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use agent::{SessionEnd, Welcome};
use common::holdings::Holdings;
use common::ids::{RunId, SessionId};
use common::link::{Arrival, Inbox, Outbox, OutboxFull};
use common::logs::LogLine;
use common::message::{Report, ToWorker};
use common::time::Time;
use proto::convert::logs::line_to_wire;
use proto::convert::packed::{messages_from_wire, reports_to_wire};
use proto::v1;
use tokio::time::Instant;

pub use crate::task_log::TaskLogs;
pub use advertised::Advertised;
pub use committed::{CommittedPages, Coordinator};
pub use connect::{Introduction, SessionError};
pub use outside::{Connecting, Outside};

use self::connect::{Claim, ConnectError, Connected};
use self::connection::{Connection, Incoming};
use crate::clock::ClockMap;
use crate::task_log::Parcel;

/// How many frames may wait to be taken by the coordinator.
const OUTBOX: usize = 1_024;
/// How many reports go into a frame: far below the size limit of a message.
const REPORTS_PER_FRAME: usize = 512;

type Dialling = Pin<Box<dyn Future<Output = Result<Connected, ConnectError>> + Send>>;

/// What happened on the wire.
#[derive(Debug)]
pub enum SessionEvent {
    /// The hello was answered.
    Welcomed {
        /// What the agent has to know.
        welcome: Welcome,
        /// What the exchange checks tickets with.
        exchange_key: Vec<u8>,
    },
    /// The coordinator said something.
    Received(Vec<ToWorker>),
    /// A heartbeat was answered.
    HeartbeatEchoed {
        /// The time that it carried.
        sent_at: Time,
    },
    /// The connection broke.
    Disconnected,
    /// The coordinator does not know the session: it wants to be told what is held, with [`Session::reattach`].
    Unknown,
    /// The session is over.
    Ended(SessionEnd),
}

/// What a heartbeat says besides the time.
#[derive(Clone, Copy, Debug)]
pub struct Vitals {
    /// Resident memory in bytes; 0 where that cannot be told.
    pub rss_bytes: u64,
    /// Bytes of parked outputs.
    pub parked_bytes: u64,
    /// How many of them are on disk.
    pub spilled_bytes: u64,
    /// The most resident memory since the last heartbeat, as far as the system tells it.
    pub peak_rss_bytes: u64,
    /// The most bytes of batches held in memory since then.
    pub peak_held_bytes: u64,
}

enum State {
    Waiting {
        until: Instant,
    },
    /// For the agent to say what is held.
    Listing,
    Dialling(Dialling),
    Connected(Box<Connection>),
}

/// Whether the coordinator may know the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acquaintance {
    /// It may.
    Known,
    /// The one that answered last does not.
    Unknown,
}

/// How many chains run.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChainsRunning {
    /// All of them.
    pub all: usize,
    /// Those of a session that is over.
    pub orphans: usize,
}

/// The worker's session.
pub struct Session {
    outside: Outside,
    /// What tasks logged and is not sent.
    task_logs: TaskLogs,
    introduction: Introduction,
    coordinator: Coordinator,
    state: State,
    next_url: usize,
    failures: u32,
    clock: ClockMap,
    session: Option<SessionId>,
    acquaintance: Acquaintance,
    /// What the session's exchange checks tickets with.
    exchange_key: Vec<u8>,
    /// How many hellos were said.
    hellos: u64,
    outbox: Outbox<Vec<v1::Report>>,
    inbox: Inbox,
    /// Numbered frames that are not on the wire yet.
    backlog: VecDeque<(u64, Vec<v1::Report>)>,
    /// Reports that are in no frame yet.
    unsent: Vec<Report>,
    events: VecDeque<SessionEvent>,
    running: ChainsRunning,
}

impl Session {
    /// Makes a session that is not begun; [`Session::next`] dials.
    pub fn new(introduction: Introduction, coordinator: Coordinator, task_logs: TaskLogs, outside: Outside) -> Session {
        Session {
            outside,
            task_logs,
            introduction,
            coordinator,
            state: State::Waiting { until: Instant::now() },
            next_url: 0,
            failures: 0,
            clock: ClockMap::default(),
            session: None,
            acquaintance: Acquaintance::Known,
            exchange_key: Vec::new(),
            hellos: 0,
            outbox: Outbox::new(OUTBOX),
            inbox: Inbox::default(),
            backlog: VecDeque::new(),
            unsent: Vec::new(),
            events: VecDeque::new(),
            running: ChainsRunning::default(),
        }
    }

    /// Notes how many chains run. A new session is not begun before those have ended that its hello does not list: the
    /// coordinator takes a hello for the word that nothing else runs, and lets others have the units.
    pub fn note_running(&mut self, chains: ChainsRunning) {
        self.running = chains;
    }

    /// Says something, now or when the session is resumed; its times are mapped to the coordinator's clock.
    pub fn report(&mut self, report: Report) {
        let mut mapped = report;
        match &mut mapped {
            Report::OpStarted { at, .. } | Report::OpEnded { at, .. } | Report::FetchStarted { at, .. } => {
                *at = self.clock.to_coordinator(*at)
            }
            Report::ChainRan(ran) => {
                for op in &mut ran.ops {
                    op.started = self.clock.to_coordinator(op.started);
                    op.ended = self.clock.to_coordinator(op.ended);
                }
            }
            Report::Truncated { .. }
            | Report::LeaseEnded { .. }
            | Report::Published { .. }
            | Report::PublishFailed { .. }
            | Report::Draining => {}
        }
        self.unsent.push(mapped);
    }

    /// Sends a heartbeat as soon as the connection takes it.
    pub fn send_heartbeat(&mut self, sent_at: Time, vitals: Vitals) {
        let estimate = self.clock.best();
        if let State::Connected(connection) = &mut self.state {
            connection.heartbeat = Some(v1::Heartbeat {
                sent_at_nanos: sent_at.0,
                rss_bytes: vitals.rss_bytes,
                parked_bytes: vitals.parked_bytes,
                spilled_bytes: vitals.spilled_bytes,
                peak_rss_bytes: vitals.peak_rss_bytes,
                peak_held_bytes: vitals.peak_held_bytes,
                clock_offset_nanos: estimate.offset,
                clock_error_nanos: estimate.error,
            });
        }
    }

    /// Says in the next hello what is held. Reports before it are void.
    pub fn reattach(&mut self, holdings: &Holdings) {
        self.forget_frames();
        let Some(session) = self.session else {
            return self.wait();
        };
        let holdings = v1::Holdings {
            session: Some(session.into()),
            exchange_key: self.exchange_key.clone(),
            listed_at_nanos: self.outside.now().0,
            ..holdings.into()
        };
        self.dial(Claim::Holdings(holdings));
    }

    /// Drops the connection and dials again.
    pub fn reconnect(&mut self) {
        self.disconnect();
    }

    /// Sends what is left to say and a goodbye, and waits for the coordinator to close the stream, for a while.
    pub async fn leave(mut self, patience: Duration) {
        let leaving = async {
            while let State::Connected(connection) = &mut self.state {
                if pack(&mut self.unsent, &mut self.outbox, &mut self.backlog).is_err() {
                    return;
                }
                connection.goodbye_after_reports();
                match self.next().await {
                    Ok(SessionEvent::Disconnected | SessionEvent::Ended(_)) | Err(_) => return,
                    Ok(
                        SessionEvent::Welcomed { .. }
                        | SessionEvent::Received(_)
                        | SessionEvent::HeartbeatEchoed { .. }
                        | SessionEvent::Unknown,
                    ) => {}
                }
            }
        };
        if tokio::time::timeout(patience, leaving).await.is_err() {
            tracing::debug!("the coordinator did not answer the goodbye");
        }
    }

    /// Returns the next event. Safe to be dropped while it waits.
    ///
    /// # Errors
    /// [`SessionError`] when the worker has to end.
    pub async fn next(&mut self) -> Result<SessionEvent, SessionError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            match &mut self.state {
                State::Waiting { until } => {
                    tokio::time::sleep_until(*until).await;
                    self.dial_if_it_may();
                }
                State::Listing => std::future::pending().await,
                State::Dialling(dialling) => match dialling.await {
                    Ok(connected) => self.on_connected(connected),
                    Err(error) => self.on_refused(error)?,
                },
                State::Connected(_) => self.converse().await,
            }
        }
    }

    /// Sends what waits and takes what comes, once.
    async fn converse(&mut self) {
        let State::Connected(connection) = &mut self.state else {
            return;
        };
        if self.backlog.is_empty()
            && let Err(error) = pack(&mut self.unsent, &mut self.outbox, &mut self.backlog)
        {
            tracing::warn!(%error, "the session is given up");
            return self.end_session(SessionEnd::Protocol);
        }
        // Lines go along with the last frame that waits, so that they hold up no report.
        if self.backlog.len() <= 1 && connection.logs.is_none() && !self.task_logs.is_empty() {
            connection.logs = Some(parcel_to_wire(self.task_logs.take(), &self.clock));
        }
        match connection.step(&mut self.backlog, self.inbox.received()).await {
            Incoming::Nothing => {}
            Incoming::Frame(frame) => self.take(*frame),
            Incoming::Broken { message } => {
                if connection.is_over() {
                    tracing::debug!(%message, "the coordinator closed the connection");
                } else {
                    tracing::warn!(%message, "the connection to the coordinator broke");
                }
                self.disconnect();
            }
        }
    }

    fn take(&mut self, frame: v1::CoordinatorFrame) {
        let now = self.outside.now();
        if let Err(error) = self.outbox.acknowledge(frame.acknowledged) {
            tracing::warn!(%error, "the coordinator broke the protocol");
            return self.end_session(SessionEnd::Protocol);
        }
        if let Some(reply) = frame.heartbeat_reply {
            let sent_at = Time(reply.sent_at_nanos);
            let (received, replied) = (Time(reply.received_at_nanos), Time(reply.replied_at_nanos));
            self.clock.round_trip(sent_at, received, replied, now);
            self.events.push_back(SessionEvent::HeartbeatEchoed { sent_at });
        }
        if frame.number != 0 {
            match self.inbox.arrive(frame.number) {
                Arrival::Next => self.take_messages(frame.messages),
                Arrival::Repeat => {}
                Arrival::Gap => return self.disconnect(),
            }
        }
        if let Some(ended) = frame.ended {
            let end = connect::session_end(ended.reason());
            tracing::info!(message = %ended.message, "the coordinator ended the session");
            self.end_session(end);
        }
    }

    fn take_messages(&mut self, messages: Vec<v1::ToWorker>) {
        match messages_from_wire(messages) {
            Ok(messages) => self.events.push_back(SessionEvent::Received(messages)),
            Err(error) => {
                tracing::error!(%error, "the coordinator said what cannot be");
                self.end_session(SessionEnd::Protocol);
            }
        }
    }

    fn disconnect(&mut self) {
        self.coordinator.disconnected();
        self.wait();
        self.events.push_back(SessionEvent::Disconnected);
    }

    fn end_session(&mut self, end: SessionEnd) {
        self.coordinator.disconnected();
        self.forget_session();
        self.wait();
        self.events.push_back(SessionEvent::Ended(end));
    }

    fn forget_session(&mut self) {
        self.session = None;
        self.acquaintance = Acquaintance::Known;
        self.forget_frames();
    }

    fn forget_frames(&mut self) {
        self.outbox = Outbox::new(OUTBOX);
        self.inbox = Inbox::default();
        self.backlog.clear();
        self.unsent.clear();
    }
}

fn parcel_to_wire(parcel: Parcel, clock: &ClockMap) -> v1::TaskLogs {
    let line = |(run, line): (RunId, LogLine)| {
        let at = clock.to_coordinator(line.at);
        line_to_wire(run, LogLine { at, ..line })
    };
    let dropped = |(run, lines): (RunId, u64)| v1::DroppedLogLines { run: run.0, lines };
    v1::TaskLogs {
        lines: parcel.lines.into_iter().map(line).collect(),
        dropped: parcel.dropped.into_iter().map(dropped).collect(),
    }
}

/// Makes numbered frames of the reports that are in none yet.
fn pack(
    unsent: &mut Vec<Report>,
    outbox: &mut Outbox<Vec<v1::Report>>,
    backlog: &mut VecDeque<(u64, Vec<v1::Report>)>,
) -> Result<(), OutboxFull> {
    for reports in unsent.chunks(REPORTS_PER_FRAME) {
        let frame = reports_to_wire(reports);
        let number = outbox.push(frame.clone())?;
        backlog.push_back((number, frame));
    }
    unsent.clear();
    Ok(())
}
