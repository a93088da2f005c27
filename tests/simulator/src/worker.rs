//! A worker's process: the real agent, its clock, and the glue that the worker's run loop is in production.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use agent::{Action, Agent, Chain, Config, ExitReason, Input};
use common::failure::Failure;
use common::ids::{LeaseId, OutputId, RunId};
use common::message::Publish;
use common::time::Time;

use crate::executor::ChainRun;
use crate::plan::Notice;
use crate::random::{Draw, mix};
use crate::session::Session;
use crate::wire::Up;
use crate::world::{Happening, World};

/// Names a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessId(pub(crate) u32);

/// A running process of a worker.
pub(crate) struct Process {
    pub(crate) worker: usize,
    pub(crate) agent: Agent,
    clock: Clock,
    pub(crate) session: Session,
    pub(crate) chains: BTreeMap<LeaseId, ChainRun>,
    /// Chains that wait for a slot, in the order in which they came.
    pub(crate) queue: VecDeque<Chain>,
    pub(crate) parked: BTreeMap<(RunId, OutputId), u64>,
    runs: BTreeSet<RunId>,
    /// When the process runs again, if it is frozen.
    pub(crate) wakes_at: Time,
    /// When its tasks count against the caps again: one watchdog tick after it goes on.
    pub(crate) counts_from: Time,
    pub(crate) slow_until: Time,
    wake: Option<Time>,
    last_told: Time,
}

/// A monotonic clock of its own rate.
#[derive(Clone, Copy, Debug)]
struct Clock {
    offset: u64,
    rate: u64,
}

impl Clock {
    fn read(self, now: Time) -> Time {
        Time(self.offset + (u128::from(now.0) * u128::from(self.rate) / 1_000_000) as u64)
    }

    /// Returns when the clock shows a time.
    fn when(self, shown: Time) -> Time {
        let passed = u128::from(shown.0.saturating_sub(self.offset));
        Time((passed * 1_000_000).div_ceil(u128::from(self.rate)) as u64)
    }
}

impl World {
    /// Starts a worker unless a process of it runs.
    pub(crate) fn start_worker(&mut self, worker: usize) {
        if self.newest(worker).is_none() {
            self.add_process(worker);
        }
    }

    pub(crate) fn add_process(&mut self, worker: usize) {
        self.last_process += 1;
        let id = ProcessId(self.last_process);
        self.trace.note(self.now, &[10, u64::from(id.0)], || {
            format!("worker-{worker} starts as process {}", id.0)
        });
        let plan = &self.plan.workers[worker];
        let config = Config {
            slots: NonZeroU32::new(plan.slots).unwrap_or(NonZeroU32::MIN),
            drain_grace: Duration::from_secs(10),
            leave_grace: Duration::from_secs(1),
            timeout_grace: Duration::from_secs(2),
        };
        let process = Process {
            worker,
            agent: Agent::new(config),
            clock: Clock {
                offset: 1_000_000_000 * u64::from(id.0),
                rate: plan.clock_rate,
            },
            session: Session::default(),
            chains: BTreeMap::new(),
            queue: VecDeque::new(),
            parked: BTreeMap::new(),
            runs: BTreeSet::new(),
            wakes_at: Time::ZERO,
            counts_from: Time::ZERO,
            slow_until: Time::ZERO,
            wake: None,
            last_told: Time::ZERO,
        };
        self.processes.insert(id, process);
        self.schedule(self.now, Happening::Dial(id));
    }

    /// Returns the process of a worker that was started last.
    pub(crate) fn newest(&self, worker: usize) -> Option<ProcessId> {
        let mut of_worker = self
            .processes
            .iter()
            .rev()
            .filter(|(_, process)| process.worker == worker);
        of_worker.next().map(|(id, _)| *id)
    }

    /// Returns the time by a process's clock.
    pub(crate) fn clock_of(&self, id: ProcessId) -> Time {
        self.processes
            .get(&id)
            .map_or(Time::ZERO, |process| process.clock.read(self.now))
    }

    /// Ends a process without a word; its machine may go with it.
    pub(crate) fn crash_process(&mut self, id: ProcessId, notice: Notice) {
        let Some(process) = self.processes.remove(&id) else {
            return;
        };
        self.trace
            .note(self.now, &[11, u64::from(id.0)], || format!("process {} dies", id.0));
        if let Some(connection) = process.session.connection() {
            match notice {
                Notice::Told => self.send_up(connection, Up::Closed),
                Notice::Silent => self.cut(connection, Notice::Silent),
            }
        }
        self.forget_tasks(id);
        let back = self.now + Duration::from_millis(200) + self.random.up_to(Duration::from_secs(3));
        self.schedule(back, Happening::StartWorker(process.worker));
    }

    pub(crate) fn wake_agent(&mut self, id: ProcessId) {
        let now = self.now;
        let Some(process) = self
            .processes
            .get_mut(&id)
            .filter(|process| process.wake.is_some_and(|at| at <= now))
        else {
            return;
        };
        process.wake = None;
        self.tell_agent(id, Input::TimeoutReached);
    }

