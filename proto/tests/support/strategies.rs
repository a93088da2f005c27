//! Any job, any message to a worker, any report.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use common::failure::{Failure, FailureKind};
use common::holdings::{DoneOp, HeldBatch, HeldCourse, HeldLease, HeldOutput, HeldState, Holdings, Past};
use common::ids::{Attempt, BatchId, Generation, Halves, LeaseId, OpId, OutputId, RunId, SessionId};
use common::job::{
    Add, AddedColumn, Batching, Bisect, Checkpointing, ColumnKind, Comparison, CsvDialect, Delay, Exec, ExecFormat,
    FailurePolicy, FileFormat, FileSink, Filter, Header, IfExists, Jitter, Job, LogSink, OnFailure, Op, OpKind, Order,
    PoolName, Rate, RateUnit, Require, Retry, Schedule, Select, SelectedColumn, SingleFile, Sink, Source, Weight,
};
use common::message::{
    ChainRan, Grant, Input, LeaseEnd, OpDone, OpOutcome, OpRan, PermitFate, Publish, RemoteOutput, Report, Start, Step,
    ToWorker,
};
use common::part::Part;
use common::slice::{ByteSlice, FileId, FrozenSource, RunContext, Slice, SourceFile};
use common::time::Time;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

/// A name of a column: anything but control characters, quotes and ` as ` included.
fn column() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{0,6}", "[a-z\" ]{0,3} as [a-z\" ]{0,3}", "\\PC{1,8}"]
}

fn count() -> impl Strategy<Value = NonZeroU32> {
    (1..=u32::MAX).prop_map(|value| NonZeroU32::new(value).expect("is not zero"))
}

fn size() -> impl Strategy<Value = NonZeroU64> {
    (1..=u64::MAX).prop_map(|value| NonZeroU64::new(value).expect("is not zero"))
}

