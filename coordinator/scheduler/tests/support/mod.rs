//! A world for the scheduler: simulated workers, an instant journal, and time that jumps from event to event.
//!
//! The workers keep to the protocol of `common::message` and nothing else: they run the steps of a lease back to back,
//! each for as long as its op's delay says, and report. Every step of the world recomputes the scheduler's invariants.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test file uses its own part of the world"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use common::done::OpDone;
use common::failure::Failure;
use common::ids::{BatchId, Generation, LeaseId, OpId, OutputId, RunId, SessionId, WorkerName};
use common::job::{
    Batching, Change, CsvDialect, FailurePolicy, FileFormat, FileSink, IfExists, Job, Op, OpKind, Order, Schedule,
    SingleFile, Sink, Source,
};
use common::message::{Grant, Input, LeaseEnd, OpOutcome, PermitFate, Report, Start, ToWorker};
use common::part::Part;
use common::slice::{BadRow, ByteSlice, FileId, FrozenSource, Halved, Slice, SourceFile};
use common::steering::{AskRefused, Asker, RunCommand};
use common::summary::RunSummary;
use common::time::Time;
use common::timeline::TimelineEntry;
use scheduler::{
    Ask, Asked, Checkpoint, Command, Config, EndReason, Event, Ledger, NewRun, NewSession, Origin, Reattached, Record,
    RecordSequence, Rerun, Scheduler, SliceCut, SourceEnd, Ticket,
};

pub mod failing;
mod faults;
pub mod gantt;
pub mod jobs;
mod reattach;
mod setup;
mod workers;

/// Bytes of one row of the simulated source.
pub const ROW_BYTES: u64 = 100;

/// The scheduler and everything around it.
pub struct World {
    pub scheduler: Scheduler,
    pub now: Time,
    pub config: Config,
    /// What will happen, in order; the number keeps the order of what happens at the same time.
    agenda: BTreeMap<(Time, u64), Happening>,
    numbered: u64,
    workers: BTreeMap<SessionId, SimWorker>,
    sources: BTreeMap<RunId, Vec<Slice>>,
    whole_sources: BTreeMap<RunId, Vec<Slice>>,
    jobs: BTreeMap<RunId, Arc<Job>>,
    /// What went wrong by design: (op, batch, attempt) that fail, and how.
    pub failing: BTreeMap<(OpId, BatchId, u32), Failure>,
    /// The same of ops over the whole run: (op, attempt).
    pub failing_whole: BTreeMap<(OpId, u32), Failure>,
    /// Rows of the source that fail every batch that they are in, and in which op.
    pub bad_rows: BTreeMap<u64, (OpId, Failure)>,
    /// What runs begin at that run later ops of others again.
    inherited: BTreeMap<RunId, Vec<(BatchId, Checkpoint)>>,
    /// How often the checkpoints of batches cannot be read.
    pub unreadable: BTreeMap<BatchId, u32>,
    /// The forgotten runs that workers were asked to sweep.
    pub swept: Vec<RunId>,
    pub timeline: BTreeMap<(OpId, Option<BatchId>, u32, WorkerName), TimelineEntry>,
    pub grants: Vec<(String, Grant)>,
    pub records: Vec<Record>,
    pub ended: BTreeMap<RunId, RunSummary>,
    pub session_ends: Vec<(SessionId, EndReason)>,
    pub adopted: Vec<LeaseId>,
    /// What names the processes of workers, and which of their hellos is said.
    process: &'static str,
    hello: u64,
    /// When workers began to fetch the inputs of leases.
    fetches: BTreeMap<LeaseId, Time>,
    /// Leases that a worker was told to stop before this world knew that it holds them.
    revoked: BTreeSet<LeaseId>,
    pub last_sessions: u64,
    /// What was answered to whoever asked for something.
    pub answers: BTreeMap<Ticket, Result<(), AskRefused>>,
    last_ticket: Ticket,
    /// Leases that workers stopped by themselves while they were cut off, with the op that ran.
    stopped: Vec<(SessionId, LeaseId, Option<OpId>)>,
    /// What is on its way to workers that hear nothing for now.
    held_back: BTreeMap<SessionId, Vec<ToWorker>>,
    disk: Disk,
}

/// The disk that the journal is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    /// What is written is durable at once.
    Quick,
    /// What is written is not known to be durable, up to the last record.
    Stuck(RecordSequence),
}

