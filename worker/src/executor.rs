//! Runs chains: one thread for each slot, off the async threads.
//!
//! Owns the slots' threads, the open runs (a plan each) and the handles of running chains. A thread runs a whole chain
//! back to back and tells of each op's start and end; the batch stays in the thread between ops, so a cheap op costs
//! no round trip. The agent decides what is started and stopped; panics and errors of ops end here as failures.
//!
//! Data flows from the input ([`chain`]: a slice, a parked or a fetched output) through the ops to the parking or out of
//! the worker through a sink.
//!
//! A chain that is stopped leaves nothing staged: its thread deletes that when the chain ends, or, if it had ended already
//! and only the word of that is under way, whoever stops it does.
//!
//! Known weakness: an op that never looks at its cancel token cannot be stopped; the agent ends the process then.

mod chain;
mod control;
mod open_ops;
mod run_scope;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use agent::{Chain, Input};
use common::failure::Failure;
use common::ids::{LeaseId, RunId};
use common::slice::RunContext;
use tokio::sync::mpsc::UnboundedSender;

use self::chain::ChainRunner;
use self::control::{ChainControl, First};
use crate::exchange::Fetcher;
use crate::ops::Registry;
use crate::ops::plan::Plan;
use crate::parking::Parking;
use crate::session::Coordinator;
use crate::sink;

/// What every slot needs besides its chains.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// The parked outputs.
    pub(crate) parking: Arc<Parking>,
    /// Gets outputs from other workers.
    pub(crate) fetcher: Fetcher,
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

/// The slots of a worker.
pub(crate) struct Executor {
    registry: Registry,
    events: UnboundedSender<Input>,
    runs: BTreeMap<RunId, Arc<OpenRun>>,
    running: BTreeMap<LeaseId, Arc<ChainJob>>,
    last_stop: Option<Instant>,
    slots: Vec<Slot>,
}

struct Slot {
    chains: SyncSender<Arc<ChainJob>>,
    thread: JoinHandle<()>,
}

impl Executor {
    /// Starts the threads; what they have to say goes to `events`.
    pub(crate) fn start(
        slots: u32,
        registry: Registry,
        surroundings: &Surroundings,
        events: UnboundedSender<Input>,
    ) -> io::Result<Executor> {
        let slots = (0..slots)
            .map(|slot| Slot::start(slot, surroundings))
            .collect::<io::Result<_>>()?;
        Ok(Executor {
            registry,
            events,
            runs: BTreeMap::new(),
            running: BTreeMap::new(),
            last_stop: None,
            slots,
        })
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
    pub(crate) fn start_chain(&mut self, chain: Chain) {
        let lease = chain.lease;
        let run = self
            .runs
            .get(&chain.run.run)
            .expect("the agent opens a run before its first chain");
        let control = ChainControl::new(lease, chain.steps.clone(), self.events.clone());
        let slot = &self.slots[chain.slot as usize];
        let run = Arc::clone(run);
        let job = Arc::new(ChainJob { chain, run, control });
        self.running.insert(lease, Arc::clone(&job));
        slot.chains
            .try_send(job)
            .expect("the agent starts chains in free slots");
    }

    /// Lets a chain end after the op that runs.
    pub(crate) fn truncate_chain(&self, lease: LeaseId) {
        if let Some(job) = self.running.get(&lease) {
            job.control.truncate();
        }
    }

    /// Cancels a chain.
    pub(crate) fn stop_chain(&mut self, lease: LeaseId) {
        let Some(job) = self.running.get(&lease) else { return };
        self.last_stop = Some(Instant::now());
        match job.control.stop() {
            First::Stop => {}
            First::End => job.abandon(),
        }
    }

    /// Returns when the last chain was stopped that still runs; `None` if none runs, or none was stopped.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.last_stop.filter(|_| !self.running.is_empty())
    }

    /// Forgets the handle of a chain that has ended.
    pub(crate) fn chain_ended(&mut self, lease: LeaseId) {
        self.running.remove(&lease);
    }

    /// Ends the threads. Those that still run a chain are left to the end of the process.
    pub(crate) fn shut_down(self) {
        let all_idle = self.running.is_empty();
        for Slot { chains, thread } in self.slots {
            drop(chains);
            if all_idle && thread.join().is_err() {
                tracing::error!("a slot's thread panicked");
            }
        }
    }
}

impl Slot {
    fn start(slot: u32, surroundings: &Surroundings) -> io::Result<Slot> {
        // One place: the agent sends the next chain when it has heard of the last one's end, and the thread says that
        // just before it asks for the next.
        let (chains, jobs) = sync_channel(1);
        let surroundings = surroundings.clone();
        let thread = std::thread::Builder::new()
            .name(format!("slot-{slot}"))
            .spawn(move || run_chains(&jobs, surroundings))?;
        Ok(Slot { chains, thread })
    }
}

fn run_chains(jobs: &Receiver<Arc<ChainJob>>, surroundings: Surroundings) {
    let mut runner = ChainRunner::new(surroundings);
    while let Ok(job) = jobs.recv() {
        let end = runner.run(&job);
        match job.control.end() {
            First::End => {}
            First::Stop => job.abandon(),
        }
        let lease = job.chain.lease;
        job.control.tell(Input::ChainEnded { lease, end });
    }
}