fn duration() -> impl Strategy<Value = Duration> {
    (0..100_000_u64, 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

fn failure_policy() -> impl Strategy<Value = FailurePolicy> {
    (
        select(vec![
            OnFailure::Drain,
            OnFailure::Cancel,
            OnFailure::Continue,
            OnFailure::Pause,
        ]),
        of(any::<u32>()),
        of(0.0..=100.0_f64),
    )
        .prop_map(|(on_failure, tolerated_batches, tolerated_percent)| FailurePolicy {
            on_failure,
            tolerated_batches,
            tolerated_percent,
        })
}

fn time_limit() -> impl Strategy<Value = Duration> {
    duration().prop_map(|duration| duration.max(Duration::from_nanos(1)))
}

pub(crate) fn job() -> impl Strategy<Value = Job> {
    (
        ("[a-z][a-z0-9_.-]{0,10}", source(), batching(), schedule()),
        vec(op(), 1..6),
        failure_policy(),
        btree_map("[a-z]{1,4}", "\\PC{0,6}", 0..3),
        of(any::<u64>()),
        of(time_limit()),
        retry(),
        of("[a-z/]{1,8}"),
    )
        .prop_map(
            |((name, source, batching, schedule), ops, failure, labels, seed, deadline, retry, checkpoint_uri)| Job {
                name,
                source,
                batching,
                schedule,
                ops: chain(ops, retry),
                failure,
                labels,
                seed,
                deadline,
                checkpoint_uri,
            },
        )
}

/// Puts `extract` first, and makes names and targets unique.
fn chain(ops: Vec<Op>, retry: Retry) -> Vec<Op> {
    let mut chain = vec![Op { retry, ..Op::extract() }];
    for (place, mut op) in ops.into_iter().enumerate() {
        op.name = format!("op_{place}");
        if let OpKind::Write(Sink::File(sink)) = &mut op.kind {
            sink.uri = format!("out/{place}");
        }
        chain.push(op);
    }
    if let Some(last) = chain.last_mut() {
        last.checkpoint = Checkpointing::No;
    }
    chain
}

fn source() -> impl Strategy<Value = Source> {
    let dialect = prop_oneof![
        Just(CsvDialect::default()),
        vec(column(), 1..4).prop_map(|columns| CsvDialect {
            delimiter: b'\t',
            quote: b'\'',
            header: Header::None,
            columns,
        }),
    ];
    (vec("[a-z/*.]{1,8}", 1..3), dialect).prop_map(|(uris, csv)| Source { uris, csv })
}

fn batching() -> impl Strategy<Value = Batching> {
    prop_oneof![
        Just(Batching::WholeInput),
        (of(count()), size()).prop_map(|(rows, bytes)| Batching::Bounded { rows, bytes }),
    ]
}

fn schedule() -> impl Strategy<Value = Schedule> {
    (
        select(vec![Order::DepthFirst, Order::BreadthFirst]),
        of(count()),
        of(count()),
        of(size()),
        count(),
        any::<i32>(),
        (1_u32..1_000_000).prop_map(|weight| Weight::new(f64::from(weight) / 1_000.0).expect("is a weight")),
        count(),
    )
        .prop_map(
            |(
                order,
                max_concurrent,
                max_in_flight,
                max_in_flight_bytes,
                max_committing,
                priority,
                weight,
                max_in_backoff,
            )| Schedule {
                order,
                max_concurrent,
                max_in_flight,
                max_in_flight_bytes,
                max_committing,
                max_in_backoff,
                priority,
                weight,
            },
        )
}

fn rate() -> impl Strategy<Value = Rate> {
    let unit = select(vec![RateUnit::Batches, RateUnit::Rows, RateUnit::Calls]);
    (1_u32..1_000_000, 1_u64..100_000, count(), unit).prop_map(|(limit, millis, burst, unit)| Rate {
        limit: f64::from(limit) / 8.0,
        per: std::time::Duration::from_millis(millis),
        burst,
        unit,
    })
}

fn pools() -> impl Strategy<Value = Vec<PoolName>> {
    let names = prop::collection::btree_set("[a-z][a-z0-9_.-]{0,8}", 0..3);
    names.prop_map(|names| {
        names
            .iter()
            .map(|name| PoolName::new(name).expect("is a name"))
            .collect()
    })
}

fn op() -> impl Strategy<Value = Op> {
    let delay = (duration(), duration()).prop_map(|(per_batch, per_row)| Delay { per_batch, per_row });
    (
        kind(),
        of(any::<i32>()),
        of(count()),
        (of(rate()), pools()),
        retry(),
        prop_oneof![Just(Delay::default()), delay],
        of(time_limit()),
        select(vec![Checkpointing::No, Checkpointing::Yes]),
    )
        .prop_map(
            |(kind, priority, max_concurrent, (rate, pools), retry, delay, timeout, checkpoint)| Op {
                name: String::new(),
                kind,
                priority,
                max_concurrent,
                rate,
                pools,
                retry,
                timeout,
                delay,
                checkpoint,
            },
        )
}

fn retry() -> impl Strategy<Value = Retry> {
    (
        count(),
        duration(),
        duration(),
        1.0..100.0_f64,
        select(vec![Jitter::Full, Jitter::None]),
        select(vec![Bisect::No, Bisect::Yes]),
    )
        .prop_map(
            |(max_attempts, initial_backoff, more, multiplier, jitter, bisect)| Retry {
                max_attempts,
                initial_backoff,
                max_backoff: initial_backoff + more,
                multiplier,
                jitter,
                bisect,
            },
        )
}

fn kind() -> impl Strategy<Value = OpKind> {
    let selected = (column(), of(column())).prop_map(|(source, name)| SelectedColumn {
        name: name.unwrap_or_else(|| source.clone()),
        source,
    });
    let made = prop_oneof![
        Just(ColumnKind::Uuid),
        Just(ColumnKind::RandomUuid),
        Just(ColumnKind::RowNumber),
        "\\PC{0,6}".prop_map(ColumnKind::Literal),
    ];
    let added = btree_map(column(), made, 1..4).prop_map(|columns| Add {
        columns: columns
            .into_iter()
            .map(|(name, kind)| AddedColumn { name, kind })
            .collect(),
    });
    prop_oneof![
        vec(selected, 1..4).prop_map(|columns| OpKind::Select(Select { columns })),
        added.prop_map(OpKind::Add),
        filter().prop_map(OpKind::Filter),
        filter().prop_map(|filter| {
            OpKind::Require(Require {
                column: filter.column,
                comparison: filter.comparison,
                value: filter.value,
            })
        }),
        Just(OpKind::Noop),
        exec().prop_map(OpKind::Exec),
        sink().prop_map(OpKind::Write),
    ]
}

fn exec() -> impl Strategy<Value = Exec> {
    let format = select(vec![ExecFormat::Csv, ExecFormat::Lines]);
    let columns = btree_set(column(), 0..3);
    ("/?[a-z]{1,8}", vec("[ -~]{0,6}", 0..3), format, columns).prop_map(|(program, args, format, columns)| {
        let most = match format {
            ExecFormat::Csv => usize::MAX,
            ExecFormat::Lines => 1,
        };
        Exec {
            program,
            args,
            format,
            columns: columns.into_iter().take(most).collect(),
        }
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let compared = select(vec![
        Comparison::Eq,
        Comparison::Ne,
        Comparison::Lt,
        Comparison::Le,
        Comparison::Gt,
        Comparison::Ge,
    ]);
    let null = select(vec![Comparison::IsNull, Comparison::IsNotNull]);
    prop_oneof![(compared, "\\PC{0,6}"), (null, Just(String::new()))].prop_flat_map(|(comparison, value)| {
        column().prop_map(move |column| Filter {
            column,
            comparison,
            value: value.clone(),
        })
    })
}

fn sink() -> impl Strategy<Value = Sink> {
    let file = (
        select(vec![FileFormat::Csv, FileFormat::Jsonl]),
        select(vec![SingleFile::Parts, SingleFile::Join]),
        select(vec![IfExists::Refuse, IfExists::Replace]),
    )
        .prop_map(|(format, single_file, if_exists)| {
            Sink::File(FileSink {
                format,
                uri: String::new(),
                single_file,
                if_exists,
            })
        });
    prop_oneof![
        file,
        "[a-z ]{0,5}(\\{[a-z]{1,4}\\})?".prop_map(|message| Sink::Log(LogSink { message })),
        Just(Sink::Stdout),
        Just(Sink::Discard),
    ]
}

fn run() -> impl Strategy<Value = RunId> {
    (1..=u64::MAX).prop_map(RunId)
}

fn lease() -> impl Strategy<Value = LeaseId> {
    (any::<u64>(), any::<u64>()).prop_map(|(generation, sequence)| LeaseId {
        generation: Generation(generation),
        sequence,
    })
}

fn session() -> impl Strategy<Value = SessionId> {
    (any::<u64>(), any::<u64>()).prop_map(|(generation, sequence)| SessionId {
        generation: Generation(generation),
        sequence,
    })
}

fn op_id() -> impl Strategy<Value = OpId> {
    any::<u16>().prop_map(OpId)
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (1..=u32::MAX).prop_map(Attempt)
}

fn batch() -> impl Strategy<Value = BatchId> {
    (any::<u64>(), vec(0..=1_u8, 0..=32)).prop_map(|(index, turns)| BatchId {
        index,
        halves: Halves::from_turns(turns).expect("is not too deep"),
    })
}

fn output() -> impl Strategy<Value = OutputId> {
    (batch(), op_id(), attempt()).prop_map(|(batch, op, attempt)| OutputId { batch, op, attempt })
}

fn failure() -> impl Strategy<Value = Failure> {
    let kinds = vec![
        FailureKind::Retryable,
        FailureKind::Permanent,
        FailureKind::BadInput,
        FailureKind::LostWorker,
        FailureKind::Cancelled,
        FailureKind::TimedOut,
        FailureKind::Panicked,
    ];
    (select(kinds), "\\PC{0,20}").prop_map(|(kind, message)| Failure::new(kind, message))
}

fn part() -> impl Strategy<Value = Part> {
    (
        op_id(),
        "[a-z/]{1,8}",
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<u64>(),
    )
        .prop_map(|(op, file, offset, length, checksum, rows)| Part {
            op,
            file,
            offset: offset.into(),
            length: length.into(),
            checksum,
            rows,
        })
}

fn slice() -> impl Strategy<Value = Slice> {
    (
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<u64>(),
        of(any::<u64>()),
        of(any::<u64>()),
        any::<u64>(),
    )
        .prop_map(|(file, start, length, first_line, first_row, rows, rows_before)| {
            Slice::Bytes(ByteSlice {
                file: FileId(file),
                start: start.into(),
                end: u64::from(start) + u64::from(length),
                first_line,
                first_row,
                rows,
                rows_before,
            })
        })
}

fn context() -> impl Strategy<Value = RunContext> {
    let file =
        ("[a-z/]{1,8}", any::<u64>(), "[0-9.]{0,8}", any::<u64>()).prop_map(|(path, bytes, etag, data_start)| {
            SourceFile {
                path,
                bytes,
                etag,
                data_start,
            }
        });
    let source = (vec(file, 0..3), vec(column(), 0..4)).prop_map(|(files, columns)| FrozenSource { files, columns });
    (run(), job(), source, any::<u64>()).prop_map(|(run, job, source, seed)| RunContext {
        run,
        job: Arc::new(job),
        source: Arc::new(source),
        seed,
    })
}

fn grant() -> impl Strategy<Value = Grant> {
    let remote =
        (output(), "[a-z:/]{0,8}", session(), vec(any::<u8>(), 0..8)).prop_map(|(output, address, holder, ticket)| {
            RemoteOutput {
                output,
                address,
                holder,
                ticket,
            }
        });
    let input = prop_oneof![
        slice().prop_map(Input::Slice),
        output().prop_map(Input::Local),
        remote.prop_map(Input::Remote),
        part().prop_map(Input::Checkpoint),
        Just(Input::Committed),
    ];
    let step = (op_id(), attempt()).prop_map(|(op, attempt)| Step { op, attempt });
    let start = select(vec![Start::Now, Start::OnFreedPermit]);
    (lease(), run(), of(batch()), vec(step, 1..4), input, of(past()), start).prop_map(
        |(lease, run, batch, steps, input, past, start)| Grant {
            lease,
            run,
            batch,
            steps: steps.into(),
            input,
            past: past.map(Arc::new),
            start,
        },
    )
}

fn done_op() -> impl Strategy<Value = DoneOp> {
    (op_id(), op_done()).prop_map(|(op, did)| DoneOp { op, did })
}

fn past() -> impl Strategy<Value = Past> {
    (slice(), vec(done_op(), 0..3)).prop_map(|(slice, done)| Past { slice, done })
}

fn held_lease() -> impl Strategy<Value = HeldLease> {
    let step = (op_id(), attempt()).prop_map(|(op, attempt)| Step { op, attempt });
    let course = select(vec![HeldCourse::On, HeldCourse::Truncating, HeldCourse::Stopping]);
    let state =
        prop_oneof![
            (any::<u32>(), of(any::<u64>().prop_map(Time)), course)
                .prop_map(|(slot, since, course)| HeldState::Running { slot, since, course }),
            Just(HeldState::Prepared),
        ];
    let batch = (batch(), slice()).prop_map(|(id, slice)| HeldBatch { id, slice });
    let what = (lease(), run(), of(batch), vec(step, 1..4));
    (what, any::<u32>(), vec(done_op(), 0..3), state).prop_map(|((lease, run, batch, steps), started, done, state)| {
        HeldLease {
            lease,
            run,
            batch,
            steps,
            started,
            done,
            state,
        }
    })
}

/// Leases of new batches, some of which have all but their numbers in common.
pub(crate) fn messages() -> impl Strategy<Value = Vec<ToWorker>> {
    let new = |(grant, slice, sequences): (Grant, Slice, Vec<(u64, u64)>)| {
        let of_batch = move |(sequence, index)| {
            let generation = grant.lease.generation;
            ToWorker::Grant(Grant {
                lease: LeaseId { generation, sequence },
                batch: Some(BatchId::whole(index)),
                input: Input::Slice(slice.clone()),
                ..grant.clone()
            })
        };
        sequences.into_iter().map(of_batch).collect::<Vec<_>>()
    };
    let alike = (grant(), slice(), vec(any::<(u64, u64)>(), 0..4)).prop_map(new);
    let others = to_worker().prop_map(|message| vec![message]);
    vec(prop_oneof![alike, others], 0..5).prop_map(|groups| groups.concat())
}

pub(crate) fn holdings() -> impl Strategy<Value = Holdings> {
    let held_output = (run(), output(), any::<u64>(), past()).prop_map(|(run, output, bytes, past)| HeldOutput {
        run,
        output,
        bytes,
        past: Arc::new(past),
    });
    (vec(run(), 0..3), vec(held_lease(), 0..3), vec(held_output, 0..3)).prop_map(|(runs, leases, outputs)| Holdings {
        runs,
        leases,
        outputs,
    })
}

pub(crate) fn to_worker() -> impl Strategy<Value = ToWorker> {
    let publish = (lease(), run(), of(batch()), vec(part(), 0..3)).prop_map(|(lease, run, batch, parts)| Publish {
        lease,
        run,
        batch,
        parts,
    });
    prop_oneof![
        context().prop_map(|context| ToWorker::OpenRun(Arc::new(context))),
        run().prop_map(|run| ToWorker::CloseRun { run }),
        grant().prop_map(ToWorker::Grant),
        lease().prop_map(|lease| ToWorker::Permit { lease }),
        lease().prop_map(|lease| ToWorker::Truncate { lease }),
        lease().prop_map(|lease| ToWorker::Revoke { lease }),
        publish.prop_map(ToWorker::Publish),
        (run(), output()).prop_map(|(run, output)| ToWorker::Discard { run, output }),
        Just(ToWorker::Drain),
        any::<u64>().prop_map(|reports| ToWorker::Settled { reports }),
    ]
}

pub(crate) fn report() -> impl Strategy<Value = Report> {
    let time = || any::<u64>().prop_map(Time);
    prop_oneof![
        (lease(), op_id(), any::<u32>(), time()).prop_map(|(lease, op, slot, at)| Report::OpStarted {
            lease,
            op,
            slot,
            at
        }),
        (lease(), op_id(), time(), outcome()).prop_map(|(lease, op, at, outcome)| Report::OpEnded {
            lease,
            op,
            at,
            outcome
        }),
        (lease(), time()).prop_map(|(lease, at)| Report::FetchStarted { lease, at }),
        (lease(), op_id()).prop_map(|(lease, last)| Report::Truncated { lease, last }),
        (lease(), lease_end(), permit()).prop_map(|(lease, end, permit)| Report::LeaseEnded { lease, end, permit }),
        chain_ran().prop_map(Report::ChainRan),
        lease().prop_map(|lease| Report::Published { lease }),
        (lease(), failure()).prop_map(|(lease, failure)| Report::PublishFailed { lease, failure }),
        Just(Report::Draining),
    ]
}

fn chain_ran() -> impl Strategy<Value = ChainRan> {
    // A chain that ran to its end has no checkpoint in it: chains are cut there.
    let op = (any::<u64>(), any::<u64>(), op_done()).prop_map(|(started, ended, done)| OpRan {
        started: Time(started),
        ended: Time(ended),
        done: OpDone {
            checkpoint: None,
            ..done
        },
    });
    (lease(), any::<u32>(), vec(op, 0..4), of(1..u64::MAX)).prop_map(|(lease, slot, ops, heir)| ChainRan {
        lease,
        slot,
        ops,
        heir: heir.map(|sequence| LeaseId { sequence, ..lease }),
    })
}

fn outcome() -> impl Strategy<Value = OpOutcome> {
    prop_oneof![
        op_done().prop_map(OpOutcome::Done),
        failure().prop_map(OpOutcome::Failed)
    ]
}

fn op_done() -> impl Strategy<Value = OpDone> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (numbers, vec(part(), 0..3), of(part())).prop_map(
        |((rows_in, rows_out, rows_rejected, bytes_held), parts, checkpoint)| OpDone {
            rows_in,
            rows_out,
            rows_rejected,
            bytes_held,
            parts,
            checkpoint,
        },
    )
}

fn lease_end() -> impl Strategy<Value = LeaseEnd> {
    prop_oneof![
        Just(LeaseEnd::Prepared),
        (output(), any::<u64>()).prop_map(|(output, bytes)| LeaseEnd::Parked { output, bytes }),
        (op_id(), of(output())).prop_map(|(op, kept)| LeaseEnd::Failed { op, kept }),
        failure().prop_map(|failure| LeaseEnd::InputLost { failure }),
        Just(LeaseEnd::Stopped),
        Just(LeaseEnd::Recalled),
        Just(LeaseEnd::Checkpointed),
    ]
}

fn permit() -> impl Strategy<Value = PermitFate> {
    prop_oneof![
        Just(PermitFate::Returned),
        lease().prop_map(PermitFate::PassedTo),
        Just(PermitFate::None),
    ]
}
