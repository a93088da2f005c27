//! The slots of a worker: chains of the real ops, run in place, that take the time of the simulation.
//!
//! What `worker/src/executor` does with threads is one task for each slot here: an op sleeps for its delay, then it runs
//! at once, on the real files. The sinks, publishing and the join are the worker's own.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use agent::{Chain, ChainEnd, Input, Kept};
use common::done::OpDone;
use common::failure::Failure;
use common::ids::{BatchId, LeaseId, OpId, OutputId, RunId};
use common::message::{self, OpOutcome, Publish, Step};
use common::slice::RunContext;
use common::time::Time;
use common::units::ByteSize;
use tokio::sync::{Notify, mpsc};
use worker::memory::Memory;
use worker::ops::plan::Plan;
use worker::ops::{CancelToken, OpContext, OpInput, Registry};
use worker::parking::Parking;
use worker::session::Coordinator;
use worker::sink::{self, Finish};

use crate::trace::Trace;

/// How long an op without a delay takes.
const BRIEF: Duration = Duration::from_millis(5);
/// How many inputs wait for the worker's loop at most; it takes each as it comes.
const NEWS: usize = 1_024;

/// All slots. Cloned freely.
#[derive(Clone)]
pub(crate) struct Slots {
    shared: Rc<Shared>,
}

struct Shared {
    process: u32,
    coordinator: Coordinator,
    now: Arc<dyn Fn() -> Time + Send + Sync>,
    parking: Parking,
    news: mpsc::Sender<Input>,
    trace: Trace,
    plans: RefCell<BTreeMap<RunId, Rc<Plan>>>,
    /// The last chain of each slot.
    last: RefCell<BTreeMap<u32, Rc<Running>>>,
    queue: RefCell<VecDeque<Chain>>,
    works_until: Cell<Time>,
}

/// A chain that runs, or has.
struct Running {
    chain: Chain,
    plan: Rc<Plan>,
    place: Cell<usize>,
    course: Cell<Course>,
    stopped: Notify,
    cancel: CancelToken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    On,
    Truncated,
    Stopped,
    Ended,
    /// It has ended, and its slot went on with another chain.
    Succeeded,
}

/// What the next op works on.
enum Held {
    Slice(OpInput),
    Parked(OutputId, OpInput),
    Here(OutputId, OpInput),
}

impl Slots {
    /// Makes slots, and the end from which their news come.
    pub(crate) fn new(
        process: u32,
        coordinator: Coordinator,
        now: Arc<dyn Fn() -> Time + Send + Sync>,
        folder: PathBuf,
        trace: Trace,
    ) -> (Slots, mpsc::Receiver<Input>) {
        let (news, receiver) = mpsc::channel(NEWS);
        let shared = Shared {
            process,
            coordinator,
            now,
            parking: Parking::new(Memory::new(ByteSize(64 << 20)), folder),
            news,
            trace,
            plans: RefCell::default(),
            last: RefCell::default(),
            queue: RefCell::default(),
            works_until: Cell::new(Time::ZERO),
        };
        let shared = Rc::new(shared);
        (Slots { shared }, receiver)
    }

    pub(crate) fn works_until(&self, until: Time) {
        self.shared.works_until.set(until);
    }

    pub(crate) fn open_run(&self, context: Arc<RunContext>) {
        let run = context.run;
        let plan = Plan::new(&Registry::standard(), context).expect("these jobs can be done everywhere");
        self.shared.plans.borrow_mut().insert(run, Rc::new(plan));
    }

    pub(crate) fn close_run(&self, run: RunId) {
        self.shared.plans.borrow_mut().remove(&run);
        self.shared.parking.drop_run(run);
    }

    pub(crate) fn start_chain(&self, slot: u32, chain: Chain) {
        let running = self.take(slot, chain);
        tokio::task::spawn_local(self.clone().work(slot, running));
    }

    pub(crate) fn queue_chain(&self, chain: Chain) {
        self.shared.queue.borrow_mut().push_back(chain);
    }

    /// Takes a chain back that waits; tells whether no slot has taken it.
    pub(crate) fn take_back_chain(&self, lease: LeaseId) -> bool {
        let mut queue = self.shared.queue.borrow_mut();
        let waiting = queue.len();
        queue.retain(|chain| chain.lease != lease);
        queue.len() < waiting
    }

    pub(crate) fn truncate_chain(&self, lease: LeaseId) {
        let Some(running) = self.running(lease) else { return };
        if running.course.get() == Course::On {
            running.course.set(Course::Truncated);
        }
        let last = running.chain.steps[running.place.get()].op;
        self.tell(Input::ChainTruncated { lease, last });
    }

    pub(crate) fn stop_chain(&self, lease: LeaseId) {
        let Some(running) = self.running(lease) else { return };
        running.cancel.cancel();
        match running.course.get() {
            Course::Ended => running.abandon(),
            Course::Succeeded => {}
            Course::On | Course::Truncated | Course::Stopped => {
                running.course.set(Course::Stopped);
                running.stopped.notify_one();
            }
        }
    }

    pub(crate) fn drop_output(&self, run: RunId, output: OutputId) {
        self.shared.parking.drop_output(run, output);
    }

