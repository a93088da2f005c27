//! The builder that tests are written with: one agent, a session, one run of three ops after `extract`.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use common::done::OpDone;
use common::failure::Failure;
use common::ids::{Attempt, BatchId, Generation, LeaseId, OpId, OutputId, RunId};
use common::job::{Batching, CsvDialect, FailurePolicy, Job, Op, OpKind, Schedule, Source};
use common::message::{Grant, Input as From, LeaseEnd, OpOutcome, PermitFate, Report, Start, Step, ToWorker};
use common::slice::{ByteSlice, FileId, RunContext, Slice};
use common::time::Time;

use crate::lease::LeaseState;
use crate::{Action, Agent, Chain, ChainEnd, Config, ExitReason, Input, Kept, SessionKind, Welcome};

pub(super) const RUN: RunId = RunId(7);
pub(super) const LEASE_TIME: Duration = Duration::from_secs(5);
pub(super) const MARGIN: Duration = Duration::from_millis(500);

/// One agent under test.
pub(super) struct Scenario {
    pub(super) agent: Agent,
    pub(super) now: Time,
    pub(super) pending: VecDeque<Action>,
    /// The chains that wait for a slot, as the executor keeps them.
    pub(super) queue: VecDeque<Chain>,
}

impl Scenario {
    /// An agent with so many slots, a fresh session and the run open.
    pub(super) fn new(slots: u32) -> Scenario {
        let mut t = Scenario::unconnected(slots);
        t.welcome(SessionKind::Fresh);
        t.receive(ToWorker::OpenRun(context(RUN)))
            .expect([Action::OpenRun(context(RUN))]);
        t
    }

    pub(super) fn unconnected(slots: u32) -> Scenario {
        let config = Config {
            slots: NonZeroU32::new(slots).expect("a worker has slots"),
            drain_grace: Duration::from_secs(30),
            leave_grace: Duration::from_secs(2),
            timeout_grace: Duration::from_secs(3),
        };
        Scenario {
            agent: Agent::new(config),
            now: Time(1_000_000_000_000),
            pending: VecDeque::new(),
            queue: VecDeque::new(),
        }
    }

    pub(super) fn input(&mut self, input: Input) -> &mut Scenario {
        self.agent.handle(input, self.now);
        while let Some(action) = self.agent.next_action() {
            if let Action::QueueChain(chain) = action {
                self.queue.push_back(chain);
            } else if let Action::TakeBackChain { lease } = action {
                self.take_back(lease);
            } else {
                self.pending.push_back(action);
            }
        }
        self.agent.check().expect("the invariants hold");
        let timeout = self.agent.next_timeout();
        assert!(
            timeout.is_none_or(|at| at > self.now),
            "a timeout that is due was not handled"
        );
        self
    }

    fn take_back(&mut self, lease: LeaseId) {
        let place = self.queue.iter().position(|chain| chain.lease == lease);
        if place.and_then(|place| self.queue.remove(place)).is_some() {
            self.agent.handle(Input::ChainTakenBack { lease }, self.now);
        }
    }

    /// Takes the chain that goes on in the slot of one that ends prepared now.
    pub(super) fn take_next(&mut self, ended: LeaseId) -> Option<Chain> {
        if self.now >= self.agent.works_until() {
            return None;
        }
        let lease = self.agent.book.leases.get(&ended)?;
        let place = self.queue.iter().position(|chain| chain.run.run == lease.grant.run);
        self.queue.remove(place?)
    }

    /// Returns the slot that a chain runs in.
    pub(super) fn slot_of(&self, lease: LeaseId) -> Option<u32> {
        match self.agent.book.leases.get(&lease)?.state {
            LeaseState::Running { slot, .. } => Some(slot),
            LeaseState::Waiting | LeaseState::AskedBack(_) | LeaseState::Permitted => None,
        }
    }

