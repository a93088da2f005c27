//! The state machine's doors: `handle`, `next_command`, `next_timeout`, and what can be asked of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use common::ids::{BatchId, LeaseId, RunId, SessionId};
use common::job::{Job, PoolName};
use common::message::ToWorker;
use common::slice::RunContext;
use common::state::{Reopening, RunState};
use common::summary::RunSummary;
use common::time::Time;

use crate::durability::{AfterDurable, Waiting};
use crate::handlers::steering::Unanswered;
use crate::lease::Lease;
use crate::ledger::{CoordinatorLimits, RunLedger};
use crate::limits::{Cap, Share};
use crate::pools::Pool;
use crate::publication::Publication;
use crate::restore::FormerSessions;
use crate::run::{Run, RunPhase};
use crate::timers::Timers;
use crate::view::{self, BatchView, WorkerView};
use crate::worker::{Session, SessionPhase};
use crate::{Command, Config, Event, Record};

/// The scheduler: all runs, batches, leases and sessions of a coordinator.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: Config,
    pub(crate) runs: BTreeMap<RunId, Run>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) leases: BTreeMap<LeaseId, Box<Lease>>,
    /// Permits in use over all runs: units of the coordinator's cap.
    pub(crate) units: u32,
    /// The runs in the order in which they are served: priority, then who has the fewest permits for its weight, then age.
    pub(crate) turns: BTreeSet<(Reverse<i32>, Share, RunId)>,
    /// Sessions with free slots, by how many; the earliest session last among equals.
    pub(crate) idle: BTreeSet<(u32, Reverse<SessionId>)>,
    /// Sessions with slots in use and few leases queued behind them.
    pub(crate) hungry: BTreeSet<SessionId>,
    /// Sessions with free slots and leases queued behind none.
    pub(crate) startable: BTreeSet<SessionId>,
    /// How many leases are fenced and not over.
    pub(crate) fenced: usize,
    /// The worker processes that batches of runs that go on have lost and that were not seen again.
    pub(crate) lost_processes: BTreeSet<String>,
    /// How many sessions are live.
    pub(crate) live_sessions: usize,
    /// The slots of all live sessions together.
    pub(crate) live_slots: u64,
    /// The free ones of them.
    pub(crate) free_slots: u64,
    /// Committed parts that are not in place yet, by the lease they were committed under.
    pub(crate) publications: BTreeMap<LeaseId, Publication>,
    /// What workers may still hold from before a restart.
    pub(crate) former: FormerSessions,
    /// What runs that ended with failures could be reopened with.
    pub(crate) ended: BTreeMap<RunId, RunLedger>,
    /// Those of them whose reopening is recorded and not durable.
    pub(crate) reopening: BTreeSet<RunId>,
    /// Runs that have ended in another way, and whose checkpoints are kept until they are forgotten.
    pub(crate) checkpointed: BTreeMap<RunId, Arc<RunContext>>,
    pub(crate) timers: Timers,
    /// The limits that runs share.
    pub(crate) pools: BTreeMap<PoolName, Pool>,
    /// Runs of which some op has a rate.
    pub(crate) rated: BTreeSet<RunId>,
    /// Runs of which batches that were set aside wait for room.
    pub(crate) returning: BTreeSet<RunId>,
    /// How much of each cap may be in use that was lowered below what was.
    pub(crate) lowered: BTreeMap<Cap, u32>,
    /// The time of the event that is handled.
    pub(crate) now: Time,
    pub(crate) waiting: Waiting,
    /// Answers that wait until nothing begins any more that the command forbids.
    pub(crate) unanswered: Vec<Unanswered>,
    pub(crate) last_lease: u64,
    pub(crate) commands: VecDeque<Command>,
}

impl Scheduler {
    /// Makes a scheduler that knows no run and no worker.
    pub fn new(config: Config) -> Scheduler {
        let mut scheduler = Scheduler::unsettled(config);
        scheduler.settle_declared(&CoordinatorLimits::default());
        scheduler
    }