    pub(crate) fn publish(&self, publish: &Publish) {
        let lease = publish.lease;
        let plan = self.shared.plans.borrow().get(&publish.run).cloned();
        let placed = match plan {
            Some(plan) => sink::publish(&plan, publish),
            None => Err(Failure::retryable("the run is not open on this worker")),
        };
        self.tell(match placed {
            Ok(()) => Input::Published { lease },
            Err(failure) => Input::PublishFailed { lease, failure },
        });
    }

    fn tell(&self, input: Input) {
        let told = self.shared.news.try_send(input);
        assert!(told.is_ok(), "the worker's loop takes what its slots say");
    }

    fn now(&self) -> Time {
        (self.shared.now)()
    }

    fn running(&self, lease: LeaseId) -> Option<Rc<Running>> {
        let last = self.shared.last.borrow();
        last.values().find(|running| running.chain.lease == lease).cloned()
    }

    /// Lets a chain be the one of a slot.
    fn take(&self, slot: u32, chain: Chain) -> Rc<Running> {
        let plan = Rc::clone(&self.shared.plans.borrow()[&chain.run.run]);
        let running = Rc::new(Running {
            chain,
            plan,
            place: Cell::new(0),
            course: Cell::new(Course::On),
            stopped: Notify::new(),
            cancel: CancelToken::default(),
        });
        self.shared.last.borrow_mut().insert(slot, Rc::clone(&running));
        running
    }

    /// Runs a chain, and those that its slot takes behind it.
    async fn work(self, slot: u32, first: Rc<Running>) {
        let mut next = Some(first);
        while let Some(running) = next.take() {
            let end = match running.chain.batch {
                Some(batch) => self.run(&running, batch).await,
                None => self.finish_run(&running).await,
            };
            let lease = running.chain.lease;
            if running.course.get() == Course::Stopped {
                running.abandon();
            } else {
                next = self.next_behind(&running, &end).map(|chain| self.take(slot, chain));
                running.course.set(match next {
                    Some(_) => Course::Succeeded,
                    None => Course::Ended,
                });
            }
            let next = next.as_ref().map(|next| next.chain.lease);
            self.tell(Input::ChainEnded { lease, end, next });
        }
    }

    fn next_behind(&self, ended: &Running, end: &ChainEnd) -> Option<Chain> {
        let is_prepared = *end == ChainEnd::Finished { kept: None } && ended.chain.batch.is_some();
        if !is_prepared || self.now() >= self.shared.works_until.get() {
            return None;
        }
        let mut queue = self.shared.queue.borrow_mut();
        let place = queue.iter().position(|chain| chain.run.run == ended.chain.run.run)?;
        queue.remove(place)
    }

    async fn run(&self, running: &Running, batch: BatchId) -> ChainEnd {
        let chain = &running.chain;
        let mut held = match self.resolve(chain) {
            Ok(held) => held,
            Err(failure) => return ChainEnd::InputLost { failure },
        };
        let mut last = chain.steps[0].op;
        for (place, step) in chain.steps.iter().enumerate() {
            match running.course.get() {
                Course::Truncated if place > 0 => break,
                Course::Stopped if place > 0 => return ChainEnd::Stopped,
                Course::On | Course::Truncated | Course::Stopped | Course::Ended | Course::Succeeded => {}
            }
            running.place.set(place);
            (last, held) = match self.run_step(running, batch, *step, held).await {
                Ok(output) => (step.op, output),
                Err(_) if running.course.get() == Course::Stopped => return ChainEnd::Stopped,
                Err(held) => {
                    let kept = self.keep(chain, held);
                    return ChainEnd::OpFailed { op: step.op, kept };
                }
            };
        }
        let job = &chain.run.job;
        if last == job.last_op() {
            return ChainEnd::Finished { kept: None };
        }
        if job.is_checkpoint(last) {
            return ChainEnd::Checkpointed;
        }
        let kept = self.keep(chain, held);
        ChainEnd::Finished { kept }
    }

    fn resolve(&self, chain: &Chain) -> Result<Held, Failure> {
        match &chain.input {
            message::Input::Slice(slice) => Ok(Held::Slice(OpInput::Slice(slice.clone()))),
            message::Input::Local(output) => match self.shared.parking.get(chain.run.run, *output) {
                Ok(Some(batch)) => Ok(Held::Parked(*output, OpInput::Batch(batch))),
                Ok(None) => Err(Failure::retryable("this worker does not keep the output any more")),
                Err(error) => Err(Failure::retryable(error.to_string())),
            },
            message::Input::Remote(_) | message::Input::Checkpoint(_) | message::Input::Committed => Err(
                Failure::permanent("a batch was leased with what these jobs do not have"),
            ),
        }
    }