    pub(super) fn welcome(&mut self, kind: SessionKind) -> &mut Scenario {
        self.input(Input::Welcomed(Welcome {
            hello_sent_at: self.now,
            lease_time: LEASE_TIME,
            lease_margin: MARGIN,
            heartbeat_interval: Duration::from_secs(1),
            kind,
        }))
    }

    pub(super) fn receive(&mut self, message: ToWorker) -> &mut Scenario {
        self.input(Input::Received(message))
    }

    /// Lets time pass; the coordinator echoes every heartbeat at once.
    pub(super) fn pass_connected(&mut self, time: Duration) -> &mut Scenario {
        self.pass(time, |scenario, sent_at| {
            scenario.input(Input::HeartbeatEchoed { sent_at });
        })
    }

    /// Lets time pass; nothing comes from the coordinator.
    pub(super) fn pass_in_silence(&mut self, time: Duration) -> &mut Scenario {
        self.pass(time, |_, _| {})
    }

    fn pass(&mut self, time: Duration, echo: impl Fn(&mut Scenario, Time)) -> &mut Scenario {
        let end = self.now + time;
        while let Some(at) = self.agent.next_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.input(Input::TimeoutReached);
            let heartbeats: Vec<Time> = self.pending.iter().filter_map(heartbeat).collect();
            self.pending.retain(|action| heartbeat(action).is_none());
            for sent_at in heartbeats {
                echo(self, sent_at);
            }
        }
        self.now = end;
        self
    }

    /// The chain of a lease starts and ends all of these ops.
    pub(super) fn ops_done(&mut self, lease: u64, ops: impl IntoIterator<Item = u16>) -> &mut Scenario {
        for op in ops {
            let (lease, op, at) = (id(lease), OpId(op), self.now);
            self.input(Input::OpStarted { lease, op, at });
            let outcome = OpOutcome::Done(OpDone::default());
            self.input(Input::OpEnded { lease, op, at, outcome });
        }
        self.pending.retain(|action| !is_op_report(action));
        self
    }

    pub(super) fn chain_ends(&mut self, lease: u64, end: ChainEnd) -> &mut Scenario {
        let (lease, next) = (id(lease), None);
        self.input(Input::ChainEnded { lease, end, next })
    }

    /// The chain of a lease ends prepared, and its slot takes the next one that waits.
    pub(super) fn finishes(&mut self, lease: u64) -> &mut Scenario {
        let (lease, end) = (id(lease), ChainEnd::Finished { kept: None });
        let slot = self.slot_of(lease);
        let taken = self.take_next(lease);
        let next = taken.as_ref().map(|chain| chain.lease);
        self.input(Input::ChainEnded { lease, end, next });
        if let (Some(slot), Some(chain)) = (slot, taken) {
            self.pending.push_back(Action::StartChain { slot, chain });
        }
        self
    }

    /// Checks that exactly these actions came, in this order.
    #[track_caller]
    pub(super) fn expect(&mut self, actions: impl IntoIterator<Item = Action>) -> &mut Scenario {
        let expected: Vec<Action> = actions.into_iter().collect();
        let actual: Vec<Action> = self.pending.drain(..).collect();
        assert_eq!(actual, expected);
        self
    }

    #[track_caller]
    pub(super) fn nothing_else(&mut self) -> &mut Scenario {
        self.expect([])
    }
}

fn heartbeat(action: &Action) -> Option<Time> {
    if let Action::SendHeartbeat { sent_at } = action {
        return Some(*sent_at);
    }
    None
}

fn is_op_report(action: &Action) -> bool {
    matches!(
        action,
        Action::Report(Report::OpStarted { .. } | Report::OpEnded { .. })
    )
}

