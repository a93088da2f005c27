//! One chain in its slot: from its input through its ops to what it leaves behind.

use std::sync::Arc;

use agent::{ChainEnd, Kept};
use common::done::OpDone;
use common::failure::{Failure, FailureKind};
use common::ids::{BatchId, LeaseId, OpId, OutputId};
use common::logs::LogLevel;
use common::message::{self, OpOutcome, Step};

use super::control::{Next, StepEnd};
use super::open_ops::OpenOps;
use super::{ChainJob, OpenRun, Surroundings, run_scope};
use crate::batch::Batch;
use crate::checkpoint;
use crate::clock::monotonic_now;
use crate::memory::Use;
use crate::ops::plan::Plan;
use crate::ops::{OpContext, OpInput, OpOutput};
use crate::panics::catch_panic;
use crate::sink;

/// Runs the chains of one slot, one after another.
pub(super) struct ChainRunner {
    surroundings: Surroundings,
    open_ops: OpenOps,
}

/// What the next op works on, and under which name it can be kept.
#[derive(Clone)]
enum Held {
    /// A piece of the source; it can always be read again.
    Slice(OpInput),
    /// An output that is parked here already.
    Parked(OutputId, Batch),
    /// An output that only this thread has.
    Here(OutputId, Batch),
    /// What a checkpoint holds; it can always be read again.
    Checkpointed(Batch),
}

impl ChainRunner {
    pub(super) fn new(surroundings: Surroundings) -> ChainRunner {
        let open_ops = OpenOps::default();
        ChainRunner { surroundings, open_ops }
    }

    /// Runs a chain to its end.
    pub(super) fn run(&mut self, job: &ChainJob) -> ChainEnd {
        self.open_ops.close_ended_runs();
        let plan = match &job.run.plan {
            Ok(plan) => plan,
            Err(failure) => return self.refuse(job, failure.clone()),
        };
        let Some(batch) = job.chain.batch else {
            return run_scope::run(job, plan, &self.surroundings);
        };
        match self.resolve(job, plan) {
            Ok(held) => self.run_steps(job, plan, batch, held),
            Err(_) if job.control.is_stopped() => ChainEnd::Stopped,
            Err(failure) => {
                self.tell_of_lost_input(job, &failure);
                ChainEnd::InputLost { failure }
            }
        }
    }

    /// Says why a batch goes back although none of its attempts failed.
    fn tell_of_lost_input(&self, job: &ChainJob, failure: &Failure) {
        let (chain, first) = (&job.chain, job.chain.steps[0]);
        tracing::warn!(run = %chain.run.run, lease = %chain.lease, %failure, "the input of a chain could not be had");
        let task_logs = &self.surroundings.task_logs;
        let log = task_logs.of_task(chain.run.run, first.op, chain.batch, first.attempt);
        let text =
            format!("the input could not be had, so the batch goes back to its source or its checkpoint: {failure}");
        log.say(LogLevel::Warn, &text);
    }

    fn run_steps(&mut self, job: &ChainJob, plan: &Plan, batch: BatchId, mut held: Held) -> ChainEnd {
        let mut last = job.chain.steps[0].op;
        let parking = &self.surroundings.parking;
        let mut memory = parking.memory().hold(Use::Running, held.bytes());
        parking.make_room();
        for (place, step) in job.chain.steps.iter().enumerate() {
            match job.control.start_step(place, monotonic_now()) {
                Next::Started => last = step.op,
                Next::Truncated => break,
                Next::Stopped => return ChainEnd::Stopped,
            }
            let context = self.op_context(job, plan, batch, *step);
            let result = self.run_op(job, plan, held.input(), &context);
            let result = match job.control.leave_step() {
                StepEnd::InTime => result,
                StepEnd::TimedOut => Err(timed_out(job, plan, *step)),
            };
            match result {
                Ok((output, done)) => {
                    memory.change(done.bytes_held);
                    self.surroundings.parking.make_room();
                    job.control.end_step(step.op, monotonic_now(), OpOutcome::Done(done));
                    held = Held::Here(output_id(batch, *step), output);
                }
                Err(failure) => {
                    job.control
                        .end_step(step.op, monotonic_now(), OpOutcome::Failed(failure));
                    if job.control.is_stopped() {
                        return ChainEnd::Stopped;
                    }
                    drop(memory);
                    let kept = self.keep_for_later(job, held);
                    return ChainEnd::OpFailed { op: step.op, kept };
                }
            }
        }
        if last == job.chain.run.job.last_op() {
            return ChainEnd::Finished { kept: None };
        }
        drop(memory);
        if job.chain.run.job.is_checkpoint(last) {
            return ChainEnd::Checkpointed;
        }
        let kept = self.keep(job, held);
        ChainEnd::Finished { kept }
    }

