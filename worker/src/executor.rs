//! Runs chains: as many threads as slots, off the async threads.
//!
//! Owns the threads, the open runs (a plan each), the chains that wait for a slot and the handles of running ones.
//! A thread runs a whole chain back to back and tells of each op's start and end ([`news`]); the batch stays in the
//! thread between ops, so a cheap op costs no round trip. A slot whose chain ended prepared takes the next that waits
//! of its run, so a cheap chain costs none either; which thread works for it then says the [`roster`]. The agent decides
//! everything else: what is started, stopped, queued and taken back; panics and errors of ops end here as failures.
//!
//! Data flows from the input ([`chain`]: a slice, a parked or a fetched output, a checkpoint) through the ops to the
//! parking, to a checkpoint, or out of the worker through a sink.
//!
//! Known weakness: an op that never looks at its cancel token cannot be stopped; the agent ends the process then.

mod chain;
mod control;
mod news;
mod open_ops;
mod roster;
mod run_scope;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use agent::{Chain, ChainEnd};
use common::failure::Failure;
use common::ids::{LeaseId, OpId, RunId};
use common::slice::RunContext;
use common::time::Time;

pub(crate) use self::news::News;
pub(crate) use self::roster::Backlog;

use self::chain::{ChainRunner, abandon_checkpoint};
use self::control::{ChainControl, Ended, First};
use self::news::{SlotNews, Urgency};
use self::roster::{Pace, Roster};
use crate::clock::monotonic_now;
use crate::exchange::Fetcher;
use crate::ops::Registry;
use crate::ops::plan::Plan;
use crate::parking::Parking;
use crate::session::Coordinator;
use crate::sink;
use crate::task_log::TaskLogs;

/// What every slot needs besides its chains.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// The parked outputs.
    pub(crate) parking: Arc<Parking>,
    /// Gets outputs from other workers.
    pub(crate) fetcher: Fetcher,
    /// What ops log for people.
    pub(crate) task_logs: TaskLogs,
    /// Answers questions about a run.
    pub(crate) coordinator: Coordinator,
    /// Where a slot's thread waits for the network.
    pub(crate) runtime: tokio::runtime::Handle,
}

/// A run that chains may be of.
#[derive(Debug)]
pub(crate) struct OpenRun {
    /// Its plan, or why it has none.
    pub(crate) plan: Result<Plan, Failure>,
    closed: AtomicBool,
}

