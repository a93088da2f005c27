//! The world of one history: true time, what will happen, and everything that it happens to.
//!
//! The loop takes the next happening and lets the part that it concerns deal with it; each part is a file of its own.
//! The first promise that is found broken ends the history.

use std::collections::BTreeMap;
use std::time::Duration;

use agent::Input;
use common::ids::{BatchId, LeaseId, RunId, SessionId};
use common::message::Publish;
use common::slice::Slice;
use common::time::Time;
use scheduler::{Event, RecordSequence};

use crate::coordinator::Coordinator;
use crate::disk::Disk;
use crate::oracle::Oracle;
use crate::plan::Plan;
use crate::random::Random;
use crate::sabotage::Sabotage;
use crate::trace::{Telling, Trace};
use crate::users::User;
use crate::wire::{Blocked, Connection, ConnectionId, Up};
use crate::worker::{Process, ProcessId};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The oracle that saw it.
    pub oracle: String,
    /// What it saw.
    pub found: String,
    /// When, in simulated time from the beginning.
    pub at: Duration,
}

/// How long after the last fault runs may take, beyond their work.
const PATIENCE: Duration = Duration::from_secs(180);

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A packet of a worker arrives.
    Up(ConnectionId),
    /// A packet of the coordinator arrives.
    Down(ConnectionId),
    /// The coordinator learns that a connection is lost.
    LostAtCoordinator(ConnectionId),
    /// A worker learns that a connection is lost.
    LostAtWorker(ProcessId, ConnectionId),
    /// A worker dials.
    Dial(ProcessId),
    /// Nobody answers the dialled number.
    DialFailed(ProcessId, ConnectionId),
    /// The scheduler wants to be woken.
    WakeScheduler(u64),
    /// An agent wants to be woken.
    WakeAgent(ProcessId),
    /// The slots of a worker tell its agent something.
    TellAgent(ProcessId, Input),
    /// A chain goes on.
    Chain(ProcessId, LeaseId, u64),
    /// A publication is done or fails.
    Publish(ProcessId, Box<Publish>),
    /// The disk has synced.
    Synced(u64),
    /// The coordinator learns what is durable.
    Durable(u64, RecordSequence),
    /// Slices were found.
    Slices(u64, RunId, u64, usize),
    /// The slice of a failed batch was cut.
    Cut(u64, RunId, BatchId, Box<Slice>),
    /// A heartbeat is counted late.
    Heard(u64, SessionId),
    /// A user does the next thing.
    User(usize),
    /// A user's request arrives.
    Submit(usize),
    /// A user is answered.
    Accepted(usize, RunId),
    /// Somebody lets a paused run go on.
    Resume(usize),
    /// A fault happens.
    Fault(usize),
    /// The coordinator is started.
    StartCoordinator,
    /// A worker is started, unless it runs.
    StartWorker(usize),
    /// The tasks of a worker that was frozen count again.
    Thawed(ProcessId),
}

/// The world.
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) sabotage: Sabotage,
    pub(crate) now: Time,
    agenda: BTreeMap<(Time, u64), Happening>,
    numbered: u64,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) disk: Disk,
    pub(crate) coordinator: Option<Coordinator>,
    /// How often the coordinator was started: its generation.
    pub(crate) incarnation: u64,
    pub(crate) stalled_until: Time,
    pub(crate) slow_disk_until: Time,
    pub(crate) armed: crate::faults::Armed,
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    pub(crate) last_process: u32,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    pub(crate) last_connection: u32,
    /// Per worker.
    pub(crate) blocked: Vec<Blocked>,
    pub(crate) users: Vec<User>,
    pub(crate) oracle: Oracle,
    broken: Option<Broken>,
    happenings: u64,
}

/// How a history ended.
#[derive(Debug)]
pub struct Outcome {
    /// The promise that was broken, if one was.
    pub broken: Option<Broken>,
    /// What stands for all that happened.
    pub hash: u64,
    /// How many things happened.
    pub happenings: u64,
    /// The lines that tell it, if they were wanted.
    pub lines: Vec<String>,
}