/// Something that will happen.
#[derive(Clone, Debug)]
enum Happening {
    /// A worker's step begins, or the lease ends when there is none.
    Step(SessionId, LeaseId, usize),
    /// A worker's step ends.
    StepEnd(SessionId, LeaseId, usize),
    Tell(Event),
    Timeout,
}

struct SimWorker {
    name: String,
    slots: u32,
    ops: BTreeSet<String>,
    alive: bool,
    connected: bool,
    leases: BTreeMap<LeaseId, SimLease>,
    free: BTreeSet<u32>,
    /// Leases that wait for a permit.
    waiting: VecDeque<Grant>,
}

struct SimLease {
    grant: Grant,
    slot: u32,
    truncated: bool,
}

impl World {
    pub fn new() -> World {
        World::with(Config::default())
    }

    pub fn with(config: Config) -> World {
        World {
            scheduler: Scheduler::new(config.clone()),
            now: Time(1_000_000_000),
            config,
            agenda: BTreeMap::new(),
            numbered: 0,
            workers: BTreeMap::new(),
            sources: BTreeMap::new(),
            whole_sources: BTreeMap::new(),
            jobs: BTreeMap::new(),
            failing: BTreeMap::new(),
            failing_whole: BTreeMap::new(),
            bad_rows: BTreeMap::new(),
            inherited: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            swept: Vec::new(),
            timeline: BTreeMap::new(),
            grants: Vec::new(),
            records: Vec::new(),
            ended: BTreeMap::new(),
            session_ends: Vec::new(),
            adopted: Vec::new(),
            process: "process",
            hello: 1,
            fetches: BTreeMap::new(),
            revoked: BTreeSet::new(),
            last_sessions: 0,
            answers: BTreeMap::new(),
            last_ticket: Ticket(0),
            stopped: Vec::new(),
            held_back: BTreeMap::new(),
            disk: Disk::Quick,
        }
    }

    /// Tells the scheduler something now, and does what it says.
    pub fn tell(&mut self, event: Event) {
        self.scheduler.handle(event, self.now);
        self.obey();
        let violations = self.scheduler.check();
        assert!(violations.is_empty(), "at {}: {violations:#?}", self.now);
    }

    /// Asks for something, and returns what names the answer.
    pub fn ask(&mut self, ask: Ask) -> Ticket {
        self.last_ticket = Ticket(self.last_ticket.0 + 1);
        let (ticket, by) = (self.last_ticket, Asker::Grpc);
        self.tell(Event::Asked(Box::new(Asked { ticket, by, ask })));
        ticket
    }

    /// Returns the highest cap that a run has had, slots apart.
    pub fn caps_ever(&self, of: RunId, submitted: u32) -> u32 {
        let caps = self.records.iter().filter_map(|record| {
            let Record::RunCommanded { run, activity } = record else {
                return None;
            };
            let RunCommand::ChangeLimits(change) = &activity.command else {
                return None;
            };
            match change.max_concurrent {
                Change::Set(cap) if *run == of => Some(cap.get()),
                Change::Remove if *run == of => Some(u32::MAX),
                Change::Keep | Change::Set(_) | Change::Remove => None,
            }
        });
        caps.max().map_or(submitted, |cap| cap.max(submitted))
    }

    /// Returns how often something was asked for by a coordinator that has not restarted since.
    pub fn asked(&self) -> usize {
        self.last_ticket.0 as usize
    }

    /// Tells a run to do something, and returns what names the answer.
    pub fn steer(&mut self, run: RunId, command: RunCommand) -> Ticket {
        self.ask(Ask::Run { run, command })
    }

    /// Tells the scheduler something later.
    pub fn tell_after(&mut self, wait: Duration, event: Event) {
        self.schedule(self.now + wait, Happening::Tell(event));
    }