pub(super) fn context(run: RunId) -> Arc<RunContext> {
    let mut ops = vec![Op::extract()];
    ops.extend(["transform_1", "transform_2", "load"].map(|name| Op::new(name, OpKind::Noop)));
    ops[3].timeout = Some(Duration::from_secs(4));
    let source = Source {
        uris: vec!["in.csv".to_owned()],
        csv: CsvDialect::default(),
    };
    let job = Job {
        name: "job".to_owned(),
        source,
        batching: Batching::default(),
        schedule: Schedule::default(),
        ops,
        failure: FailurePolicy::default(),
        deadline: None,
        labels: Default::default(),
        seed: None,
        checkpoint_uri: None,
    };
    Arc::new(RunContext {
        run,
        job: Arc::new(job),
        source: Arc::default(),
        seed: 1,
    })
}

pub(super) fn id(sequence: u64) -> LeaseId {
    LeaseId {
        generation: Generation(1),
        sequence,
    }
}

fn slice() -> From {
    From::Slice(Slice::Bytes(ByteSlice {
        file: FileId(0),
        start: 0,
        end: 10,
        first_line: 2,
        first_row: None,
        rows: Some(1),
        rows_before: 0,
    }))
}

/// A lease of the whole chain of the batch of the same number.
pub(super) fn lease(sequence: u64, start: Start) -> Grant {
    let step = |op| Step {
        op: OpId(op),
        attempt: Attempt::FIRST,
    };
    Grant {
        lease: id(sequence),
        run: RUN,
        batch: Some(BatchId::whole(sequence)),
        steps: (0..4).map(step).collect(),
        input: slice(),
        past: None,
        start,
    }
}

/// A lease of ops 2 and 3, on the output of op 1 that this worker keeps.
pub(super) fn continuation(sequence: u64, batch: u64) -> Grant {
    let mut grant = lease(sequence, Start::Now);
    grant.batch = Some(BatchId::whole(batch));
    grant.steps = grant.steps[2..].into();
    grant.input = From::Local(output(batch, 1));
    grant
}

pub(super) fn grant(sequence: u64, start: Start) -> ToWorker {
    ToWorker::Grant(lease(sequence, start))
}

pub(super) fn output(batch: u64, op: u16) -> OutputId {
    OutputId {
        batch: BatchId::whole(batch),
        op: OpId(op),
        attempt: Attempt::FIRST,
    }
}

pub(super) fn kept(batch: u64, op: u16) -> Option<Kept> {
    let output = output(batch, op);
    Some(Kept { output, bytes: 100 })
}

pub(super) fn starts(grant: Grant, slot: u32) -> Action {
    let chain = Chain {
        lease: grant.lease,
        run: context(grant.run),
        batch: grant.batch,
        steps: grant.steps,
        input: grant.input,
    };
    Action::StartChain { slot, chain }
}

pub(super) fn start(sequence: u64, slot: u32) -> Action {
    starts(lease(sequence, Start::Now), slot)
}

pub(super) fn starts_waiting(sequence: u64, slot: u32) -> Action {
    starts(lease(sequence, Start::OnFreedPermit), slot)
}

pub(super) fn stop(sequence: u64) -> Action {
    Action::StopChain { lease: id(sequence) }
}

pub(super) fn truncate(sequence: u64) -> Action {
    Action::TruncateChain { lease: id(sequence) }
}

pub(super) fn ended(sequence: u64, end: LeaseEnd, permit: PermitFate) -> Action {
    Action::Report(Report::LeaseEnded {
        lease: id(sequence),
        end,
        permit,
    })
}

pub(super) fn parked(batch: u64, op: u16) -> LeaseEnd {
    LeaseEnd::Parked {
        output: output(batch, op),
        bytes: 100,
    }
}

pub(super) fn drops(batch: u64, op: u16) -> Action {
    Action::DropOutput {
        run: RUN,
        output: output(batch, op),
    }
}

pub(super) fn says(report: Report) -> Action {
    Action::Report(report)
}

pub(super) fn exits(reason: ExitReason) -> Action {
    Action::Exit(reason)
}

pub(super) fn broken() -> Failure {
    Failure::retryable("the disk is full")
}
