//! The coordinator's side of worker sessions: hellos, numbered frames, resuming, ends.
//!
//! It does what `coordinator/src/grpc/session` does on the wire, with the same numbered frames of `common::link`.

use std::num::NonZeroU32;

use common::holdings::Holdings;
use common::ids::{SessionId, WorkerName};
use common::job::OpKind;
use common::link::{Arrival, Inbox, Outbox};
use common::message::{ChainRan, LeaseEnd, Report, ToWorker};
use scheduler::{EndReason, Event, NewSession, Reattached};

use crate::plan::Exchange;
use crate::sabotage::Sabotage;
use crate::wire::{Beginning, Claim, ConnectionId, CoordinatorFrame, Down, Refusal, Up, WorkerFrame};
use crate::world::{Happening, World};

/// How many frames may be unacknowledged.
const OUTBOX: usize = 1_024;
/// How many frames are taken before they are acknowledged at the latest.
pub(crate) const ACKNOWLEDGE_EVERY: u32 = 16;

/// A session as the coordinator's edge keeps it.
#[derive(Debug)]
pub(crate) struct Link {
    /// The connection whose hello opened the session, while that is not durable.
    greeting: Option<(ConnectionId, Beginning)>,
    pub(crate) connection: Option<ConnectionId>,
    outbox: Outbox<Vec<ToWorker>>,
    inbox: Inbox,
    pub(crate) round: Vec<ToWorker>,
    unacknowledged: u32,
}

impl World {
    pub(crate) fn take_up(&mut self, connection: ConnectionId, packet: Up) {
        match packet {
            Up::Hello {
                claim: Claim::Session(session, last_received),
                ..
            } => self.resume_session(connection, session, last_received),
            Up::Hello {
                number,
                claim: Claim::Holdings(session, holdings),
            } if session.generation.0 < self.incarnation => {
                let (from, mut holdings) = (session, *holdings);
                if self.sabotage == Sabotage::HoldingsForgotten {
                    holdings = Holdings::default();
                }
                self.open_session(connection, number, Some(Reattached { from, holdings }));
            }
            Up::Hello {
                number,
                claim: Claim::Nothing | Claim::Holdings(..),
            } => self.open_session(connection, number, None),
            Up::Frame(frame) => self.take_frame(connection, frame),
            Up::Closed => self.on_lost_at_coordinator(connection),
        }
    }

    fn open_session(&mut self, connection: ConnectionId, hello: u64, reattached: Option<Reattached>) {
        let Some(process) = self.connections.get(&connection).map(|connection| connection.process) else {
            return;
        };
        let worker = self.connections[&connection].worker;
        let plan = &self.plan.workers[worker];
        let ops = OpKind::NAMES.iter().filter(|name| plan.lacks != Some(**name));
        let ops = ops.map(|name| (*name).to_owned()).collect();
        let exchange_address = match plan.exchange {
            Exchange::Listens => format!("http://process-{}", process.0),
            Exchange::None => String::new(),
        };
        let slots = NonZeroU32::new(plan.slots).unwrap_or(NonZeroU32::MIN);
        let Some(coordinator) = &mut self.coordinator else {
            return;
        };
        coordinator.last_session += 1;
        let session = SessionId {
            generation: common::ids::Generation(self.incarnation),
            sequence: coordinator.last_session,
        };
        let beginning = match reattached {
            Some(_) => Beginning::Reattached,
            None => Beginning::Fresh,
        };
        let link = Link {
            greeting: Some((connection, beginning)),
            connection: None,
            outbox: Outbox::new(OUTBOX),
            inbox: Inbox::default(),
            round: Vec::new(),
            unacknowledged: 0,
        };
        coordinator.links.insert(session, link);
        let listed = reattached.clone();
        self.tell_scheduler(Event::SessionOpened(Box::new(NewSession {
            session,
            worker: WorkerName::new(&format!("worker-{worker}")).expect("is a name"),
            instance: format!("process-{}", process.0),
            slots,
            ops,
            exchange_address,
            hello,
            reattached,
        })));
        if let Some(Reattached { holdings, .. }) = listed {
            self.check_reattached(session, &holdings);
        }
    }