    fn op_context(&self, job: &ChainJob, plan: &Plan, batch: BatchId, step: Step) -> OpContext {
        let run = plan.run();
        let task_logs = &self.surroundings.task_logs;
        OpContext {
            run: run.run,
            batch,
            op: step.op,
            attempt: step.attempt,
            lease: job.chain.lease,
            seed: run.seed,
            cancel: job.control.cancel_token().clone(),
            task_log: Arc::new(task_logs.of_task(run.run, step.op, Some(batch), step.attempt)),
        }
    }

    /// Gets what the first op works on.
    fn resolve(&self, job: &ChainJob, plan: &Plan) -> Result<Held, Failure> {
        let run = job.chain.run.run;
        let surroundings = &self.surroundings;
        match &job.chain.input {
            message::Input::Slice(slice) => Ok(Held::Slice(OpInput::Slice(slice.clone()))),
            message::Input::Local(output) => match surroundings.parking.get(run, *output) {
                Ok(Some(batch)) => Ok(Held::Parked(*output, batch)),
                Ok(None) => Err(Failure::retryable("this worker does not keep the output any more")),
                Err(error) => Err(Failure::retryable(error.to_string())),
            },
            message::Input::Remote(remote) => {
                job.control.fetch_started(monotonic_now());
                let fetch = surroundings.fetcher.fetch(run, job.chain.lease, remote);
                let fetched = surroundings.runtime.block_on(async {
                    tokio::select! {
                        fetched = fetch => fetched.map_err(|error| Failure::retryable(error.to_string())),
                        () = job.control.stopped() => Err(Failure::cancelled()),
                    }
                });
                fetched.map(|batch| Held::Here(remote.output, batch))
            }
            message::Input::Checkpoint(part) => match job.chain.batch {
                Some(batch) => {
                    // It holds all the columns that there were, and may be of a run whose later ops need others.
                    let read = checkpoint::read(batch, part)?.with_columns_of(plan.output(part.op));
                    read.map(Held::Checkpointed).ok_or_else(|| {
                        Failure::retryable(format!("the checkpoint {} lacks columns that are needed", part.file))
                    })
                }
                None => Err(Failure::permanent(
                    "an op over the whole run was leased with a checkpoint",
                )),
            },
            message::Input::Committed => Err(Failure::permanent("a batch was leased with the input of a whole run")),
        }
    }

    fn run_op(
        &mut self,
        job: &ChainJob,
        plan: &Plan,
        input: OpInput,
        context: &OpContext,
    ) -> Result<(Batch, OpDone), Failure> {
        let delay = plan.run().job.op(context.op).delay;
        let rows_known = input.rows();
        if let Some(rows) = rows_known {
            job.control.sleep(delay.of_rows(rows))?;
        }
        context.cancel.check()?;
        let output = self.run_caught(&job.run, plan, input, context)?;
        if rows_known.is_none() {
            job.control.sleep(delay.of_rows(output.rows_in))?;
        }
        let OpOutput {
            batch,
            rows_in,
            rows_out,
            rows_rejected,
            parts,
        } = output;
        let run = plan.run();
        let (op, id, lease) = (context.op, context.batch, context.lease);
        let checkpoint = if run.job.is_checkpoint(op) {
            Some(checkpoint::write(run, op, id, lease, &batch)?)
        } else {
            None
        };
        let bytes_held = batch.bytes_held();
        let done = OpDone {
            rows_in,
            rows_out,
            rows_rejected,
            bytes_held,
            parts,
            checkpoint,
        };
        Ok((batch, done))
    }

