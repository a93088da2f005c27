//! Sinks: where `write` hands its rows, and how they become part of the result exactly once.
//!
//! A sink *stages* what an attempt writes under a name that no other attempt uses, and reports it as parts; the
//! coordinator makes the commit durable; only then is it *published*. What other attempts staged is *abandoned*. When
//! every batch has ended, a task over the whole run *finishes* the sink: it stages the manifest or the joined file
//! from the committed parts, and the publishing of that puts the result in place and sweeps everything else away.
//!
//! | sink | guarantee |
//! |---|---|
//! | csv, jsonl | each row exactly once |
//! | log, stdout | each row at least once: a lost worker's batch is written again |
//! | discard | nothing to guarantee |
//!
//! All of it is synchronous and meant for a thread off the async runtime. Every function may be repeated, by any
//! worker that sees the same files.

mod discard;
mod file;
mod log;
mod stdout;
pub(crate) mod text;

use arrow_schema::SchemaRef;
use common::failure::Failure;
use common::ids::{BatchId, LeaseId, OpId};
use common::job::{OpKind, Sink as SinkSpec};
use common::message::Publish;
use common::part::Part;
use common::slice::RunContext;
use common::state::{Reopening, RunState};

use crate::batch::Batch;
use crate::checkpoint;
use crate::ops::OpContext;
use crate::ops::plan::Plan;

/// Where rows go.
pub trait Sink: Send + Sync {
    /// Writes the rows of a batch where no other attempt writes, durably, and says where.
    fn stage(&self, batch: &Batch, context: &OpContext) -> Result<Vec<Part>, Failure>;

    /// Puts committed parts in place: those of a batch, or what [`Sink::finish`] staged if there is no batch.
    fn publish(&self, batch: Option<BatchId>, parts: &[Part]) -> Result<(), Failure>;

    /// Deletes what an attempt staged, of a batch or of the whole run. Nothing there is fine.
    fn abandon(&self, batch: Option<BatchId>, lease: LeaseId) -> Result<(), Failure>;

    /// Makes the run's result of its committed parts, stages it and says where; sweeps if there is to be none.
    fn finish(&self, finish: Finish<'_>) -> Result<Vec<Part>, Failure>;

    /// Deletes what an ended run keeps to be able to go on: it is forgotten. Nothing there is fine.
    fn sweep(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// What the task over the whole run is given.
pub struct Finish<'a> {
    /// The lease that the task runs under.
    pub lease: LeaseId,
    /// How the run is about to end; what is not yet final counts as failed.
    pub state: RunState,
    /// Whether it may go on again after that, if it ends with failures.
    pub reopening: Reopening,
    /// The committed parts of the op, in the order of their batches.
    pub committed: &'a mut dyn Iterator<Item = Result<CommittedPart, Failure>>,
    /// Says when to stop.
    pub cancel: &'a crate::ops::CancelToken,
}

impl Finish<'_> {
    /// Tells whether what the run would go on from has to stay beside its result.
    pub fn keeps_for_reopening(&self) -> bool {
        self.state.keeps_for_reopening(self.reopening)
    }
}

/// A part whose commit is durable, and the batch it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedPart {
    /// The batch.
    pub batch: BatchId,
    /// Its part.
    pub part: Part,
}

/// Opens the sink of a write op. Opening touches nothing, so a sink may be opened just to publish or to sweep.
pub fn open(plan: &Plan, op: OpId) -> Result<Box<dyn Sink>, Failure> {
    open_with(plan.run(), op, plan.input(op))
}

/// Puts the parts that the coordinator names in place; they may be of several write ops. Of a whole run and without
/// parts it means that the run is forgotten, and that everything it keeps beside its result goes.
pub fn publish(plan: &Plan, publish: &Publish) -> Result<(), Failure> {
    if publish.batch.is_none() && publish.parts.is_empty() {
        return sweep(plan);
    }
    let mut rest = publish.parts.as_slice();
    while let Some(first) = rest.first() {
        let of_op = rest.iter().take_while(|part| part.op == first.op).count();
        let (parts, later) = rest.split_at(of_op);
        open(plan, first.op)?.publish(publish.batch, parts)?;
        rest = later;
    }
    Ok(())
}

fn sweep(plan: &Plan) -> Result<(), Failure> {
    for (op, _) in plan.run().job.file_sinks() {
        open(plan, op)?.sweep()?;
    }
    checkpoint::sweep(plan.run())
}

/// Deletes what the attempts of one lease staged, whichever write ops it got to.
pub fn abandon(plan: &Plan, batch: Option<BatchId>, lease: LeaseId) -> Result<(), Failure> {
    for (op, _) in plan.run().job.file_sinks() {
        open(plan, op)?.abandon(batch, lease)?;
    }
    Ok(())
}

/// Deletes what the attempt of one lease at one op staged, if the op is a file sink.
pub fn abandon_op(plan: &Plan, op: OpId, batch: Option<BatchId>, lease: LeaseId) -> Result<(), Failure> {
    if plan.run().job.file_sinks().any(|(sink, _)| sink == op) {
        open(plan, op)?.abandon(batch, lease)?;
    }
    Ok(())
}

pub(crate) fn open_with(run: &RunContext, op: OpId, input: &SchemaRef) -> Result<Box<dyn Sink>, Failure> {
    let OpKind::Write(sink) = &run.job.op(op).kind else {
        return Err(Failure::permanent(format!("{} writes to no sink", run.job.op(op).name)));
    };
    Ok(match sink {
        SinkSpec::File(spec) => Box::new(file::FileSink::new(run, op, spec, input)?),
        SinkSpec::Log(spec) => Box::new(log::LogSink::new(&run.job.op(op).name, spec, input)?),
        SinkSpec::Stdout => Box::new(stdout::StdoutSink),
        SinkSpec::Discard => Box::new(discard::DiscardSink),
    })
}
