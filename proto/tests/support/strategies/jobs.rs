//! Any job.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use common::job::{
    Add, AddedColumn, Batching, Bisect, Checkpointing, ColumnKind, Comparison, CsvDialect, Delay, Exec, ExecFormat,
    FailurePolicy, FileFormat, FileSink, Filter, Header, IfExists, Jitter, Job, LogSink, OnFailure, Op, OpKind, Order,
    PoolName, Rate, RateUnit, Require, Retry, Schedule, Select, SelectedColumn, SingleFile, Sink, Source, Weight,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

/// A name of a column: anything but control characters, quotes and ` as ` included.
pub(super) fn column() -> impl Strategy<Value = String> {
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