    pub(crate) fn accept_session(&mut self, session: SessionId) {
        self.check_accepted_session(session);
        let Some(link) = self.coordinator.as_mut().and_then(|c| c.links.get_mut(&session)) else {
            return;
        };
        match link.greeting.take() {
            Some((connection, beginning)) => {
                link.connection = Some(connection);
                let acknowledged = link.inbox.received();
                let frames = link.outbox.resend_after(0).map(Iterator::collect::<Vec<_>>);
                self.send_down(connection, Down::Welcome { session, beginning });
                self.send_frames(connection, acknowledged, frames.unwrap_or_default());
            }
            None => self.tell_scheduler(Event::SessionDisconnected { session }),
        }
    }

    fn resume_session(&mut self, connection: ConnectionId, session: SessionId, last_received: u64) {
        let Some(link) = self.coordinator.as_mut().and_then(|c| c.links.get_mut(&session)) else {
            return self.send_down(connection, Down::Refused(Refusal::NotResumable));
        };
        link.connection = None;
        self.tell_scheduler(Event::SessionResumed { session });
        let Some(link) = self.coordinator.as_mut().and_then(|c| c.links.get_mut(&session)) else {
            return self.send_down(connection, Down::Refused(Refusal::NotResumable));
        };
        let acknowledged = link.inbox.received();
        let frames = link.outbox.resend_after(last_received).map(Iterator::collect::<Vec<_>>);
        link.connection = Some(connection);
        let frames = match frames {
            Ok(frames) => frames,
            Err(error) => return self.fail("WIRE", || format!("{session} cannot be resumed: {error}")),
        };
        let beginning = Beginning::Resumed(acknowledged);
        self.send_down(connection, Down::Welcome { session, beginning });
        self.send_frames(connection, acknowledged, frames);
    }

    /// Sends frames that are not acknowledged, on a new connection.
    fn send_frames(&mut self, connection: ConnectionId, acknowledged: u64, frames: Vec<(u64, Vec<ToWorker>)>) {
        for (number, messages) in frames {
            let frame = CoordinatorFrame {
                number,
                acknowledged,
                messages,
                ..CoordinatorFrame::default()
            };
            self.send_down(connection, Down::Frame(frame));
        }
    }

    fn session_on(&mut self, connection: ConnectionId) -> Option<(SessionId, &mut Link)> {
        let links = self.coordinator.as_mut()?.links.iter_mut();
        let mut on_it = links.filter(|(_, link)| link.connection == Some(connection));
        on_it.next().map(|(session, link)| (*session, link))
    }

    fn take_frame(&mut self, connection: ConnectionId, mut frame: WorkerFrame) {
        let Some((session, link)) = self.session_on(connection) else {
            return;
        };
        if let Err(error) = link.outbox.acknowledge(frame.acknowledged) {
            return self.fail("WIRE", || format!("{session}: {error}"));
        }
        let mut reports = Vec::new();
        if frame.number != 0 {
            link.unacknowledged += 1;
            match link.inbox.arrive(frame.number) {
                Arrival::Next => reports = std::mem::take(&mut frame.reports),
                Arrival::Repeat => {}
                Arrival::Gap => return self.fail("WIRE", || format!("{session}: frames are missing")),
            }
        }
        for report in &reports {
            self.take_late_commit(report);
        }
        let reported = |report| Event::Reported { session, report };
        self.tell_scheduler_all(reports.into_iter().map(reported));
        if frame.heartbeat.is_some() {
            self.count_heartbeat(session, &frame, connection);
        }
        if frame.goodbye.is_some() {
            if let Some(coordinator) = &mut self.coordinator {
                coordinator.links.remove(&session);
            }
            return self.tell_scheduler(Event::SessionClosed { session });
        }
        self.acknowledge(connection);
    }

