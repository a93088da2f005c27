//! The ops of a chain and what they are configured with.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::{PoolName, Rate};
use super::schedule::Retry;
use super::sink::Sink;

/// One named step of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// Its name, unique in the job.
    pub name: String,
    /// What it does.
    pub kind: OpKind,
    /// Its own priority, if it names one; otherwise the order gives it.
    pub priority: Option<i32>,
    /// How many tasks of this op may run at once, over all workers.
    pub max_concurrent: Option<NonZeroU32>,
    /// How much of it may begin in a time, over all workers.
    pub rate: Option<Rate>,
    /// The limits shared between runs that each task of it takes a unit of.
    pub pools: Vec<PoolName>,
    /// How often it is tried.
    pub retry: Retry,
    /// How long an attempt may take; one that takes longer is stopped, and counts as failed.
    pub timeout: Option<Duration>,
    /// Simulated work before it does anything.
    pub delay: Delay,
    /// Whether its output is kept durably, so that what is lost later begins behind it.
    pub checkpoint: Checkpointing,
}

/// Whether an op's output is kept durably.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Checkpointing {
    /// It lives in memory, or on the disk of one worker.
    #[default]
    No,
    /// It is written to a folder that every worker sees.
    Yes,
}

impl Op {
    /// Makes an op of a kind with every default.
    pub fn new(name: impl Into<String>, kind: OpKind) -> Op {
        Op {
            name: name.into(),
            kind,
            priority: None,
            max_concurrent: None,
            rate: None,
            pools: Vec::new(),
            retry: Retry::default(),
            timeout: None,
            delay: Delay::default(),
            checkpoint: Checkpointing::No,
        }
    }

    /// Makes the op that every chain begins with.
    pub fn extract() -> Op {
        Op::new("extract", OpKind::Extract)
    }

    /// Tells whether the op has a limit of its own, so that a lease never runs into it from the op before.
    pub fn has_own_limit(&self) -> bool {
        self.max_concurrent.is_some() || self.rate.is_some() || !self.pools.is_empty()
    }
}

/// What an op does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OpKind {
    /// Reads the batch's slice of the source.
    Extract,
    /// Keeps some columns, in a given order, perhaps renamed.
    Select(Select),
    /// Adds columns at the end.
    Add(Add),
    /// Keeps the rows for which a comparison holds.
    Filter(Filter),
    /// Fails the batch unless a comparison holds for every row.
    Require(Require),
    /// Hands the batch on as it is.
    Noop,
    /// Hands the rows to a sink, and the batch on as it is.
    Write(Sink),
    /// Sends the rows through a program of the worker's machine.
    Exec(Exec),
}

impl OpKind {
    /// The names of all kinds, as workers announce what they can do.
    pub const NAMES: [&str; 8] = ["extract", "select", "add", "filter", "require", "noop", "write", "exec"];

    /// Returns the kind's name in specs and in a worker's announcement.
    pub fn name(&self) -> &'static str {
        match self {
            OpKind::Extract => "extract",
            OpKind::Select(_) => "select",
            OpKind::Add(_) => "add",
            OpKind::Filter(_) => "filter",
            OpKind::Require(_) => "require",
            OpKind::Noop => "noop",
            OpKind::Write(_) => "write",
            OpKind::Exec(_) => "exec",
        }
    }
}

/// The columns to keep, in their new order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Select {
    /// At least one column.
    pub columns: Vec<SelectedColumn>,
}

/// One column to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectedColumn {
    /// Its name before.
    pub source: String,
    /// Its name after.
    pub name: String,
}

/// The columns to add, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    /// At least one column.
    pub columns: Vec<AddedColumn>,
}

/// One column to add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedColumn {
    /// Its name; the batch must not have it yet.
    pub name: String,
    /// How its values are made.
    pub kind: ColumnKind,
}

/// How the values of an added column are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnKind {
    /// A version 4 uuid for each row, seeded by (run seed, op, batch), so that every attempt makes the same ones.
    Uuid,
    /// A version 4 uuid for each row, different at every attempt.
    RandomUuid,
    /// The same text in every row.
    Literal(String),
    /// The row's number from 1: in its file where the run is sharded by rows, else in its batch.
    RowNumber,
}

/// Keeps the rows whose value in one column compares as asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The column to look at.
    pub column: String,
    /// How to compare.
    pub comparison: Comparison,
    /// What to compare with. When it reads as a number, values are compared as numbers, and one that is no number never matches.
    pub value: String,
}

/// Demands that the value in one column compares as asked in every row; compared as [`Filter`] does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Require {
    /// The column to look at.
    pub column: String,
    /// How to compare.
    pub comparison: Comparison,
    /// What to compare with.
    pub value: String,
}

/// Sends the rows of a batch through a program: they are its standard input, and what it writes are the rows that go on.
/// It may change and drop rows, not add any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Its name or absolute path, as workers allow it. No shell reads it.
    pub program: String,
    /// Its arguments, as they are.
    pub args: Vec<String>,
    /// How rows are written and read.
    pub format: ExecFormat,
    /// The columns that come out; empty for those that go in.
    pub columns: Vec<String>,
}

/// How a program is given rows, and gives them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecFormat {
    /// CSV (RFC 4180, comma), the header first, both ways.
    Csv,
    /// One column, a value a line.
    Lines,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less than.
    Lt,
    /// Less than or equal.
    Le,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Ge,
    /// An empty field.
    IsNull,
    /// Not an empty field.
    IsNotNull,
}

/// Simulated work: one sleep of `per_batch + rows x per_row` before the op runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay {
    /// For every batch.
    pub per_batch: Duration,
    /// For every row that comes in; for `extract`, every row that comes out.
    pub per_row: Duration,
}

impl Comparison {
    /// Returns the comparison's name in specs and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Comparison::Eq => "eq",
            Comparison::Ne => "ne",
            Comparison::Lt => "lt",
            Comparison::Le => "le",
            Comparison::Gt => "gt",
            Comparison::Ge => "ge",
            Comparison::IsNull => "is_null",
            Comparison::IsNotNull => "is_not_null",
        }
    }
}

impl Delay {
    /// Returns the sleep for a batch of so many rows.
    pub fn of_rows(&self, rows: u64) -> Duration {
        let per_rows = self.per_row.as_nanos().saturating_mul(u128::from(rows));
        self.per_batch
            .saturating_add(Duration::from_nanos(u64::try_from(per_rows).unwrap_or(u64::MAX)))
    }
}