impl OpenRun {
    /// Tells whether the run has ended.
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// A chain in a slot, on its way to a thread or with one.
#[derive(Debug)]
struct ChainJob {
    chain: Chain,
    run: Arc<OpenRun>,
    seat: Arc<Seat>,
    control: ChainControl,
    /// Whether the slot is done with it.
    is_over: AtomicBool,
}

impl ChainJob {
    /// Deletes what the chain staged and nobody will ask for; what cannot be deleted now is swept when the run ends.
    fn abandon(&self) {
        let Ok(plan) = &self.run.plan else { return };
        let (batch, lease) = (self.chain.batch, self.chain.lease);
        let checkpoints = || {
            let mut steps = self.chain.steps.iter();
            steps.try_for_each(|step| abandon_checkpoint(plan, step.op, batch, lease))
        };
        if let Err(failure) = sink::abandon(plan, batch, lease).and_then(|()| checkpoints()) {
            tracing::warn!(lease = %self.chain.lease, %failure, "what a stopped lease staged is left to be swept");
        }
    }
}

/// A chain that waits for a slot.
#[derive(Debug)]
struct Waiting {
    chain: Chain,
    run: Arc<OpenRun>,
}

/// What all slots share.
#[derive(Debug)]
struct Shared {
    /// The chains that wait, in the order in which they came.
    waiting: Mutex<VecDeque<Waiting>>,
    /// Until when slots may take one, by the monotonic clock.
    works_until: AtomicU64,
    roster: Roster<Arc<ChainJob>>,
}

/// What a slot's chains and the run loop share.
#[derive(Debug)]
struct Seat {
    news: Arc<SlotNews>,
    /// The chain that runs, or the last one.
    last: Mutex<Option<Arc<ChainJob>>>,
    /// Whether the last chain that ended was brief; the first one is taken for brief, so that not every thread is called,
    /// and opens its ops, for a run whose chains are.
    is_brief: AtomicBool,
}

/// The slots of a worker.
pub(crate) struct Executor {
    registry: Registry,
    runs: BTreeMap<RunId, Arc<OpenRun>>,
    shared: Arc<Shared>,
    last_stop: Option<Instant>,
    seats: Vec<Arc<Seat>>,
    threads: Vec<JoinHandle<()>>,
}

impl Executor {
    /// Starts the threads; what they have to say comes out of the news.
    pub(crate) fn start(slots: u32, registry: Registry, surroundings: &Surroundings) -> io::Result<(Executor, News)> {
        let news = News::of_slots(slots);
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            works_until: AtomicU64::new(0),
            roster: Roster::new(slots as usize, processors),
        });
        let seat = |slot| {
            Arc::new(Seat {
                news: news.slot(slot),
                last: Mutex::default(),
                is_brief: AtomicBool::new(true),
            })
        };
        let threads = (0..slots as usize)
            .map(|thread| start_thread(thread, &shared, surroundings))
            .collect::<io::Result<_>>()?;
        let executor = Executor {
            registry,
            runs: BTreeMap::new(),
            shared,
            last_stop: None,
            seats: (0..slots).map(seat).collect(),
            threads,
        };
        Ok((executor, news))
    }

    /// Looks whether threads are held up, and calls others. Tells whether chains in slots wait for a thread.
    pub(crate) fn relieve(&self) -> Backlog {
        self.shared.roster.relieve(monotonic_now())
    }

    /// Says until when slots may take chains that wait.
    pub(crate) fn works_until(&self, until: Time) {
        self.shared.works_until.store(until.0, Ordering::Release);
    }

    /// Works out a run's plan.
    pub(crate) fn open_run(&mut self, context: Arc<RunContext>) {
        let run = context.run;
        let plan = Plan::new(&self.registry, context);
        if let Err(failure) = &plan {
            tracing::warn!(%run, %failure, "a run cannot be done here");
        }
        let closed = AtomicBool::new(false);
        self.runs.insert(run, Arc::new(OpenRun { plan, closed }));
    }

    /// Forgets a run; chains of it that still run keep what they need.
    pub(crate) fn close_run(&mut self, run: RunId) {
        if let Some(open) = self.runs.remove(&run) {
            open.closed.store(true, Ordering::Release);
        }
    }

    /// Returns an open run.
    pub(crate) fn run(&self, run: RunId) -> Option<&Arc<OpenRun>> {
        self.runs.get(&run)
    }

    /// Runs a chain in its slot, which is free.
    pub(crate) fn start_chain(&mut self, slot: u32, chain: Chain) {
        let seat = &self.seats[slot as usize];
        let run = self.run_of(&chain);
        let job = seat.take(Waiting { chain, run });
        let expected = if seat.is_brief.load(Ordering::Relaxed) && job.control.urgency() == Urgency::Soon {
            Pace::Brief
        } else {
            Pace::Long
        };
        self.shared.roster.hand_in(job, expected);
    }

    /// Lets a chain wait for a slot.
    pub(crate) fn queue_chain(&mut self, chain: Chain) {
        let run = self.run_of(&chain);
        self.shared.waiting().push_back(Waiting { chain, run });
    }

    /// Takes back a chain that waits.
    pub(crate) fn take_back_chain(&mut self, lease: LeaseId) -> TakenBack {
        let mut waiting = self.shared.waiting();
        let place = waiting.iter().position(|waiting| waiting.chain.lease == lease);
        match place.and_then(|place| waiting.remove(place)) {
            Some(_) => TakenBack::Yes,
            None => TakenBack::SlotTookIt,
        }
    }

    /// Lets a chain end after the op that runs.
    pub(crate) fn truncate_chain(&self, lease: LeaseId) {
        if let Some(job) = self.job(lease) {
            job.control.truncate();
        }
    }

    /// Cancels an op whose time is over, unless it has ended.
    pub(crate) fn time_out_op(&self, lease: LeaseId, op: OpId) {
        if let Some(job) = self.job(lease) {
            job.control.time_out(op);
        }
    }

    /// Cancels a chain.
    pub(crate) fn stop_chain(&mut self, lease: LeaseId) {
        let Some(job) = self.job(lease) else { return };
        self.last_stop = Some(Instant::now());
        match job.control.stop() {
            First::Stop | First::Successor => {}
            First::End => job.abandon(),
        }
    }

    /// Returns when the last chain was stopped that still runs; `None` if none runs, or none was stopped.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.last_stop.filter(|_| !self.is_idle())
    }

    fn is_idle(&self) -> bool {
        let last = self.seats.iter().filter_map(|seat| seat.last().clone());
        last.into_iter().all(|job| job.is_over.load(Ordering::Acquire))
    }

    fn run_of(&self, chain: &Chain) -> Arc<OpenRun> {
        let run = self.runs.get(&chain.run.run);
        Arc::clone(run.expect("the agent opens a run before its first chain"))
    }

    /// Returns the chain of a lease that is the last of a slot. There are few slots, and it is rarely asked for.
    fn job(&self, lease: LeaseId) -> Option<Arc<ChainJob>> {
        let mut last = self.seats.iter().filter_map(|seat| seat.last().clone());
        last.find(|job| job.chain.lease == lease)
    }

    /// Ends the threads. Those that still run a chain are left to the end of the process.
    pub(crate) fn shut_down(self) {
        let all_idle = self.is_idle();
        self.shared.roster.close();
        for thread in self.threads {
            if all_idle && thread.join().is_err() {
                tracing::error!("a thread that ran chains panicked");
            }
        }
    }
}

