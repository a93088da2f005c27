//! Ops: what one step of a chain does to a batch.
//!
//! Owns the trait that every kind of op implements, what an op is given and gives back, and the registry of kinds.
//! A kind is one file below `ops/` and one line in [`registry`]. Ops are plain synchronous code on data and files:
//! the executor runs them off the async threads, sleeps an op's `delay` before it (after `extract`, whose rows are
//! known only then), enforces time-outs and catches panics.
//!
//! Data flows in as an [`OpInput`] and out as an [`OpOutput`]; a [`plan::Plan`], computed once a run, knows the columns
//! that stand before every op and opens the ops for a slot.
//!
//! Known weakness: an op sees one batch at a time, so nothing here can join, sort or aggregate over batches.

mod add;
mod buffers;
mod condition;
pub mod exec;
mod extract;
mod filter;
mod locate;
mod noop;
pub mod plan;
mod projection;
mod reader;
mod registry;
mod require;
mod select;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_schema::SchemaRef;
use common::failure::Failure;
use common::ids::{Attempt, BatchId, LeaseId, OpId, RunId};
use common::job::OpKind;
use common::part::Part;
use common::slice::{RunContext, Slice};

pub use projection::ColumnNames;
pub use registry::Registry;

use crate::batch::Batch;
pub use crate::task_log::TaskLog;

/// A kind of op: how it changes columns, which ones it needs, and how it is opened.
pub trait OpFactory: Send + Sync {
    /// Returns the kind's name, as in [`OpKind::name`].
    fn kind(&self) -> &'static str;

    /// Returns the columns that have to come in, given those that come in at most and those that later ops need.
    fn needs(&self, kind: &OpKind, input: &[String], later: ColumnNames) -> ColumnNames;

    /// Returns the columns that go out, given those that come in.
    fn output(&self, kind: &OpKind, input: &SchemaRef) -> Result<SchemaRef, Failure>;

    /// Opens the op for one slot.
    fn open(&self, open: &OpenOp<'_>) -> Result<Box<dyn Op>, Failure>;
}

/// What an op is opened with.
#[derive(Debug)]
pub struct OpenOp<'a> {
    /// The run, with its job and its source.
    pub run: &'a Arc<RunContext>,
    /// Which op of the job.
    pub op: OpId,
    /// The columns of the batches that will come in.
    pub input: &'a SchemaRef,
    /// The columns of the batches that have to go out.
    pub output: &'a SchemaRef,
}

impl<'a> OpenOp<'a> {
    /// Returns the op's configuration.
    pub fn kind(&self) -> &'a OpKind {
        &self.run.job.op(self.op).kind
    }
}

/// An op that is open for one slot and is given one batch after another.
pub trait Op: Send {
    /// Does the work. An error fails the attempt and leaves the op usable; after a panic it is opened anew.
    fn run(&mut self, input: OpInput, context: &OpContext) -> Result<OpOutput, Failure>;

    /// Lets go of what the op holds.
    fn close(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// What an op works on.
#[derive(Clone, Debug)]
pub enum OpInput {
    /// A piece of the source, for `extract`.
    Slice(Slice),
    /// What the op before made, for all others.
    Batch(Batch),
}

impl OpInput {
    /// Returns the rows that come in; `None` for a slice, whose rows are not known yet.
    pub fn rows(&self) -> Option<u64> {
        match self {
            OpInput::Slice(_) => None,
            OpInput::Batch(batch) => Some(batch.rows()),
        }
    }

    /// Returns the batch, or the failure of an op that was given a slice.
    fn into_batch(self) -> Result<Batch, Failure> {
        match self {
            OpInput::Batch(batch) => Ok(batch),
            OpInput::Slice(_) => Err(Failure::permanent(
                "the op was given a slice; only extract reads slices",
            )),
        }
    }
}

/// What an op made of its input.
#[derive(Clone, Debug)]
pub struct OpOutput {
    /// The rows that go on.
    pub batch: Batch,
    /// Rows that came in; for `extract`, rows found in the slice.
    pub rows_in: u64,
    /// Rows that go on.
    pub rows_out: u64,
    /// Rows put aside because they could not be used; the rest of the difference was filtered.
    pub rows_rejected: u64,
    /// What a sink staged.
    pub parts: Vec<Part>,
}

impl OpOutput {
    /// Makes the output of an op that was given `rows_in` rows and neither rejected nor staged anything.
    fn of(batch: Batch, rows_in: u64) -> OpOutput {
        OpOutput {
            rows_in,
            rows_out: batch.rows(),
            rows_rejected: 0,
            parts: Vec::new(),
            batch,
        }
    }
}

/// What an op is told about the attempt it runs in.
#[derive(Clone, Debug)]
pub struct OpContext {
    /// The run.
    pub run: RunId,
    /// The batch.
    pub batch: BatchId,
    /// The op.
    pub op: OpId,
    /// Which execution of it.
    pub attempt: Attempt,
    /// The lease that gives the right to run; part of the name of whatever is staged.
    pub lease: LeaseId,
    /// The run's seed.
    pub seed: u64,
    /// Says when to stop.
    pub cancel: CancelToken,
    /// Takes lines for the run's own log.
    pub task_log: Arc<TaskLog>,
}

/// Tells an op to stop: set once by the executor, looked at by the op now and then.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks for a stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Tells whether a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Returns the failure to end with once a stop was asked for.
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_cancelled() {
            return Err(Failure::cancelled());
        }
        Ok(())
    }
}

/// Returns the failure of a factory that was given another kind's configuration.
fn wrong_kind(factory: &dyn OpFactory, kind: &OpKind) -> Failure {
    Failure::permanent(format!(
        "the op {} was given the configuration of {}",
        factory.kind(),
        kind.name()
    ))
}

/// Returns where a column is, or the failure of a chain whose columns were not checked.
fn place_of(schema: &SchemaRef, column: &str) -> Result<usize, Failure> {
    schema
        .index_of(column)
        .map_err(|_| Failure::permanent(format!("the batch has no column {column:?}")))
}

#[cfg(test)]
mod tests;
