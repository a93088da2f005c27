//! A worker's side of its session: dialling, numbered frames, resuming.
//!
//! It does what `worker/src/session` does on the wire, with the same numbered frames of `common::link`.

use std::collections::VecDeque;
use std::time::Duration;

use agent::{Input, SessionEnd, SessionKind, Welcome};
use common::holdings::Holdings;
use common::ids::SessionId;
use common::link::{Arrival, Inbox, Outbox};
use common::message::Report;
use common::time::Time;
use scheduler::EndReason;

use crate::links::ACKNOWLEDGE_EVERY;
use crate::sabotage::Sabotage;
use crate::wire::{Beginning, Claim, ConnectionId, CoordinatorFrame, Down, Goodbye, Refusal, Up, WorkerFrame};
use crate::worker::ProcessId;
use crate::world::{Happening, World};

const OUTBOX: usize = 1_024;
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// The session of a worker's process.
#[derive(Debug)]
pub(crate) struct Session {
    state: State,
    session: Option<SessionId>,
    outbox: Outbox<Vec<Report>>,
    inbox: Inbox,
    unsent: VecDeque<Report>,
    failures: u32,
    unacknowledged: u32,
    hellos: u64,
    acquaintance: Acquaintance,
    hello_sent_at: Time,
}

/// Whether the coordinator may know the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acquaintance {
    Known,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// For the agent to say what is held.
    Listing,
    Dialling(ConnectionId),
    Connected(ConnectionId),
}

impl Default for Session {
    fn default() -> Session {
        Session {
            state: State::Waiting,
            session: None,
            outbox: Outbox::new(OUTBOX),
            inbox: Inbox::default(),
            unsent: VecDeque::new(),
            failures: 0,
            unacknowledged: 0,
            hellos: 0,
            acquaintance: Acquaintance::Known,
            hello_sent_at: Time::ZERO,
        }
    }
}

impl Session {
    /// Returns the connection, or the one that is being made.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self.state {
            State::Waiting | State::Listing => None,
            State::Dialling(connection) | State::Connected(connection) => Some(connection),
        }
    }

    /// Returns the session that it has.
    pub(crate) fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Tells whether the coordinator can be asked something.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_))
    }

    /// Says something, now or when the session is resumed.
    pub(crate) fn say(&mut self, report: Report) {
        self.unsent.push_back(report);
    }

    fn forget(&mut self) {
        self.session = None;
        self.acquaintance = Acquaintance::Known;
        self.forget_frames();
    }

    fn forget_frames(&mut self) {
        self.outbox = Outbox::new(OUTBOX);
        self.inbox = Inbox::default();
        self.unsent.clear();
        self.unacknowledged = 0;
    }
}

impl World {
    pub(crate) fn dial(&mut self, id: ProcessId) {
        let Some(process) = self
            .processes
            .get_mut(&id)
            .filter(|process| process.session.state == State::Waiting)
        else {
            return;
        };
        let session = &mut process.session;
        let unlisted = match session.session {
            None => process.agent.running(),
            Some(_) => process.agent.orphans(),
        };
        match (session.session, session.acquaintance) {
            // Nothing may run when a new session is begun that its hello does not list.
            (None, _) | (Some(_), Acquaintance::Unknown) if unlisted > 0 => {
                self.schedule(self.now + LOOK_AGAIN, Happening::Dial(id));
            }
            (Some(_), Acquaintance::Unknown) => {
                session.state = State::Listing;
                self.tell_agent(id, Input::SessionUnknown);
            }
            (None, _) => self.say_hello(id, Claim::Nothing),
            (Some(known), Acquaintance::Known) => {
                let claim = Claim::Session(known, session.inbox.received());
                self.say_hello(id, claim);
            }
        }
    }

    /// Says in a hello what is held. Reports before it are void.
    pub(crate) fn reattach(&mut self, id: ProcessId, holdings: Box<Holdings>) {
        let Some(session) = self.processes.get_mut(&id).map(|process| &mut process.session) else {
            return;
        };
        session.forget_frames();
        match session.session {
            Some(known) => self.say_hello(id, Claim::Holdings(known, holdings)),
            None => self.wait_to_dial(id),
        }
    }