    /// Tells a worker's agent something, and does what it says.
    pub(crate) fn tell_agent(&mut self, id: ProcessId, input: Input) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let at = process.clock.read(now);
        self.trace.note(now, &[12, u64::from(id.0), input_code(&input)], || {
            let mut text = format!("{input:?}");
            text.truncate(200);
            format!("agent {} <- {text}", id.0)
        });
        process.agent.handle(input, at);
        let broken = process.agent.check().err();
        if let Some(broken) = broken {
            self.fail("AGENT", || format!("process {}: {broken:?}", id.0));
        }
        while let Some(action) = self
            .processes
            .get_mut(&id)
            .and_then(|process| process.agent.next_action())
        {
            self.act(id, action);
        }
        self.flush_session(id);
        self.set_alarm(id);
    }

    fn set_alarm(&mut self, id: ProcessId) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let Some(timeout) = process.agent.next_timeout() else {
            process.wake = None;
            return;
        };
        let late = Duration::from_nanos(mix(&[self.plan.seed, timeout.0]) % 2_000_000);
        let at = (process.clock.when(timeout) + late).max(now);
        if process.wake.is_none_or(|wake| at < wake || wake < now) {
            process.wake = Some(at);
            self.schedule(at, Happening::WakeAgent(id));
        }
    }

    fn act(&mut self, id: ProcessId, action: Action) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        match action {
            Action::OpenRun(context) => {
                process.runs.insert(context.run);
            }
            Action::CloseRun { run } => {
                process.runs.remove(&run);
                process.parked.retain(|(owner, _), _| *owner != run);
            }
            Action::StartChain { slot, chain } => self.start_chain(id, slot, chain),
            Action::QueueChain(chain) => process.queue.push_back(chain),
            Action::TakeBackChain { lease } => {
                let place = process.queue.iter().position(|chain| chain.lease == lease);
                if place.and_then(|place| process.queue.remove(place)).is_some() {
                    let at = process.clock.read(self.now);
                    process.agent.handle(Input::ChainTakenBack { lease }, at);
                }
            }
            Action::TruncateChain { lease } => self.truncate_chain(id, lease),
            Action::TimeOutOp { lease, op } => self.time_out_op(id, lease, op),
            Action::StopChain { lease } => self.stop_chain(id, lease),
            Action::DropOutput { run, output } => {
                process.parked.remove(&(run, output));
            }
            Action::Publish(publish) => {
                let at = self.now + self.random.up_to(Duration::from_millis(20));
                self.schedule(at, Happening::Publish(id, Box::new(publish)));
            }
            Action::Report(report) => process.session.say(report),
            Action::SendHeartbeat { sent_at } => self.send_heartbeat(id, sent_at),
            Action::Reattach(holdings) => self.reattach(id, holdings),
            Action::Reconnect => self.reconnect(id),
            Action::SayGoodbye => self.say_goodbye(id),
            Action::Exit(reason) => self.exit(id, reason),
        }
    }

    fn exit(&mut self, id: ProcessId, reason: ExitReason) {
        self.trace.note(self.now, &[13, u64::from(id.0)], || {
            format!("process {} exits: {reason:?}", id.0)
        });
        self.oracle.exits.push(reason);
        self.crash_process(id, Notice::Told);
    }

    /// Lets a worker's slots tell its agent something, in order, a moment later.
    pub(crate) fn tell_agent_soon(&mut self, id: ProcessId, input: Input) {
        let wait = self.random.up_to(Duration::from_micros(300));
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let at = (self.now + wait).max(process.last_told);
        process.last_told = at;
        self.schedule(at, Happening::TellAgent(id, input));
    }

    /// Puts committed parts in place, or fails to.
    pub(crate) fn put_in_place(&mut self, id: ProcessId, publish: &Publish) {
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        let lease = publish.lease;
        let drawn = mix(&[self.plan.seed, 8, lease.generation.0, lease.sequence, self.now.0]);
        let input = if !process.runs.contains(&publish.run) {
            let failure = Failure::retryable("the run is not open on this worker");
            Input::PublishFailed { lease, failure }
        } else if Draw::of(drawn, self.plan.weather.publish_failures) == Draw::Yes {
            let failure = Failure::retryable("the disk is full");
            self.oracle.injected += 1;
            Input::PublishFailed { lease, failure }
        } else {
            self.on_published(publish);
            Input::Published { lease }
        };
        self.tell_agent(id, input);
    }
}

fn input_code(input: &Input) -> u64 {
    match input {
        Input::Welcomed(_) => 1,
        Input::Received(_) => 2,
        Input::HeartbeatEchoed { sent_at } => sent_at.0,
        Input::Disconnected => 3,
        Input::SessionEnded(_) => 4,
        Input::SessionUnknown => 8,
        Input::FetchStarted { lease, .. } => 90 + lease.sequence * 64,
        Input::OpStarted { lease, op, .. } => 100 + lease.sequence * 64 + u64::from(op.0),
        Input::OpEnded { lease, op, .. } => 200 + lease.sequence * 64 + u64::from(op.0),
        Input::ChainTruncated { lease, .. } => 300 + lease.sequence * 64,
        Input::ChainEnded { lease, .. } => 400 + lease.sequence * 64,
        Input::ChainRan { lease, .. } => 450 + lease.sequence * 64,
        Input::ChainTakenBack { lease } => 475 + lease.sequence * 64,
        Input::Published { lease } => 500 + lease.sequence * 64,
        Input::PublishFailed { lease, .. } => 600 + lease.sequence * 64,
        Input::DrainRequested => 5,
        Input::LeaveNow => 6,
        Input::TimeoutReached => 7,
    }
}