    /// Runs an op on what is held, and returns its output; what was held comes back if it fails.
    async fn run_step(&self, running: &Running, batch: BatchId, step: Step, held: Held) -> Result<Held, Held> {
        let lease = running.chain.lease;
        let (op, at) = (step.op, self.now());
        self.tell(Input::OpStarted { lease, op, at });
        let shared = &self.shared;
        let runs = shared.trace.runs(shared.process, lease, running.chain.run.run, op);
        let delay = running.plan.run().job.op(op).delay;
        let takes = held.input().rows().map_or(BRIEF, |rows| delay.of_rows(rows).max(BRIEF));
        running.sleep(takes).await;
        let ran = run_op(running, batch, step, held.input());
        drop(runs);
        let at = self.now();
        match ran {
            Ok((output, done)) => {
                let outcome = OpOutcome::Done(done);
                self.tell(Input::OpEnded { lease, op, at, outcome });
                let attempt = step.attempt;
                Ok(Held::Here(OutputId { batch, op, attempt }, output))
            }
            Err(failure) => {
                let outcome = OpOutcome::Failed(failure);
                self.tell(Input::OpEnded { lease, op, at, outcome });
                Err(held)
            }
        }
    }

    fn keep(&self, chain: &Chain, held: Held) -> Option<Kept> {
        let (run, parking) = (chain.run.run, &self.shared.parking);
        match held {
            Held::Slice(_) => None,
            Held::Parked(output, _) => {
                let bytes = parking.size(run, output)?;
                Some(Kept { output, bytes })
            }
            Held::Here(output, OpInput::Batch(batch)) => {
                let bytes = parking.park(run, output, batch);
                Some(Kept { output, bytes })
            }
            Held::Here(_, OpInput::Slice(_)) => None,
        }
    }

    /// Runs the op over the whole run: the committed parts come over the network.
    async fn finish_run(&self, running: &Running) -> ChainEnd {
        let (lease, op) = (running.chain.lease, running.chain.steps[0].op);
        let at = self.now();
        self.tell(Input::OpStarted { lease, op, at });
        let shared = &self.shared;
        let runs = shared.trace.runs(shared.process, lease, running.chain.run.run, op);
        running.sleep(BRIEF).await;
        let finished = tokio::select! {
            biased;
            () = running.stopped.notified() => Err(Failure::cancelled()),
            finished = self.finish(running, op) => finished,
        };
        drop(runs);
        let at = self.now();
        match finished {
            Ok(done) => {
                let outcome = OpOutcome::Done(done);
                self.tell(Input::OpEnded { lease, op, at, outcome });
                ChainEnd::Finished { kept: None }
            }
            Err(failure) => {
                let outcome = OpOutcome::Failed(failure);
                self.tell(Input::OpEnded { lease, op, at, outcome });
                if running.course.get() == Course::Stopped {
                    return ChainEnd::Stopped;
                }
                running.abandon();
                ChainEnd::OpFailed { op, kept: None }
            }
        }
    }

    async fn finish(&self, running: &Running, op: OpId) -> Result<OpDone, Failure> {
        running.cancel.check()?;
        let lease = running.chain.lease;
        let run = running.chain.run.run;
        let mut pages = self.shared.coordinator.committed_parts(run, lease, op).await?;
        let (state, reopening) = (pages.state(), pages.reopening());
        let mut parts = Vec::new();
        while let Some(part) = pages.next().await? {
            parts.push(part);
        }
        let rows = parts.iter().map(|part| part.part.rows).sum();
        let parts = sink::open(&running.plan, op)?.finish(Finish {
            lease,
            state,
            reopening,
            committed: &mut parts.into_iter().map(Ok),
            cancel: &running.cancel,
        })?;
        Ok(OpDone {
            rows_in: rows,
            rows_out: rows,
            parts,
            ..OpDone::default()
        })
    }
}

/// Runs an op at once.
fn run_op(running: &Running, batch: BatchId, step: Step, input: OpInput) -> Result<(OpInput, OpDone), Failure> {
    running.cancel.check()?;
    let run = running.plan.run();
    let context = OpContext {
        run: run.run,
        batch,
        op: step.op,
        attempt: step.attempt,
        lease: running.chain.lease,
        seed: run.seed,
        cancel: running.cancel.clone(),
        task_log: Arc::default(),
    };
    let mut op = running.plan.open(step.op)?;
    let output = op.run(input, &context)?;
    op.close()?;
    let done = OpDone {
        rows_in: output.rows_in,
        rows_out: output.rows_out,
        rows_rejected: output.rows_rejected,
        bytes_held: output.batch.bytes_held(),
        parts: output.parts,
        checkpoint: None,
    };
    Ok((OpInput::Batch(output.batch), done))
}

impl Running {
    /// Sleeps for a time, or until the chain is stopped.
    async fn sleep(&self, time: Duration) {
        if self.cancel.is_cancelled() {
            return;
        }
        tokio::select! {
            biased;
            () = self.stopped.notified() => {}
            () = tokio::time::sleep(time) => {}
        }
    }

    /// Deletes what the chain staged and nobody will ask for.
    fn abandon(&self) {
        sink::abandon(&self.plan, self.chain.batch, self.chain.lease).expect("what was staged can be deleted");
    }
}

impl Held {
    fn input(&self) -> OpInput {
        match self {
            Held::Slice(input) | Held::Parked(_, input) | Held::Here(_, input) => input.clone(),
        }
    }
}
