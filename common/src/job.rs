//! The job as people define it: a source, batching, a schedule and a chain of ops.
//!
//! Owns the domain types, their defaults and the checks that need nothing but the job itself and the header. A job
//! that exists as a [`Job`] was checked by [`Job::check`]; wire types are turned into it in one place (`proto`).

mod check;
mod columns;
mod limits;
mod op;
mod problem;
mod schedule;
mod sink;
mod source;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use columns::output_columns;
pub use limits::{Change, LimitsChange, OpLimitsChange, PoolName, Rate, RateUnit, Weight};
pub use op::{
    Add, AddedColumn, Checkpointing, ColumnKind, Comparison, Delay, Exec, ExecFormat, Filter, Op, OpKind, Require,
    Select, SelectedColumn,
};
pub use problem::{FieldProblem, InvalidJob};
pub use schedule::{Bisect, FailurePolicy, Jitter, OnFailure, Order, Retry, Schedule};
pub use sink::{FileFormat, FileSink, IfExists, LogSink, MessagePiece, SingleFile, Sink};
pub use source::{Batching, CsvDialect, Header, Source};

use crate::ids::OpId;

/// The definition of a job. Its first op is always `extract`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The name shown wherever its runs are.
    pub name: String,
    /// Where the rows come from.
    pub source: Source,
    /// How the rows are cut into batches.
    pub batching: Batching,
    /// In which order, and how much at once.
    pub schedule: Schedule,
    /// The chain; `ops[0]` is `extract`.
    pub ops: Vec<Op>,
    /// What a batch that failed for good means for the run.
    pub failure: FailurePolicy,
    /// How long a run may take from its acceptance on; one that takes longer fails.
    pub deadline: Option<Duration>,
    /// Free words for people and tools.
    pub labels: BTreeMap<String, String>,
    /// What generated values are derived from; chosen by the coordinator if not given.
    pub seed: Option<u64>,
    /// The folder that checkpoints are kept in, which every worker sees; chosen by the coordinator if not given.
    pub checkpoint_uri: Option<String>,
}

impl Job {
    /// Returns an op by its id.
    ///
    /// # Panics
    /// If the job has no such op: ids of one job are never used with another.
    pub fn op(&self, id: OpId) -> &Op {
        &self.ops[id.index()]
    }

    /// Returns the ids of all ops, in the order of the chain.
    pub fn op_ids(&self) -> impl DoubleEndedIterator<Item = OpId> + ExactSizeIterator + use<> {
        (0..self.ops.len() as u16).map(OpId)
    }

    /// Returns the op that a batch ends with.
    pub fn last_op(&self) -> OpId {
        OpId(self.ops.len() as u16 - 1)
    }

    /// Returns the ops that must have ended on a batch before `op` may start.
    pub fn predecessors(&self, op: OpId) -> impl Iterator<Item = OpId> + use<> {
        op.0.checked_sub(1).map(OpId).into_iter()
    }

    /// Returns the op that follows `op` in the chain.
    pub fn successor(&self, op: OpId) -> Option<OpId> {
        (op < self.last_op()).then_some(OpId(op.0 + 1))
    }

    /// Returns how many ops lie between the source and `op`.
    pub fn depth(&self, op: OpId) -> u16 {
        op.0
    }

    /// Returns the priority of an op's tasks: its own if it names one, else what the order makes of its depth.
    pub fn priority(&self, op: OpId) -> i32 {
        let depth = i32::from(self.depth(op));
        self.op(op).priority.unwrap_or(match self.schedule.order {
            Order::DepthFirst => depth,
            Order::BreadthFirst => -depth,
        })
    }

    /// Tells whether an op's output is kept as a checkpoint.
    pub fn is_checkpoint(&self, op: OpId) -> bool {
        self.op(op).checkpoint == Checkpointing::Yes
    }

    /// Returns the ops whose outputs are kept as checkpoints, in the order of the chain.
    pub fn checkpoints(&self) -> impl DoubleEndedIterator<Item = OpId> {
        self.op_ids().filter(|op| self.is_checkpoint(*op))
    }

    /// Returns the ops that write files, whose output is put in place when the run ends.
    pub fn file_sinks(&self) -> impl Iterator<Item = (OpId, &FileSink)> {
        self.op_ids().filter_map(|id| match &self.op(id).kind {
            OpKind::Write(Sink::File(sink)) => Some((id, sink)),
            OpKind::Write(Sink::Log(_) | Sink::Stdout | Sink::Discard)
            | OpKind::Extract
            | OpKind::Select(_)
            | OpKind::Add(_)
            | OpKind::Filter(_)
            | OpKind::Require(_)
            | OpKind::Exec(_)
            | OpKind::Noop => None,
        })
    }
}