impl World {
    /// Makes the world of a plan.
    pub fn new(plan: Plan, sabotage: Sabotage, telling: Telling) -> World {
        let mut world = World {
            random: Random::new(plan.seed, 2),
            sabotage,
            now: Time::ZERO,
            agenda: BTreeMap::new(),
            numbered: 0,
            trace: Trace::new(telling),
            disk: Disk::default(),
            coordinator: None,
            incarnation: 0,
            stalled_until: Time::ZERO,
            slow_disk_until: Time::ZERO,
            armed: crate::faults::Armed::default(),
            processes: BTreeMap::new(),
            last_process: 0,
            connections: BTreeMap::new(),
            last_connection: 0,
            blocked: vec![Blocked::default(); plan.workers.len()],
            users: plan.jobs.iter().map(|_| User::default()).collect(),
            oracle: Oracle::new(&plan),
            broken: None,
            happenings: 0,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.schedule(Time::ZERO, Happening::StartCoordinator);
        for worker in 0..self.plan.workers.len() {
            let at = Time::ZERO + self.plan.workers[worker].joins_at;
            self.schedule(at, Happening::StartWorker(worker));
        }
        for job in 0..self.plan.jobs.len() {
            self.schedule(Time::ZERO + self.plan.jobs[job].submitted_at, Happening::User(job));
        }
        for fault in 0..self.plan.faults.len() {
            self.schedule(Time::ZERO + self.plan.faults[fault].at, Happening::Fault(fault));
        }
    }

    /// Lets the history happen.
    pub fn run(mut self) -> Outcome {
        let calm = Time::ZERO + self.plan.calm_at();
        let end = calm + PATIENCE + self.plan.work() * 3;
        while self.broken.is_none() {
            let Some(((at, _), happening)) = self.agenda.pop_first() else {
                break;
            };
            self.now = self.now.max(at);
            self.happenings += 1;
            if self.now > end {
                self.complain_of_no_end();
                break;
            }
            self.dispatch(happening);
            if self.now > calm && self.has_ended() {
                break;
            }
        }
        if self.broken.is_none() {
            self.check_end();
        }
        Outcome {
            broken: self.broken,
            hash: self.trace.hash(),
            happenings: self.happenings,
            lines: self.trace.into_lines(),
        }
    }

    pub(crate) fn schedule(&mut self, at: Time, happening: Happening) {
        self.numbered += 1;
        self.agenda.insert((at, self.numbered), happening);
    }

    /// Notes a broken promise; the first one counts.
    pub(crate) fn fail(&mut self, oracle: &str, found: impl FnOnce() -> String) {
        if self.broken.is_none() {
            let broken = Broken {
                oracle: oracle.to_owned(),
                found: found(),
                at: self.now.since(Time::ZERO),
            };
            self.trace.note(self.now, &[99], || {
                format!("BROKEN {}: {}", broken.oracle, broken.found)
            });
            self.broken = Some(broken);
        }
    }

    pub(crate) fn require(&mut self, holds: bool, oracle: &str, found: impl FnOnce() -> String) {
        if !holds {
            self.fail(oracle, found);
        }
    }

    fn dispatch(&mut self, happening: Happening) {
        if let Some(later) = self.not_before(&happening) {
            return self.schedule(later, happening);
        }
        match happening {
            Happening::Up(connection) => self.arrive_up(connection),
            Happening::Down(connection) => self.arrive_down(connection),
            Happening::LostAtCoordinator(connection) => self.on_lost_at_coordinator(connection),
            Happening::LostAtWorker(process, connection) => self.on_lost_at_worker(process, connection),
            Happening::Dial(process) => self.dial(process),
            Happening::DialFailed(process, connection) => self.on_dial_failed(process, connection),
            Happening::WakeScheduler(incarnation) => self.wake_scheduler(incarnation),
            Happening::WakeAgent(process) => self.wake_agent(process),
            Happening::TellAgent(process, input) => self.tell_agent(process, input),
            Happening::Chain(process, lease, turn) => self.go_on_with_chain(process, lease, turn),
            Happening::Publish(process, publish) => self.put_in_place(process, &publish),
            Happening::Synced(incarnation) => self.on_synced(incarnation),
            Happening::Durable(incarnation, sequence) => self.on_durable(incarnation, sequence),
            Happening::Slices(incarnation, run, reopened, count) => self.on_slices(incarnation, run, reopened, count),
            Happening::Cut(incarnation, run, batch, slice) => self.on_cut(incarnation, run, batch, &slice),
            Happening::Heard(incarnation, session) if incarnation == self.incarnation => {
                self.tell_scheduler(Event::SessionHeard { session });
            }
            Happening::Heard(..) => {}
            Happening::User(user) => self.act_for_user(user),
            Happening::Submit(user) => self.on_submit(user),
            Happening::Accepted(user, run) => self.on_accepted(user, run),
            Happening::Resume(user) => self.resume(user),
            Happening::Fault(fault) => self.on_fault(fault),
            Happening::StartCoordinator => self.start_coordinator(),
            Happening::StartWorker(worker) => self.start_worker(worker),
            Happening::Thawed(process) => self.on_thawed(process),
        }
    }

    /// Returns when something can happen to whom it concerns: a frozen process and a stalled coordinator take nothing.
    fn not_before(&self, happening: &Happening) -> Option<Time> {
        let process = match happening {
            Happening::Up(connection) => return self.stall_of(self.next_up(*connection)),
            Happening::LostAtCoordinator(_)
            | Happening::WakeScheduler(_)
            | Happening::Heard(..)
            | Happening::Durable(..)
            | Happening::Slices(..)
            | Happening::Cut(..)
            | Happening::Submit(_) => return self.stall_of(None),
            Happening::Down(connection) => self.connections.get(connection)?.process,
            Happening::LostAtWorker(process, _)
            | Happening::Dial(process)
            | Happening::DialFailed(process, _)
            | Happening::WakeAgent(process)
            | Happening::TellAgent(process, _)
            | Happening::Publish(process, _) => *process,
            Happening::Chain(process, lease, _) => {
                let due = self.processes.get(process)?.chains.get(lease)?.due;
                return (due > self.now).then_some(due);
            }
            Happening::Synced(_)
            | Happening::User(_)
            | Happening::Accepted(..)
            | Happening::Resume(_)
            | Happening::Fault(_)
            | Happening::StartCoordinator
            | Happening::StartWorker(_)
            | Happening::Thawed(_) => return None,
        };
        let wakes = self.processes.get(&process)?.wakes_at;
        (wakes > self.now).then_some(wakes)
    }

    fn stall_of(&self, packet: Option<&Up>) -> Option<Time> {
        let (Some(_), true) = (&self.coordinator, self.stalled_until > self.now) else {
            return None;
        };
        if self.sabotage == Sabotage::EchoBeforeCounting
            && let Some(Up::Frame(frame)) = packet
            && frame.heartbeat.is_some()
        {
            return None;
        }
        Some(self.stalled_until)
    }
}
