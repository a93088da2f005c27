//! Runs chains: one thread for each slot, off the async threads.
//!
//! Owns the slots' threads, the open runs (a plan each), the chains that wait for a slot and the handles of running ones.
//! A thread runs a whole chain back to back and tells of each op's start and end ([`news`]); the batch stays in the
//! thread between ops, so a cheap op costs no round trip. A thread whose chain ended prepared takes the next that waits
//! of its run, so a cheap chain costs none either. The agent decides everything else: what is started, stopped, queued
//! and taken back; panics and errors of ops end here as failures.
//!
//! Data flows from the input ([`chain`]: a slice, a parked or a fetched output) through the ops to the parking or out of
//! the worker through a sink.
//!
//! Known weakness: an op that never looks at its cancel token cannot be stopped; the agent ends the process then.

mod chain;
mod control;
mod news;
mod open_ops;
mod run_scope;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use agent::{Chain, ChainEnd};
use common::failure::Failure;
use common::ids::{LeaseId, OpId, RunId};
use common::slice::RunContext;
use common::time::Time;

pub(crate) use self::news::News;

use self::chain::ChainRunner;
use self::control::{ChainControl, Ended, First};
use self::news::{SlotNews, Urgency};
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

/// A chain on its way to a slot's thread.
#[derive(Debug)]
struct ChainJob {
    chain: Chain,
    run: Arc<OpenRun>,
    control: ChainControl,
    /// Whether the slot is done with it.
    is_over: AtomicBool,
}

impl ChainJob {
    /// Deletes what the chain staged and nobody will ask for; what cannot be deleted now is swept when the run ends.
    fn abandon(&self) {
        let Ok(plan) = &self.run.plan else { return };
        if let Err(failure) = sink::abandon(plan, self.chain.batch, self.chain.lease) {
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
#[derive(Debug, Default)]
struct Shared {
    /// The chains that wait, in the order in which they came.
    waiting: Mutex<VecDeque<Waiting>>,
    /// Until when slots may take one, by the monotonic clock.
    works_until: AtomicU64,
}

/// What a slot's thread and the run loop share.
#[derive(Debug)]
struct Seat {
    news: Arc<SlotNews>,
    /// The chain that runs, or the last one.
    last: Mutex<Option<Arc<ChainJob>>>,
}

/// The slots of a worker.
pub(crate) struct Executor {
    registry: Registry,
    runs: BTreeMap<RunId, Arc<OpenRun>>,
    shared: Arc<Shared>,
    last_stop: Option<Instant>,
    slots: Vec<Slot>,
}

struct Slot {
    chains: SyncSender<Arc<ChainJob>>,
    seat: Arc<Seat>,
    thread: JoinHandle<()>,
}

impl Executor {
    /// Starts the threads; what they have to say comes out of the news.
    pub(crate) fn start(slots: u32, registry: Registry, surroundings: &Surroundings) -> io::Result<(Executor, News)> {
        let news = News::of_slots(slots);
        let shared = Arc::new(Shared::default());
        let slots = (0..slots)
            .map(|slot| Slot::start(slot, news.slot(slot), &shared, surroundings))
            .collect::<io::Result<_>>()?;
        let executor = Executor {
            registry,
            runs: BTreeMap::new(),
            shared,
            last_stop: None,
            slots,
        };
        Ok((executor, news))
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
        let slot = &self.slots[slot as usize];
        let run = self.run_of(&chain);
        let job = slot.seat.take(Waiting { chain, run });
        slot.chains
            .try_send(job)
            .expect("the agent starts chains in free slots");
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
        let last = self.slots.iter().filter_map(|slot| slot.seat.last().clone());
        last.into_iter().all(|job| job.is_over.load(Ordering::Acquire))
    }

    fn run_of(&self, chain: &Chain) -> Arc<OpenRun> {
        let run = self.runs.get(&chain.run.run);
        Arc::clone(run.expect("the agent opens a run before its first chain"))
    }

    /// Returns the chain of a lease that is the last of a slot. There are few slots, and it is rarely asked for.
    fn job(&self, lease: LeaseId) -> Option<Arc<ChainJob>> {
        let mut last = self.slots.iter().filter_map(|slot| slot.seat.last().clone());
        last.find(|job| job.chain.lease == lease)
    }

    /// Ends the threads. Those that still run a chain are left to the end of the process.
    pub(crate) fn shut_down(self) {
        let all_idle = self.is_idle();
        for Slot { chains, thread, .. } in self.slots {
            drop(chains);
            if all_idle && thread.join().is_err() {
                tracing::error!("a slot's thread panicked");
            }
        }
    }
}

impl Slot {
    fn start(slot: u32, news: Arc<SlotNews>, shared: &Arc<Shared>, surroundings: &Surroundings) -> io::Result<Slot> {
        // One place: the agent sends the next chain when it has heard of the last one's end, and the thread says that
        // just before it asks for the next.
        let (chains, jobs) = sync_channel(1);
        let seat = Arc::new(Seat {
            news,
            last: Mutex::default(),
        });
        let (surroundings, shared, of_thread) = (surroundings.clone(), Arc::clone(shared), Arc::clone(&seat));
        let thread = std::thread::Builder::new()
            .name(format!("slot-{slot}"))
            .spawn(move || run_chains(&jobs, &of_thread, &shared, surroundings))?;
        Ok(Slot { chains, seat, thread })
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
    fn take(&self, Waiting { chain, run }: Waiting) -> Arc<ChainJob> {
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

fn run_chains(jobs: &Receiver<Arc<ChainJob>>, seat: &Seat, shared: &Shared, surroundings: Surroundings) {
    let mut runner = ChainRunner::new(surroundings);
    while let Ok(mut job) = jobs.recv() {
        loop {
            let end = runner.run(&job);
            let now = monotonic_now();
            let lease = job.chain.lease;
            let next = match job
                .control
                .end(|| shared.next_behind(&job, &end, now).map(|next| seat.take(next)))
            {
                Ended::ByItself(next) => next,
                Ended::Stopped => {
                    job.abandon();
                    None
                }
            };
            job.is_over.store(true, Ordering::Release);
            let took = next.as_ref().map(|next| next.chain.lease);
            seat.news.chain_ended(lease, end, now, took);
            match next {
                Some(next) => job = next,
                None => break,
            }
        }
    }
}
