//! The network: connections that keep their order, and may be late, blocked, cut, or half open.
//!
//! What is sent on one connection arrives in order or not at all; nothing is promised between connections.

use std::collections::VecDeque;
use std::time::Duration;

use common::holdings::Holdings;
use common::ids::SessionId;
use common::message::{Report, ToWorker};
use common::time::Time;
use scheduler::EndReason;

use crate::plan::{Notice, Way};
use crate::random::Draw;
use crate::worker::ProcessId;
use crate::world::{Happening, World};

/// Names a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u32);

/// A connection between a worker's process and an incarnation of the coordinator.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) process: ProcessId,
    pub(crate) worker: usize,
    pub(crate) incarnation: u64,
    /// What is under way, in order; for each packet a happening lets the first one arrive.
    ups: VecDeque<Up>,
    downs: VecDeque<Down>,
    /// When the last thing sent in a direction arrives.
    up_last: Time,
    down_last: Time,
    line: Line,
}

/// Whether anything passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Whole,
    Cut,
}

/// What goes from a worker to the coordinator.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Hello { number: u64, claim: Claim },
    Frame(WorkerFrame),
    Closed,
}

/// What goes from the coordinator to a worker.
#[derive(Clone, Debug)]
pub(crate) enum Down {
    Welcome { session: SessionId, beginning: Beginning },
    Refused(Refusal),
    Frame(CoordinatorFrame),
    Closed,
}

/// What a hello claims from before.
#[derive(Clone, Debug)]
pub(crate) enum Claim {
    Nothing,
    /// A session, and the last frame taken in it.
    Session(SessionId, u64),
    /// What is held from a session that the coordinator does not know.
    Holdings(SessionId, Box<Holdings>),
}

/// How a session begins, or goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Beginning {
    Fresh,
    /// With the last frame that the coordinator has taken.
    Resumed(u64),
    Reattached,
}

/// Why a hello is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The session that was to be resumed is over.
    NotResumable,
    /// The session was ended before it began.
    Ended(EndReason),
}

/// A frame of a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkerFrame {
    pub(crate) number: u64,
    pub(crate) acknowledged: u64,
    pub(crate) heartbeat: Option<Time>,
    pub(crate) reports: Vec<Report>,
    pub(crate) goodbye: Option<Goodbye>,
}

/// The worker leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goodbye;

/// A frame of the coordinator.
#[derive(Clone, Debug, Default)]
pub(crate) struct CoordinatorFrame {
    pub(crate) number: u64,
    pub(crate) acknowledged: u64,
    pub(crate) echo: Option<Time>,
    pub(crate) messages: Vec<ToWorker>,
    pub(crate) ended: Option<EndReason>,
}

/// Until when a worker's directions are blocked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Blocked {
    up: Time,
    down: Time,
}

impl Blocked {
    pub(crate) fn block(&mut self, way: Way, until: Time) {
        match way {
            Way::Up => self.up = self.up.max(until),
            Way::Down => self.down = self.down.max(until),
            Way::Both => {
                self.up = self.up.max(until);
                self.down = self.down.max(until);
            }
        }
    }
}

impl World {
    pub(crate) fn connect(&mut self, process: ProcessId, worker: usize) -> ConnectionId {
        self.last_connection += 1;
        let id = ConnectionId(self.last_connection);
        let connection = Connection {
            process,
            worker,
            incarnation: self.incarnation,
            ups: VecDeque::new(),
            downs: VecDeque::new(),
            up_last: Time::ZERO,
            down_last: Time::ZERO,
            line: Line::Whole,
        };
        self.connections.insert(id, connection);
        id
    }

    pub(crate) fn send_up(&mut self, id: ConnectionId, packet: Up) {
        let latency = self.latency();
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let at = (self.now + latency).max(connection.up_last);
        connection.up_last = at;
        connection.ups.push_back(packet);
        self.schedule(at, Happening::Up(id));
    }

    pub(crate) fn send_down(&mut self, id: ConnectionId, packet: Down) {
        let latency = self.latency();
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let at = (self.now + latency).max(connection.down_last);
        connection.down_last = at;
        connection.downs.push_back(packet);
        self.schedule(at, Happening::Down(id));
    }

    /// Lets a packet of a worker through, or holds it while its direction is blocked, or drops it.
    pub(crate) fn arrive_up(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let free = self.blocked[connection.worker].up;
        if connection.line == Line::Cut || connection.incarnation != self.incarnation || self.coordinator.is_none() {
            return;
        }
        if self.now < free {
            connection.up_last = connection.up_last.max(free);
            return self.schedule(free, Happening::Up(id));
        }
        if let Some(packet) = connection.ups.pop_front() {
            self.take_up(id, packet);
        }
    }

    /// Lets a packet of the coordinator through, or holds it while its direction is blocked, or drops it.
    pub(crate) fn arrive_down(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let free = self.blocked[connection.worker].down;
        if connection.line == Line::Cut {
            return;
        }
        if self.now < free {
            connection.down_last = connection.down_last.max(free);
            return self.schedule(free, Happening::Down(id));
        }
        let process = connection.process;
        if let Some(packet) = connection.downs.pop_front() {
            self.take_down(process, id, packet);
        }
    }

    /// Returns the packet of a worker that arrives next.
    pub(crate) fn next_up(&self, id: ConnectionId) -> Option<&Up> {
        self.connections.get(&id)?.ups.front()
    }

    /// Breaks a connection: what is under way is lost.
    pub(crate) fn cut(&mut self, id: ConnectionId, notice: Notice) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.line = Line::Cut;
        let process = connection.process;
        if notice == Notice::Told {
            let (up, down) = (self.latency(), self.latency());
            self.schedule(self.now + up, Happening::LostAtCoordinator(id));
            self.schedule(self.now + down, Happening::LostAtWorker(process, id));
        }
    }

    /// Draws how long a message is under way.
    pub(crate) fn latency(&mut self) -> Duration {
        let weather = &self.plan.weather;
        let late = match self.random.happens(weather.late_messages) {
            Draw::Yes => Duration::from_secs(1),
            Draw::No => Duration::ZERO,
        };
        weather.latency + self.random.up_to(weather.jitter + late)
    }
}
