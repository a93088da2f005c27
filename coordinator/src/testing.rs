//! What the tests of several modules build on.

use std::collections::BTreeMap;

use common::counts::{BatchCounts, RowCounts, TaskCounts};
use common::ids::RunId;
use common::job::{Batching, CsvDialect, FailurePolicy, Job, Op, OpKind, Schedule, Source};
use common::state::RunState;
use common::summary::{Gauge, Progress, RunSummary};
use common::time::Time;

/// Makes a job that extracts `/in.csv` and hands the batches on to some ops.
pub(crate) fn job(name: &str, ops: impl IntoIterator<Item = (&'static str, OpKind)>) -> Job {
    let ops = ops.into_iter().map(|(name, kind)| Op::new(name, kind));
    Job {
        name: name.to_owned(),
        source: Source {
            uris: vec!["/in.csv".to_owned()],
            csv: CsvDialect::default(),
        },
        batching: Batching::default(),
        schedule: Schedule::default(),
        ops: std::iter::once(Op::extract()).chain(ops).collect(),
        failure: FailurePolicy::default(),
        deadline: None,
        labels: BTreeMap::new(),
        seed: None,
        checkpoint_uri: None,
    }
}

/// Makes the last summary of a run that did nothing and succeeded.
pub(crate) fn ended_summary(run: RunId) -> RunSummary {
    RunSummary {
        run,
        job: "first".to_owned(),
        state: RunState::Succeeded,
        accepted: Time(1),
        ended: Some(Time(2)),
        first_batch_loaded: None,
        batches_in_flight: Gauge::default(),
        committing: Gauge::default(),
        bytes_in_flight: Gauge::default(),
        tasks_running: Gauge::default(),
        max_in_flight: None,
        cap: 1,
        batches: BatchCounts::default(),
        total_is_exact: true,
        source_bytes: Progress::default(),
        tasks: TaskCounts::default(),
        rows: RowCounts::default(),
        failure: None,
        stalled: None,
    }
}