/// Whether a chain that waited came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenBack {
    /// It did.
    Yes,
    /// A slot has taken it; its news says so.
    SlotTookIt,
}

impl Shared {
    /// Takes the chain that goes on in the slot of one that ended.
    fn next_behind(&self, ended: &ChainJob, end: &ChainEnd, now: Time) -> Option<Waiting> {
        let is_prepared = *end == ChainEnd::Finished { kept: None } && ended.chain.batch.is_some();
        if !is_prepared || now.0 >= self.works_until.load(Ordering::Acquire) {
            return None;
        }
        let mut waiting = self.waiting();
        let of_run = |waiting: &Waiting| waiting.chain.run.run == ended.chain.run.run;
        let place = waiting.iter().position(of_run)?;
        waiting.remove(place)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Lets a chain be the one that runs.
    fn take(self: &Arc<Seat>, Waiting { chain, run }: Waiting) -> Arc<ChainJob> {
        let steps = Arc::clone(&chain.steps);
        // The unit of an op's own limit is free for others when the op has ended, and not only with the chain; the time of
        // an op that may not take long runs from its start.
        let job = &chain.run.job;
        let is_timed = chain.batch.is_some() && steps.iter().any(|step| job.op(step.op).timeout.is_some());
        let urgency = if is_timed || job.op(steps[0].op).has_own_limit() {
            Urgency::AtOnce
        } else {
            Urgency::Soon
        };
        let news = Arc::clone(&self.news);
        let control = ChainControl::new(chain.lease, steps, news, urgency);
        let is_over = AtomicBool::new(false);
        let job = Arc::new(ChainJob {
            chain,
            run,
            seat: Arc::clone(self),
            control,
            is_over,
        });
        *self.last() = Some(Arc::clone(&job));
        job
    }

    fn last(&self) -> MutexGuard<'_, Option<Arc<ChainJob>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start_thread(thread: usize, shared: &Arc<Shared>, surroundings: &Surroundings) -> io::Result<JoinHandle<()>> {
    let (surroundings, shared) = (surroundings.clone(), Arc::clone(shared));
    std::thread::Builder::new()
        .name(format!("slot-{thread}"))
        .spawn(move || run_chains(thread, &shared, surroundings))
}

fn run_chains(thread: usize, shared: &Shared, surroundings: Surroundings) {
    let mut runner = ChainRunner::new(surroundings);
    while let Some(job) = shared.roster.next(thread, monotonic_now) {
        let mut next = Some(job);
        while let Some(job) = next {
            let began = monotonic_now();
            let end = runner.run(&job);
            let now = monotonic_now();
            let follows = end_chain(&job, end, now, shared);
            let pace = Pace::of(now.since(began));
            job.seat.is_brief.store(pace == Pace::Brief, Ordering::Relaxed);
            next = shared.roster.go_on(thread, follows, pace, now);
        }
    }
}

/// Ends a chain, and returns the one that its slot took.
fn end_chain(job: &ChainJob, end: ChainEnd, now: Time, shared: &Shared) -> Option<Arc<ChainJob>> {
    let take_next = || shared.next_behind(job, &end, now).map(|next| job.seat.take(next));
    let follows = match job.control.end(take_next) {
        Ended::ByItself(follows) => follows,
        Ended::Stopped => {
            job.abandon();
            None
        }
    };
    job.is_over.store(true, Ordering::Release);
    let took = follows.as_ref().map(|next| next.chain.lease);
    job.seat.news.chain_ended(job.chain.lease, end, now, took);
    follows
}