    fn say_hello(&mut self, id: ProcessId, claim: Claim) {
        let sent_at = self.clock_of(id);
        let Some(worker) = self.processes.get(&id).map(|process| process.worker) else {
            return;
        };
        let connection = self.connect(id, worker);
        let is_up = self.coordinator.is_some();
        let wait = if is_up { HELLO_TIMEOUT } else { self.latency() };
        self.schedule(self.now + wait, Happening::DialFailed(id, connection));
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let session = &mut process.session;
        session.state = State::Dialling(connection);
        session.hello_sent_at = sent_at;
        session.hellos += 1;
        let number = session.hellos;
        if is_up {
            self.send_up(connection, Up::Hello { number, claim });
        }
    }

    pub(crate) fn on_dial_failed(&mut self, id: ProcessId, connection: ConnectionId) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        if process.session.state == State::Dialling(connection) {
            self.send_up(connection, Up::Closed);
            self.wait_to_dial(id);
        }
    }

    pub(crate) fn on_lost_at_worker(&mut self, id: ProcessId, connection: ConnectionId) {
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        match process.session.state {
            State::Dialling(dialled) if dialled == connection => self.wait_to_dial(id),
            State::Connected(current) if current == connection => {
                self.wait_to_dial(id);
                self.tell_agent(id, Input::Disconnected);
            }
            State::Waiting | State::Listing | State::Dialling(_) | State::Connected(_) => {}
        }
    }

    /// Drops the connection and dials again.
    pub(crate) fn reconnect(&mut self, id: ProcessId) {
        if let Some(connection) = self.processes.get(&id).and_then(|process| process.session.connection()) {
            self.send_up(connection, Up::Closed);
            self.wait_to_dial(id);
            self.tell_agent_soon(id, Input::Disconnected);
        }
    }

    fn wait_to_dial(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let session = &mut process.session;
        session.state = State::Waiting;
        let longest = FIRST_WAIT
            .saturating_mul(1 << session.failures.min(16))
            .min(LONGEST_WAIT);
        session.failures += 1;
        let at = self.now + longest / 2 + self.random.up_to(longest / 2);
        self.schedule(at, Happening::Dial(id));
    }

    pub(crate) fn take_down(&mut self, id: ProcessId, connection: ConnectionId, packet: Down) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let state = process.session.state;
        match packet {
            Down::Welcome { session, beginning } if state == State::Dialling(connection) => {
                self.on_welcome(id, connection, session, beginning);
            }
            Down::Refused(refusal) if state == State::Dialling(connection) => {
                let session = &mut process.session;
                if refusal == Refusal::NotResumable && session.session.is_some() {
                    session.acquaintance = Acquaintance::Unknown;
                    session.state = State::Waiting;
                    return self.schedule(self.now, Happening::Dial(id));
                }
                match refusal {
                    Refusal::NotResumable => self.wait_to_dial(id),
                    Refusal::Ended(reason) => self.end_session(id, session_end(reason)),
                }
            }
            Down::Frame(frame) if state == State::Connected(connection) => self.take_coordinator_frame(id, frame),
            Down::Closed => self.on_lost_at_worker(id, connection),
            Down::Welcome { .. } | Down::Refused(_) | Down::Frame(_) => {}
        }
    }

    fn on_welcome(&mut self, id: ProcessId, connection: ConnectionId, session: SessionId, beginning: Beginning) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let mine = &mut process.session;
        mine.failures = 0;
        let frames = match beginning {
            Beginning::Fresh => {
                mine.forget();
                mine.session = Some(session);
                Ok(Vec::new())
            }
            Beginning::Reattached => {
                mine.session = Some(session);
                mine.acquaintance = Acquaintance::Known;
                Ok(Vec::new())
            }
            Beginning::Resumed(last_received) => {
                mine.outbox.resend_after(last_received).map(Iterator::collect::<Vec<_>>)
            }
        };
        mine.state = State::Connected(connection);
        let acknowledged = mine.inbox.received();
        let hello_sent_at = mine.hello_sent_at;
        let frames = match frames {
            Ok(frames) => frames,
            Err(error) => return self.fail("WIRE", || format!("{session} cannot be resumed: {error}")),
        };
        for (number, reports) in frames {
            let frame = WorkerFrame {
                number,
                acknowledged,
                reports,
                ..WorkerFrame::default()
            };
            self.send_up(connection, Up::Frame(frame));
        }
        let terms = &self.plan.terms;
        let for_ever = self.sabotage == Sabotage::WorkerNeverStops;
        let lease_time = if for_ever {
            terms.lease_time * 1_000
        } else {
            terms.lease_time
        };
        let welcome = Welcome {
            hello_sent_at,
            lease_time,
            lease_margin: terms.lease_margin,
            heartbeat_interval: terms.heartbeat,
            kind: match beginning {
                Beginning::Fresh => SessionKind::Fresh,
                Beginning::Resumed(_) => SessionKind::Resumed,
                Beginning::Reattached => SessionKind::Reattached,
            },
        };
        self.tell_agent(id, Input::Welcomed(welcome));
    }

    fn take_coordinator_frame(&mut self, id: ProcessId, frame: CoordinatorFrame) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let session = &mut process.session;
        if let Err(error) = session.outbox.acknowledge(frame.acknowledged) {
            return self.fail("WIRE", || format!("process {}: {error}", id.0));
        }
        let mut messages = Vec::new();
        if frame.number != 0 {
            session.unacknowledged += 1;
            match session.inbox.arrive(frame.number) {
                Arrival::Next => messages = frame.messages,
                Arrival::Repeat => {}
                Arrival::Gap => return self.fail("WIRE", || format!("process {}: frames are missing", id.0)),
            }
        }
        if let Some(sent_at) = frame.echo {
            self.tell_agent(id, Input::HeartbeatEchoed { sent_at });
        }
        for message in messages {
            self.tell_agent(id, Input::Received(message));
        }
        if let Some(reason) = frame.ended {
            let end = session_end(reason);
            self.require(end != SessionEnd::Protocol, "PROTOCOL", || {
                format!("process {} said what cannot be", id.0)
            });
            return self.end_session(id, end);
        }
        self.acknowledge_frames(id);
    }

    fn end_session(&mut self, id: ProcessId, end: SessionEnd) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let connection = process.session.connection();
        process.session.forget();
        if let Some(connection) = connection {
            self.send_up(connection, Up::Closed);
        }
        self.wait_to_dial(id);
        self.tell_agent(id, Input::SessionEnded(end));
    }

    fn acknowledge_frames(&mut self, id: ProcessId) {
        let Some(session) = self.processes.get_mut(&id).map(|process| &mut process.session) else {
            return;
        };
        let State::Connected(connection) = session.state else {
            return;
        };
        if session.unacknowledged >= ACKNOWLEDGE_EVERY {
            session.unacknowledged = 0;
            let acknowledged = session.inbox.received();
            let frame = WorkerFrame {
                acknowledged,
                ..WorkerFrame::default()
            };
            self.send_up(connection, Up::Frame(frame));
        }
    }

    /// Makes a frame of what is to be said, and sends it if there is a connection.
    pub(crate) fn flush_session(&mut self, id: ProcessId) {
        self.send_reports(id, None);
    }

    pub(crate) fn say_goodbye(&mut self, id: ProcessId) {
        self.send_reports(id, Some(Goodbye));
    }

    fn send_reports(&mut self, id: ProcessId, goodbye: Option<Goodbye>) {
        let Some(session) = self.processes.get_mut(&id).map(|process| &mut process.session) else {
            return;
        };
        let State::Connected(connection) = session.state else {
            return;
        };
        let reports: Vec<Report> = session.unsent.drain(..).collect();
        if reports.is_empty() && goodbye.is_none() {
            return;
        }
        let number = if reports.is_empty() {
            Ok(0)
        } else {
            session.outbox.push(reports.clone())
        };
        let Ok(number) = number else {
            return self.end_session(id, SessionEnd::Protocol);
        };
        session.unacknowledged = 0;
        let frame = WorkerFrame {
            number,
            acknowledged: session.inbox.received(),
            heartbeat: None,
            reports,
            goodbye,
        };
        self.send_up(connection, Up::Frame(frame));
    }

    pub(crate) fn send_heartbeat(&mut self, id: ProcessId, sent_at: Time) {
        let Some(session) = self.processes.get_mut(&id).map(|process| &mut process.session) else {
            return;
        };
        if let State::Connected(connection) = session.state {
            let frame = WorkerFrame {
                acknowledged: session.inbox.received(),
                heartbeat: Some(sent_at),
                ..WorkerFrame::default()
            };
            self.send_up(connection, Up::Frame(frame));
        }
    }
}

fn session_end(reason: EndReason) -> SessionEnd {
    match reason {
        EndReason::Replaced => SessionEnd::Replaced,
        EndReason::Expired => SessionEnd::Expired,
        EndReason::Drained => SessionEnd::Drained,
        EndReason::Protocol => SessionEnd::Protocol,
    }
}