    /// Runs the op itself; a panic of it is a failure, and the op is not used again.
    fn run_caught(
        &mut self,
        run: &Arc<OpenRun>,
        plan: &Plan,
        input: OpInput,
        context: &OpContext,
    ) -> Result<OpOutput, Failure> {
        let open_ops = &mut self.open_ops;
        catch_panic(|| {
            let mut op = open_ops.take(run, plan, context.op)?;
            let result = op.run(input, context);
            open_ops.put_back(run, context.op, op);
            result
        })
    }

    /// Parks what is held under its name, unless it can be read again.
    fn keep(&self, job: &ChainJob, held: Held) -> Option<Kept> {
        let run = job.chain.run.run;
        let parking = &self.surroundings.parking;
        match held {
            Held::Slice(_) | Held::Checkpointed(_) => None,
            Held::Parked(output, _) => {
                let bytes = parking.size(run, output)?;
                Some(Kept { output, bytes })
            }
            Held::Here(output, batch) => {
                let bytes = parking.park(run, output, batch);
                Some(Kept { output, bytes })
            }
        }
    }

    /// Keeps what a failed op worked on, out of memory: it waits before the op is tried again.
    fn keep_for_later(&self, job: &ChainJob, held: Held) -> Option<Kept> {
        let Kept { output, .. } = self.keep(job, held)?;
        let bytes = self.surroundings.parking.set_aside(job.chain.run.run, output)?;
        Some(Kept { output, bytes })
    }

    /// Fails the first op of a run that cannot be done here.
    fn refuse(&self, job: &ChainJob, failure: Failure) -> ChainEnd {
        let op = job.chain.steps[0].op;
        job.control.start_step(0, monotonic_now());
        job.control.end_step(op, monotonic_now(), OpOutcome::Failed(failure));
        let kept = match &job.chain.input {
            message::Input::Local(output) => {
                let size = self.surroundings.parking.size(job.chain.run.run, *output);
                size.map(|bytes| Kept { output: *output, bytes })
            }
            message::Input::Slice(_)
            | message::Input::Remote(_)
            | message::Input::Checkpoint(_)
            | message::Input::Committed => None,
        };
        ChainEnd::OpFailed { op, kept }
    }
}

impl Held {
    /// Returns the bytes that it takes beside what is counted elsewhere.
    fn bytes(&self) -> u64 {
        match self {
            Held::Slice(OpInput::Slice(slice)) => slice.bytes(),
            Held::Slice(OpInput::Batch(batch)) | Held::Here(_, batch) | Held::Checkpointed(batch) => batch.bytes_held(),
            // The parking counts it.
            Held::Parked(..) => 0,
        }
    }

    /// Returns what the op is given; the data itself is shared, so that it can be kept if the op fails.
    fn input(&self) -> OpInput {
        match self {
            Held::Slice(input) => input.clone(),
            Held::Parked(_, batch) | Held::Here(_, batch) | Held::Checkpointed(batch) => OpInput::Batch(batch.clone()),
        }
    }
}

/// The failure of an op whose time was over before it ended; what it staged all the same is deleted.
fn timed_out(job: &ChainJob, plan: &Plan, step: Step) -> Failure {
    let (batch, lease) = (job.chain.batch, job.chain.lease);
    let abandoned = sink::abandon_op(plan, step.op, batch, lease);
    let abandoned = abandoned.and_then(|()| abandon_checkpoint(plan, step.op, batch, lease));
    if let Err(failure) = abandoned {
        tracing::warn!(lease = %job.chain.lease, %failure, "what a timed out op staged is left to be swept");
    }
    let timeout = plan.run().job.op(step.op).timeout.unwrap_or_default();
    let message = format!("the op took longer than its timeout of {timeout:?}; raise it, or make the batches smaller");
    Failure::new(FailureKind::TimedOut, message)
}

/// Deletes the checkpoint that the attempt of a lease at an op wrote, if the op is one.
pub(super) fn abandon_checkpoint(plan: &Plan, op: OpId, batch: Option<BatchId>, lease: LeaseId) -> Result<(), Failure> {
    match batch {
        Some(batch) if plan.run().job.is_checkpoint(op) => checkpoint::abandon(plan.run(), op, batch, lease),
        Some(_) | None => Ok(()),
    }
}

fn output_id(batch: BatchId, step: Step) -> OutputId {
    OutputId {
        batch,
        op: step.op,
        attempt: step.attempt,
    }
}
