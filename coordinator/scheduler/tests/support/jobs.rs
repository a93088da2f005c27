//! Jobs for the world: the three of the sample, and chains with durations per op.

use super::*;

/// The sample's chain: extract, two transforms of 10 ms a row, load.
pub fn sample(name: &str, order: Order, batching: Batching) -> Job {
    let transform = |name: &str| {
        let mut op = Op::new(name, OpKind::Noop);
        op.delay.per_row = Duration::from_millis(10);
        op
    };
    let load = Op::new("load", OpKind::Write(Sink::Discard));
    let schedule = Schedule {
        order,
        max_concurrent: NonZeroU32::new(4),
        ..Schedule::default()
    };
    chain(
        name,
        vec![transform("transform_1"), transform("transform_2"), load],
        batching,
        schedule,
    )
}

/// A job of some ops behind `extract`.
pub fn chain(name: &str, ops: Vec<Op>, batching: Batching, schedule: Schedule) -> Job {
    Job {
        name: name.to_owned(),
        source: Source {
            uris: vec!["in.csv".to_owned()],
            csv: CsvDialect::default(),
        },
        batching,
        schedule,
        ops: std::iter::once(Op::extract()).chain(ops).collect(),
        failure: FailurePolicy::default(),
        deadline: None,
        labels: BTreeMap::new(),
        seed: Some(7),
        checkpoint_uri: None,
    }
}

/// Batches of so many rows.
pub fn rows(rows: u32) -> Batching {
    Batching::Bounded {
        rows: NonZeroU32::new(rows),
        bytes: Batching::DEFAULT_BYTES,
    }
}

/// An op that takes so long for every batch.
pub fn op_of(name: &str, millis: u64) -> Op {
    let mut op = Op::new(name, OpKind::Noop);
    op.delay.per_batch = Duration::from_millis(millis);
    op
}

/// An op that writes one file, joined at the end of the run.
pub fn into_a_file() -> Op {
    let sink = FileSink {
        format: FileFormat::Csv,
        uri: "/out.csv".to_owned(),
        single_file: SingleFile::Join,
        if_exists: IfExists::Refuse,
    };
    Op::new("load", OpKind::Write(Sink::File(sink)))
}

/// A schedule with a cap.
pub fn cap(cap: u32) -> Schedule {
    Schedule {
        max_concurrent: NonZeroU32::new(cap),
        ..Schedule::default()
    }
}

/// Two ops of a second each, under a cap.
pub fn two_steps(run_cap: u32) -> Job {
    chain(
        "two_steps",
        vec![op_of("a", 1_000), op_of("b", 1_000)],
        rows(1),
        cap(run_cap),
    )
}