    /// Makes a scheduler whose declared limits are not compared with those that the journal keeps.
    pub(crate) fn unsettled(config: Config) -> Scheduler {
        Scheduler {
            config,
            runs: BTreeMap::new(),
            sessions: BTreeMap::new(),
            leases: BTreeMap::new(),
            units: 0,
            turns: BTreeSet::new(),
            idle: BTreeSet::new(),
            hungry: BTreeSet::new(),
            startable: BTreeSet::new(),
            fenced: 0,
            lost_processes: BTreeSet::new(),
            live_sessions: 0,
            live_slots: 0,
            free_slots: 0,
            publications: BTreeMap::new(),
            former: FormerSessions::default(),
            ended: BTreeMap::new(),
            checkpointed: BTreeMap::new(),
            reopening: BTreeSet::new(),
            timers: Timers::default(),
            pools: BTreeMap::new(),
            rated: BTreeSet::new(),
            returning: BTreeSet::new(),
            lowered: BTreeMap::new(),
            now: Time::ZERO,
            waiting: Waiting::default(),
            unanswered: Vec::new(),
            last_lease: 0,
            commands: VecDeque::new(),
        }
    }

    /// Takes an event; what is to be done about it comes out of [`Scheduler::next_command`].
    pub fn handle(&mut self, event: Event, now: Time) {
        self.handle_all([event], now);
    }

    /// Takes events that came together, in order, and then grants what fits.
    pub fn handle_all(&mut self, events: impl IntoIterator<Item = Event>, now: Time) {
        self.now = now;
        for event in events {
            self.take(event, now);
        }
        while let Some(timer) = self.timers.pop_due(now) {
            self.on_timer(timer, now);
        }
        self.grant_what_fits(now);
        self.settle_lowered();
        self.answer_what_is_settled();
    }

    fn take(&mut self, event: Event, now: Time) {
        match event {
            Event::RunSubmitted(new) => self.on_run_submitted(*new, now),
            Event::Asked(asked) => self.on_asked(*asked, now),
            Event::SlicesFound {
                run,
                slices,
                checkpoints,
                bytes_sharded,
                end,
            } => {
                self.inherit(run, checkpoints);
                self.on_slices_found(run, slices, bytes_sharded, end, now);
            }
            Event::SourceFailed { run, failure } => self.on_source_failed(run, failure, now),
            Event::SliceCut { run, batch, cut } => self.on_slice_cut(run, batch, cut, now),
            Event::RetryRequested { run, batches, by } => self.on_retry_requested(run, batches, by, now),
            Event::RunForgotten { run } => self.on_run_forgotten(run),
            Event::SessionOpened(new) => self.on_session_opened(*new, now),
            Event::SessionDisconnected { session } => self.on_session_disconnected(session, now),
            Event::SessionResumed { session } => self.on_session_resumed(session, now),
            Event::SessionHeard { session } => self.on_session_heard(session, now),
            Event::SessionClosed { session } => self.on_session_closed(session, now),
            Event::DrainRequested { session } => self.on_drain_requested(session),
            Event::Reported { session, report } => self.on_reported(session, report, now),
            Event::DurableUpTo { sequence } => {
                self.waiting.note_durable(sequence);
                while let Some(effect) = self.waiting.pop_durable(sequence) {
                    self.on_durable(effect, now);
                }
            }
            Event::TimeoutReached => {}
        }
    }

    /// Returns the next thing to be done, in order.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Returns when [`Event::TimeoutReached`] is wanted at the latest.
    pub fn next_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Returns the jobs of the runs that have not ended, oldest first.
    pub fn live_jobs(&self) -> impl Iterator<Item = (RunId, &Job)> {
        self.runs.iter().map(|(id, run)| (*id, &*run.job))
    }

