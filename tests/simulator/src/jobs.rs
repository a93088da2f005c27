//! From a plan's jobs to what the coordinator takes: jobs, sources, slices; and what must come of each batch.
//!
//! What an op does to a batch follows from names alone, so that every attempt does the same, and so that the rows that
//! a run has to load can be computed without running it.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use common::counts::RowCounts;
use common::ids::OpId;
use common::job::{
    Batching, CsvDialect, FailurePolicy, FileFormat, FileSink, IfExists, Job, Op, OpKind, Retry, Schedule, SingleFile,
    Sink, Source,
};
use common::slice::{ByteSlice, FileId, FrozenSource, Slice, SourceFile};

use crate::plan::{JobPlan, SinkPlan};
use crate::random::mix;

/// Bytes of one row.
pub(crate) const ROW_BYTES: u64 = 100;

/// Makes the job that is submitted; its cap is given apart.
pub(crate) fn job(plan: &JobPlan, name: usize, cap: Option<u32>) -> Job {
    let retry = Retry {
        max_attempts: NonZeroU32::new(plan.attempts).unwrap_or(NonZeroU32::MIN),
        initial_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        ..Retry::default()
    };
    let last = plan.ops.len() - 1;
    let op = |place: usize| {
        let kind = if place == last {
            OpKind::Write(sink(plan.sink))
        } else {
            OpKind::Noop
        };
        let mut op = Op::new(format!("op_{}", place + 1), kind);
        op.max_concurrent = plan.ops[place].limit.and_then(NonZeroU32::new);
        op
    };
    let ops = std::iter::once(Op::extract()).chain((0..plan.ops.len()).map(op));
    Job {
        name: format!("job_{name}"),
        source: Source {
            uris: vec!["in.csv".to_owned()],
            csv: CsvDialect::default(),
        },
        batching: Batching::default(),
        schedule: Schedule {
            order: plan.order,
            max_concurrent: cap.and_then(NonZeroU32::new),
            max_in_flight: plan.max_in_flight.and_then(NonZeroU32::new),
            max_in_flight_bytes: plan
                .max_rows_in_flight
                .and_then(|rows| NonZeroU64::new(rows * ROW_BYTES)),
            max_committing: NonZeroU32::new(plan.max_committing).unwrap_or(NonZeroU32::MIN),
            priority: plan.priority,
            ..Schedule::default()
        },
        ops: ops.map(|op| Op { retry, ..op }).collect(),
        failure: FailurePolicy {
            on_failure: plan.on_failure,
        },
        labels: BTreeMap::new(),
        seed: None,
    }
}

fn sink(plan: SinkPlan) -> Sink {
    let single_file = match plan {
        SinkPlan::Discard => return Sink::Discard,
        SinkPlan::Parts => SingleFile::Parts,
        SinkPlan::Join => SingleFile::Join,
    };
    Sink::File(FileSink {
        format: FileFormat::Csv,
        uri: "/out".to_owned(),
        single_file,
        if_exists: IfExists::Refuse,
    })
}

/// Makes the listing of a job's source.
pub(crate) fn source(plan: &JobPlan) -> Arc<FrozenSource> {
    let rows: u64 = plan.batches.iter().sum();
    Arc::new(FrozenSource {
        files: vec![SourceFile {
            path: "/in.csv".to_owned(),
            bytes: rows * ROW_BYTES,
            etag: "1".to_owned(),
            data_start: 0,
        }],
        columns: vec!["name".to_owned()],
    })
}

/// Cuts a job's source into its batches.
pub(crate) fn slices(plan: &JobPlan) -> Vec<Slice> {
    let mut row = 0;
    let cut = plan.batches.iter().map(|rows| {
        let first = row;
        row += rows;
        Slice::Bytes(ByteSlice {
            file: FileId(0),
            start: first * ROW_BYTES,
            end: row * ROW_BYTES,
            first_line: first + 2,
            first_row: Some(first),
            rows: Some(*rows),
        })
    });
    cut.collect()
}

/// Returns what an op does with the rows that come in: how many go on, and how many it puts aside.
pub(crate) fn rows_of_op(job: usize, op: OpId, batch: u64, rows_in: u64, is_sink: IsSink) -> (u64, u64) {
    let drawn = mix(&[job as u64, u64::from(op.0), batch]);
    if is_sink == IsSink::Yes || rows_in < 2 {
        return (rows_in, 0);
    }
    let rejected = u64::from(drawn.is_multiple_of(5));
    let filtered = u64::from((drawn >> 8).is_multiple_of(3));
    if rows_in <= rejected + filtered {
        return (rows_in, 0);
    }
    (rows_in - rejected - filtered, rejected)
}

/// Whether an op is a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsSink {
    Yes,
    No,
}

impl IsSink {
    /// Tells whether an op of a job is its sink.
    pub(crate) fn of(plan: &JobPlan, op: OpId) -> IsSink {
        if op.index() == plan.ops.len() {
            IsSink::Yes
        } else {
            IsSink::No
        }
    }
}

/// Returns the rows that reach an op on a batch.
pub(crate) fn rows_into(plan: &JobPlan, job: usize, op: OpId, batch: u64) -> u64 {
    let whole = plan.batches[batch as usize];
    (0..op.0).fold(whole, |rows, before| {
        let before = OpId(before);
        rows_of_op(job, before, batch, rows, IsSink::of(plan, before)).0
    })
}

/// Returns where the rows of a batch must have gone when it is committed.
pub(crate) fn rows_committed(plan: &JobPlan, job: usize, batch: u64) -> RowCounts {
    let mut rows = RowCounts {
        read: plan.batches[batch as usize],
        ..RowCounts::default()
    };
    let mut left = rows.read;
    for op in (0..=plan.ops.len() as u16).map(OpId) {
        let (out, rejected) = rows_of_op(job, op, batch, left, IsSink::of(plan, op));
        rows.rejected += rejected;
        rows.filtered += left - out - rejected;
        left = out;
    }
    rows.loaded = left;
    rows
}
