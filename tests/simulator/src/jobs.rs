//! From a plan's jobs to what the coordinator takes: jobs, sources, slices; and what must come of each batch.
//!
//! What an op does to a batch follows from names alone, so that every attempt does the same, and so that the rows that
//! a run has to load can be computed without running it.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use common::counts::RowCounts;
use common::ids::{BatchId, OpId};
use common::job::{
    Batching, CsvDialect, FailurePolicy, FileFormat, FileSink, IfExists, Job, Op, OpKind, Retry, Schedule, SingleFile,
    Sink, Source, Weight,
};
use common::slice::{BadRow, ByteSlice, FileId, FrozenSource, Halved, Slice, SourceFile};
use scheduler::SliceCut;

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
        bisect: plan.bisect,
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
        op.timeout = plan.ops[place].timeout;
        op.rate = plan.ops[place].rate;
        op.checkpoint = plan.ops[place].checkpoint;
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
            weight: weight(plan.weight),
            ..Schedule::default()
        },
        ops: ops.map(|op| Op { retry, ..op }).collect(),
        failure: FailurePolicy {
            on_failure: plan.on_failure,
            tolerated_batches: plan.tolerated,
            tolerated_percent: None,
        },
        deadline: plan.deadline,
        labels: BTreeMap::new(),
        seed: None,
        checkpoint_uri: Some("/checkpoints".to_owned()),
    }
}

/// Makes a weight.
pub(crate) fn weight(weight: u32) -> Weight {
    Weight::new(f64::from(weight)).expect("is a weight")
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
            rows_before: 0,
        })
    });
    cut.collect()
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

/// What an op does to the rows of a batch, or of a half of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpRows {
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    pub(crate) rejected: u64,
}

/// What an op does to a row that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    GoesOn,
    Rejected,
    Filtered,
}

fn fate(plan: &JobPlan, job: usize, op: OpId, index: u64, row: u64) -> Fate {
    if IsSink::of(plan, op) == IsSink::Yes {
        return Fate::GoesOn;
    }
    let drawn = mix(&[job as u64, u64::from(op.0), index, row]);
    if drawn.is_multiple_of(31) {
        Fate::Rejected
    } else if (drawn >> 8).is_multiple_of(19) {
        Fate::Filtered
    } else {
        Fate::GoesOn
    }
}

/// Returns the rows of its whole batch that a batch, or a half of one, is made of.
pub(crate) fn range_of(plan: &JobPlan, batch: BatchId) -> Range<u64> {
    let whole = 0..plan.batches[batch.index as usize];
    batch.halves.turns().fold(whole, |range, turn| {
        let middle = range.start + (range.end - range.start).div_ceil(2);
        if turn == 0 {
            range.start..middle
        } else {
            middle..range.end
        }
    })
}

/// Returns what an op does to the rows of a batch.
pub(crate) fn rows_of_op(plan: &JobPlan, job: usize, op: OpId, batch: BatchId) -> OpRows {
    let mut rows = OpRows::default();
    for row in range_of(plan, batch) {
        let comes_in = (0..op.0).all(|before| fate(plan, job, OpId(before), batch.index, row) == Fate::GoesOn);
        if !comes_in {
            continue;
        }
        rows.rows_in += 1;
        match fate(plan, job, op, batch.index, row) {
            Fate::GoesOn => rows.rows_out += 1,
            Fate::Rejected => rows.rejected += 1,
            Fate::Filtered => {}
        }
    }
    rows
}

/// Returns where the rows of a batch must have gone when it is committed.
pub(crate) fn rows_committed(plan: &JobPlan, job: usize, batch: BatchId) -> RowCounts {
    let mut rows = RowCounts::default();
    for op in (0..=plan.ops.len() as u16).map(OpId) {
        let done = rows_of_op(plan, job, op, batch);
        if op == OpId::EXTRACT {
            rows.read = done.rows_in;
        }
        rows.rejected += done.rejected;
        rows.filtered += done.rows_in - done.rows_out - done.rejected;
        rows.loaded = done.rows_out;
    }
    rows
}

/// Cuts the slice of a failed batch as the coordinator does: with half of its rows on each side.
pub(crate) fn cut(slice: &Slice) -> SliceCut {
    let Slice::Bytes(bytes) = slice;
    let rows = bytes.rows.unwrap_or(0);
    match rows {
        0 => SliceCut::Unreadable,
        1 => SliceCut::Single(BadRow {
            line: bytes.first_line,
            byte: bytes.start,
            text: format!("row {:?}", bytes.first_row),
        }),
        2.. => {
            let halved = Halved {
                first: rows.div_ceil(2),
                second: rows / 2,
            };
            let (end, line) = (bytes.start + halved.first * ROW_BYTES, bytes.first_line + halved.first);
            let (first, second) = bytes.cut_at(end, line, halved);
            SliceCut::Halves {
                first: Slice::Bytes(first),
                second: Slice::Bytes(second),
            }
        }
    }
}
