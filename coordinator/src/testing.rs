//! What the tests of several modules build on.

use common::counts::{BatchCounts, RowCounts, TaskCounts};
use common::ids::RunId;
use common::state::RunState;
use common::summary::{Gauge, Progress, RunSummary};
use common::time::Time;

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