    /// Tells whether a batch of a run is committed, or found and not done yet.
    pub fn is_open_or_committed(&self, run: RunId, batch: BatchId) -> bool {
        match (self.runs.get(&run), self.ended.get(&run)) {
            (Some(run), _) => {
                let waits = run.slices.binary_search_by_key(&batch, |(slice, _)| *slice).is_ok();
                waits || run.batches.contains_key(&batch) || run.committed.contains(batch)
            }
            (None, Some(ended)) => ended.committed.contains(batch),
            (None, None) => false,
        }
    }

    /// Returns what can be said of a run that has not ended.
    pub fn summary(&self, run: RunId) -> Option<RunSummary> {
        self.runs.get(&run).map(|run| self.summarize(run))
    }

    /// Returns a run's job with the limits that are in force now.
    pub fn job(&self, run: RunId) -> Option<Arc<Job>> {
        self.runs.get(&run).map(|run| Arc::clone(&run.job))
    }

    /// Returns the runs that have not ended, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = RunId> + '_ {
        self.runs.keys().copied()
    }

    /// Returns the state that a run will end in, once that is decided: its output is being put in place.
    pub fn outcome(&self, run: RunId) -> Option<RunState> {
        let run = self.runs.get(&run)?;
        match run.phase {
            RunPhase::Finishing(ending) => Some(run.final_state(ending)),
            RunPhase::Accepting
            | RunPhase::Active
            | RunPhase::Draining(_)
            | RunPhase::Stopping(_)
            | RunPhase::Ending => None,
        }
    }

    /// Tells whether runs that have ended with failures may go on again.
    pub fn reopening(&self) -> Reopening {
        self.config.reopening
    }

    /// Returns the batches of a run that are in flight, committing or failed, in order.
    pub fn batches(&self, run: RunId) -> impl Iterator<Item = BatchView> + '_ {
        self.runs.get(&run).into_iter().flat_map(|run| view::batches(run, self))
    }

    /// Returns how many batches of a run wait for each op, in the order of the chain.
    pub fn queues(&self, run: RunId) -> Vec<u64> {
        let waiting = |run: &Run| {
            run.job
                .op_ids()
                .map(|op| run.ready.waiting_for(op).len() as u64)
                .collect()
        };
        self.runs.get(&run).map(waiting).unwrap_or_default()
    }

    /// Tells whether a batch of a run is committed.
    pub fn is_committed(&self, run: RunId, batch: BatchId) -> bool {
        self.runs.get(&run).is_some_and(|run| run.committed.contains(batch))
    }

    /// Returns the sessions, oldest first.
    pub fn workers(&self) -> impl Iterator<Item = WorkerView> + '_ {
        self.sessions.values().map(Session::view)
    }

    /// Tells whether a session's signs of life count: it is known and not fenced.
    pub fn is_heard(&self, session: SessionId) -> bool {
        self.sessions
            .get(&session)
            .is_some_and(|session| session.phase != SessionPhase::Fenced)
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.commands.push_back(command);
    }

    pub(crate) fn send(&mut self, session: SessionId, message: ToWorker) {
        self.command(Command::Send { session, message });
    }

    /// Appends a record that nothing waits for.
    pub(crate) fn append(&mut self, record: Record) {
        self.note_what_is_told(&record);
        let sequence = self.waiting.next_sequence();
        self.command(Command::Append { sequence, record });
    }

    /// Keeps what a run is told, for the case that it goes on after its end.
    fn note_what_is_told(&mut self, record: &Record) {
        if let Record::RunCommanded { run, activity } | Record::FailedRetried { run, activity, .. } = record
            && let Some(run) = self.runs.get_mut(run)
        {
            run.told.push(activity);
        }
    }

    /// Appends a record, and lets an effect wait until it is durable.
    pub(crate) fn append_then(&mut self, record: Record, effect: AfterDurable) {
        self.append(record);
        self.waiting.after_last(effect);
    }
}
