//! One connection of the session: frames out when there is room, frames in when they come.

use std::collections::VecDeque;

use proto::v1;
use tokio::sync::mpsc;
use tonic::Streaming;

/// How many frames are taken before they are acknowledged at the latest.
const ACKNOWLEDGE_EVERY: u32 = 16;

/// An open connection.
pub(super) struct Connection {
    outgoing: Option<mpsc::Sender<v1::WorkerFrame>>,
    incoming: Streaming<v1::CoordinatorFrame>,
    /// The heartbeat to send next.
    pub(super) heartbeat: Option<v1::Heartbeat>,
    /// What goes along with the next frame that has no other behind it.
    pub(super) logs: Option<v1::TaskLogs>,
    goodbye: Goodbye,
    unacknowledged: u32,
}

/// Whether the worker says goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goodbye {
    /// Not yet.
    No,
    /// When every report is on the wire.
    Due,
    /// It has.
    Said,
}

/// What came of one step.
pub(super) enum Incoming {
    /// Something was sent.
    Nothing,
    /// A frame came in.
    Frame(Box<v1::CoordinatorFrame>),
    /// The connection is of no use any more.
    Broken {
        /// Why.
        message: String,
    },
}

impl Connection {
    pub(super) fn new(
        outgoing: mpsc::Sender<v1::WorkerFrame>,
        incoming: Streaming<v1::CoordinatorFrame>,
    ) -> Connection {
        Connection {
            outgoing: Some(outgoing),
            incoming,
            heartbeat: None,
            logs: None,
            goodbye: Goodbye::No,
            unacknowledged: 0,
        }
    }

    /// Tells whether the worker has said goodbye, so that the end of the connection is what it waits for.
    pub(super) fn is_over(&self) -> bool {
        self.goodbye == Goodbye::Said
    }

    /// Says goodbye when the reports that wait have been sent.
    pub(super) fn goodbye_after_reports(&mut self) {
        if self.goodbye == Goodbye::No {
            self.goodbye = Goodbye::Due;
        }
    }

    /// Sends one frame or takes one, whichever can be done first. Safe to be dropped while it waits.
    pub(super) async fn step(&mut self, backlog: &mut VecDeque<(u64, Vec<v1::Report>)>, received: u64) -> Incoming {
        let has_to_send = !backlog.is_empty()
            || self.heartbeat.is_some()
            || self.unacknowledged >= ACKNOWLEDGE_EVERY
            || self.goodbye == Goodbye::Due;
        let outgoing = self.outgoing.clone();
        let room = async {
            match &outgoing {
                Some(outgoing) if has_to_send => outgoing.reserve().await.ok(),
                Some(_) | None => std::future::pending().await,
            }
        };
        // What there is to send is sent in one frame or a few, so nothing that comes in waits for long.
        tokio::select! {
            biased;
            room = room => {
                let Some(room) = room else {
                    return Incoming::Broken { message: "the stream is closed".to_owned() };
                };
                let (number, reports) = backlog.pop_front().unwrap_or_default();
                let says_goodbye = self.goodbye == Goodbye::Due && backlog.is_empty();
                self.unacknowledged = 0;
                room.send(v1::WorkerFrame {
                    number,
                    acknowledged: received,
                    heartbeat: self.heartbeat.take(),
                    logs: if backlog.is_empty() { self.logs.take() } else { None },
                    goodbye: says_goodbye.then(|| v1::Goodbye { reason: "the worker was asked to leave".to_owned() }),
                    reports,
                    ..v1::WorkerFrame::default()
                });
                if says_goodbye {
                    self.goodbye = Goodbye::Said;
                    self.outgoing = None;
                }
                Incoming::Nothing
            }
            frame = self.incoming.message() => match frame {
                Ok(Some(frame)) => {
                    if frame.number != 0 {
                        self.unacknowledged += 1;
                    }
                    Incoming::Frame(Box::new(frame))
                }
                Ok(None) => Incoming::Broken { message: "the coordinator closed the stream".to_owned() },
                Err(status) => Incoming::Broken { message: status.message().to_owned() },
            },
        }
    }
}