    /// Returns what the journal's records add up to.
    pub fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::default();
        for (number, record) in self.records.iter().enumerate() {
            ledger.apply(RecordSequence(number as u64 + 1), record);
        }
        ledger
    }

    /// Returns the leases that wait at workers for a permit.
    pub fn queued(&self) -> Vec<LeaseId> {
        self.workers
            .values()
            .flat_map(|worker| worker.waiting.iter().map(|grant| grant.lease))
            .collect()
    }

    /// Returns the sessions of workers that still run.
    pub fn alive(&self) -> Vec<SessionId> {
        self.workers
            .iter()
            .filter(|(_, worker)| worker.alive)
            .map(|(id, _)| *id)
            .collect()
    }

    fn step_of(&self, lease: LeaseId, place: usize) -> Option<OpId> {
        let (_, grant) = self.grants.iter().find(|(_, grant)| grant.lease == lease)?;
        grant.steps.get(place).map(|step| step.op)
    }

    /// Runs until everything submitted has ended; panics if it does not in a simulated day.
    pub fn run_to_end(&mut self) -> Duration {
        let start = self.now;
        let day = start + Duration::from_secs(86_400);
        while self.scheduler.runs().next().is_some() {
            assert!(self.now < day, "the runs do not end: {:#?}", self.stuck());
            assert!(self.step(), "nothing will ever happen again: {:#?}", self.stuck());
        }
        self.now.since(start)
    }

    /// Lets time pass.
    pub fn pass(&mut self, wait: Duration) {
        let until = self.now + wait;
        while self.next_moment().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = until;
    }

    /// Lets the next thing happen; false when there is none.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.next_moment() else { return false };
        self.now = self.now.max(at);
        self.heartbeats();
        let is_agenda = self.agenda.first_key_value().is_some_and(|((when, _), _)| *when <= at);
        let happening = if is_agenda {
            self.agenda.pop_first().map(|(_, next)| next)
        } else {
            Some(Happening::Timeout)
        };
        match happening {
            Some(Happening::Step(session, lease, place)) => self.begin_step(session, lease, place),
            Some(Happening::StepEnd(session, lease, place)) => self.end_step(session, lease, place),
            Some(Happening::Tell(event)) => self.tell(event),
            Some(Happening::Timeout) => self.tell(Event::TimeoutReached),
            None => {}
        }
        true
    }

    /// Returns the leases that were started, first to last, by the ops that they may run.
    pub fn granted(&self) -> Vec<String> {
        self.grants.iter().map(|(name, _)| name.clone()).collect()
    }

    fn next_moment(&self) -> Option<Time> {
        let agenda = self.agenda.first_key_value().map(|((at, _), _)| *at);
        match (agenda, self.scheduler.next_timeout()) {
            (Some(agenda), Some(timeout)) => Some(agenda.min(timeout)),
            (agenda, timeout) => agenda.or(timeout),
        }
    }

    /// Every connected worker is heard all the time.
    fn heartbeats(&mut self) {
        let connected: Vec<SessionId> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.connected)
            .map(|(id, _)| *id)
            .collect();
        for session in connected {
            self.scheduler.handle(Event::SessionHeard { session }, self.now);
            self.obey();
        }
    }

    fn schedule(&mut self, at: Time, happening: Happening) {
        self.numbered += 1;
        self.agenda.insert((at, self.numbered), happening);
    }

    fn keep_row(&mut self, entry: TimelineEntry) {
        let key = (entry.op, entry.batch, entry.attempt.0, entry.worker.clone());
        self.timeline.insert(key, entry);
    }

    fn obey(&mut self) {
        while let Some(command) = self.scheduler.next_command() {
            match command {
                Command::Append { sequence, record } => {
                    self.records.push(record);
                    match &mut self.disk {
                        Disk::Quick => self.scheduler.handle(Event::DurableUpTo { sequence }, self.now),
                        Disk::Stuck(last) => *last = sequence,
                    }
                }
                Command::Send { session, message } => self.deliver(session, message),
                Command::FindSlices { run, count } => self.find_slices(run, count),
                Command::RecordAttempt { entry, .. } => self.keep_row(entry),
                Command::RecordChain { chain, .. } => chain.entries().for_each(|entry| self.keep_row(entry)),
                Command::RunEnded { summary } => {
                    self.ended.insert(summary.run, (*summary).clone());
                }
                Command::EndSession { session, reason } => {
                    self.session_ends.push((session, reason));
                    if let Some(worker) = self.workers.get_mut(&session) {
                        worker.alive = false;
                        worker.connected = false;
                        worker.leases.clear();
                    }
                }
                Command::Answer { ticket, answer } => {
                    self.answers.insert(ticket, answer);
                }
                Command::CutSlice { run, batch, slice } => {
                    let cut = self.halve(&slice);
                    self.schedule(self.now, Happening::Tell(Event::SliceCut { run, batch, cut }));
                }
                Command::ReopenSource { run } => {
                    self.sources.insert(run, self.whole_sources[&run].clone());
                }
                Command::CloseSource { .. } | Command::RunAccepted { .. } | Command::SessionAccepted { .. } => {}
                Command::LeaseAdopted { lease, .. } => self.adopted.push(lease),
            }
        }
    }

    fn find_slices(&mut self, run: RunId, count: u32) {
        // All at once, which is more than production says: those of slices that come later do no harm.
        let checkpoints = self.inherited.get(&run).cloned().unwrap_or_default();
        let Some(left) = self.sources.get_mut(&run) else { return };
        let taken: Vec<Slice> = left.drain(..left.len().min(count as usize)).collect();
        let end = if left.is_empty() {
            SourceEnd::Reached
        } else {
            SourceEnd::More
        };
        self.schedule(
            self.now,
            Happening::Tell(Event::SlicesFound {
                run,
                slices: taken,
                checkpoints,
                bytes_sharded: 0,
                end,
            }),
        );
    }

    /// Cuts a slice in two, with half of its rows on each side.
    fn halve(&self, slice: &Slice) -> SliceCut {
        let Slice::Bytes(bytes) = slice;
        let rows = bytes.rows.expect("the world counts rows");
        if rows == 1 {
            return SliceCut::Single(BadRow {
                line: bytes.first_line,
                byte: bytes.start,
                text: format!("row {}", bytes.first_row.expect("is counted")),
            });
        }
        let halved = Halved {
            first: rows.div_ceil(2),
            second: rows / 2,
        };
        let (end, line) = (bytes.start + halved.first * ROW_BYTES, bytes.first_line + halved.first);
        let (first, second) = bytes.cut_at(end, line, halved);
        SliceCut::Halves {
            first: Slice::Bytes(first),
            second: Slice::Bytes(second),
        }
    }

    fn last_op(&self, run: RunId) -> OpId {
        self.job(run).last_op()
    }

    fn job(&self, run: RunId) -> Arc<Job> {
        Arc::clone(&self.jobs[&run])
    }

    fn duration(&self, grant: &Grant, op: OpId) -> Duration {
        self.job(grant.run).op(op).delay.of_rows(self.rows(grant))
    }

    fn rows(&self, grant: &Grant) -> u64 {
        let Some(batch) = grant.batch else { return 0 };
        if let Input::Slice(slice) = &grant.input {
            return slice.rows().unwrap_or(0);
        }
        let view = self.scheduler.batches(grant.run).find(|view| view.id == batch);
        view.and_then(|view| view.slice)
            .and_then(|slice| slice.rows())
            .unwrap_or(0)
    }

    /// Returns the failure of the first bad row of a batch.
    fn failure_of_rows(&self, grant: &Grant, op: OpId) -> Option<Failure> {
        let batch = grant.batch?;
        let view = self.scheduler.batches(grant.run).find(|view| view.id == batch)?;
        let Slice::Bytes(bytes) = view.slice?;
        let first = bytes.first_row?;
        let rows = first..first + bytes.rows?;
        let bad = self.bad_rows.range(rows).find(|(_, (bad_op, _))| *bad_op == op);
        bad.map(|(_, (_, failure))| failure.clone())
    }

    fn stuck(&self) -> Vec<String> {
        let runs = self.scheduler.runs();
        runs.map(|run| {
            let batches: Vec<_> = self.scheduler.batches(run).collect();
            format!("{:?}\n{batches:?}", self.scheduler.summary(run))
        })
        .collect()
    }
}

fn slices(batching: &Batching, rows: u64) -> Vec<Slice> {
    let per_batch = match batching {
        Batching::Bounded { rows, .. } => rows.map_or(u64::MAX, |rows| u64::from(rows.get())),
        Batching::WholeInput => u64::MAX,
    };
    let mut made = Vec::new();
    let mut first = 0;
    while first < rows {
        let count = per_batch.min(rows - first);
        made.push(Slice::Bytes(ByteSlice {
            file: FileId(0),
            start: first * ROW_BYTES,
            end: (first + count) * ROW_BYTES,
            first_line: first + 2,
            first_row: Some(first),
            rows: Some(count),
            rows_before: 0,
        }));
        first += count;
    }
    made
}