    fn take_late_commit(&mut self, report: &Report) {
        if let (
            Sabotage::FencingOff,
            Report::ChainRan(ChainRan { lease, .. })
            | Report::LeaseEnded {
                lease,
                end: LeaseEnd::Prepared,
                ..
            },
        ) = (self.sabotage, report)
        {
            self.accept_late_commit(*lease);
        }
    }

    /// Answers a heartbeat once the scheduler has counted it.
    fn count_heartbeat(&mut self, session: SessionId, frame: &WorkerFrame, connection: ConnectionId) {
        if self.stalled_until > self.now {
            // Only a broken coordinator answers while it is stalled.
            self.schedule(self.stalled_until, Happening::Heard(self.incarnation, session));
        } else {
            self.tell_scheduler(Event::SessionHeard { session });
        }
        let frame = CoordinatorFrame {
            echo: frame.heartbeat,
            acknowledged: self.session_on(connection).map_or(0, |(_, link)| link.inbox.received()),
            ..CoordinatorFrame::default()
        };
        if self.session_on(connection).is_some() {
            self.send_down(connection, Down::Frame(frame));
        }
    }

    fn acknowledge(&mut self, connection: ConnectionId) {
        let Some((_, link)) = self.session_on(connection) else {
            return;
        };
        if link.unacknowledged >= ACKNOWLEDGE_EVERY {
            link.unacknowledged = 0;
            let acknowledged = link.inbox.received();
            let frame = CoordinatorFrame {
                acknowledged,
                ..CoordinatorFrame::default()
            };
            self.send_down(connection, Down::Frame(frame));
        }
    }

    /// Makes a frame of each session's round, and sends it if there is a connection.
    pub(crate) fn flush_links(&mut self) {
        let Some(coordinator) = &mut self.coordinator else {
            return;
        };
        let mut to_send = Vec::new();
        let mut full = Vec::new();
        for (session, link) in &mut coordinator.links {
            if link.round.is_empty() {
                continue;
            }
            let messages = std::mem::take(&mut link.round);
            match link.outbox.push(messages.clone()) {
                Ok(number) => {
                    link.unacknowledged = 0;
                    let frame = CoordinatorFrame {
                        number,
                        acknowledged: link.inbox.received(),
                        messages,
                        ..CoordinatorFrame::default()
                    };
                    to_send.extend(link.connection.map(|connection| (connection, frame)));
                }
                Err(_full) => full.push(*session),
            }
        }
        for (connection, frame) in to_send {
            self.send_down(connection, Down::Frame(frame));
        }
        for session in full {
            if let Some(coordinator) = &mut self.coordinator {
                coordinator.links.remove(&session);
            }
            self.tell_scheduler(Event::SessionDisconnected { session });
        }
    }

    pub(crate) fn end_link(&mut self, session: SessionId, reason: EndReason) {
        self.flush_links();
        let Some(link) = self.coordinator.as_mut().and_then(|c| c.links.remove(&session)) else {
            return;
        };
        if let Some((connection, _)) = link.greeting {
            self.send_down(connection, Down::Refused(Refusal::Ended(reason)));
            // What its worker said it holds is with the session of before, as if it had not come back.
            self.oracle.out.close(session);
        }
        if let Some(connection) = link.connection {
            let frame = CoordinatorFrame {
                acknowledged: link.inbox.received(),
                ended: Some(reason),
                ..CoordinatorFrame::default()
            };
            self.send_down(connection, Down::Frame(frame));
        }
    }

    pub(crate) fn on_lost_at_coordinator(&mut self, connection: ConnectionId) {
        let Some(coordinator) = &mut self.coordinator else {
            return;
        };
        for link in coordinator.links.values_mut() {
            if link.greeting.is_some_and(|(greeted, _)| greeted == connection) {
                link.greeting = None;
            }
        }
        if let Some((session, link)) = self.session_on(connection) {
            link.connection = None;
            self.tell_scheduler(Event::SessionDisconnected { session });
        }
    }
}
