//! The summary of a run: one JSON object for tools, a few lines and a table for people.
//!
//! Tools outside the repository read the object: a field is never renamed, and new ones come at its end.

use common::counts;
use common::state::RunState;
use common::units::ByteSize;
use serde::Serialize;

use crate::table::Table;

/// How many batches there are, and how they ended.
pub(crate) type BatchCount = counts::BatchCounts;
/// How many attempts ended, and how.
pub(crate) type TaskCount = counts::TaskCounts;
/// Where rows went.
pub(crate) type RowCount = counts::RowCounts;

/// What is said of a run at any moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// The run's id.
    pub(crate) run: String,
    /// The name of its job.
    pub(crate) job: String,
    /// Where it is in its life.
    pub(crate) state: RunState,
    /// From acceptance to the end, or to now.
    pub(crate) wall_seconds: f64,
    /// From acceptance to the first batch that came through; none if none has.
    pub(crate) first_batch_loaded_seconds: Option<f64>,
    /// The most batches in flight at once.
    pub(crate) peak_batches_in_flight: u64,
    /// The most batches that waited for their commit at once.
    pub(crate) peak_committing: u64,
    /// The most bytes in flight at once.
    pub(crate) peak_bytes_in_flight: u64,
    /// The most tasks running at once.
    pub(crate) peak_tasks_running: u64,
    /// Batches, by how they ended.
    pub(crate) batches: BatchCount,
    /// Attempts, by how they ended.
    pub(crate) tasks: TaskCount,
    /// Rows, by where they went.
    pub(crate) rows: RowCount,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<FailureSummary>,
    /// The most memory that its processes took, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<MemorySummary>,
    /// What it runs again, if it is a re-run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rerun_of: Option<RerunOf>,
}

/// A run whose later ops another one runs again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RerunOf {
    /// The run.
    pub(crate) run: String,
    /// The op that was asked to be the first to run again.
    pub(crate) from_op: String,
    /// How many batches began at its checkpoints.
    pub(crate) batches_at_checkpoints: u64,
}

/// The most memory that processes took while the run went on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MemorySummary {
    /// The coordinator's resident memory.
    pub(crate) coordinator_peak_rss_bytes: u64,
    /// The workers, by name.
    pub(crate) workers: Vec<WorkerMemory>,
}

/// The most memory that a worker took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct WorkerMemory {
    /// Its name.
    pub(crate) worker: String,
    /// Its resident memory.
    pub(crate) peak_rss_bytes: u64,
    /// Bytes of batches that it held in memory.
    pub(crate) peak_held_bytes: u64,
    /// Bytes of parked outputs on its disk.
    pub(crate) peak_spilled_bytes: u64,
}

impl MemorySummary {
    /// Says it in a line: the largest worker stands for all.
    fn to_text(&self) -> String {
        let most = |bytes: &dyn Fn(&WorkerMemory) -> u64| ByteSize(self.workers.iter().map(bytes).max().unwrap_or(0));
        format!(
            "coordinator {}, workers at most {} each, of it {} batches, {} spilled",
            ByteSize(self.coordinator_peak_rss_bytes),
            most(&|worker| worker.peak_rss_bytes),
            most(&|worker| worker.peak_held_bytes),
            most(&|worker| worker.peak_spilled_bytes),
        )
    }
}

/// The failure that a run is failed for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FailureSummary {
    /// What kind of thing went wrong, such as `bad_input`.
    pub(crate) kind: String,
    /// What went wrong, and where.
    pub(crate) message: String,
    /// The op it happened in.
    pub(crate) op: Option<String>,
    /// The batch it happened to.
    pub(crate) batch: Option<String>,
}

impl Summary {
    /// Prints the object in one line.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a summary has text keys only")
    }

    /// Prints a few lines for people.
    pub(crate) fn to_text(&self) -> String {
        let rows = &self.rows;
        let mut table = Table::plain();
        table.row(["run", &format!("{} ({}), {}", self.run, self.job, self.state)]);
        if let Some(rerun) = &self.rerun_of {
            let RerunOf {
                run,
                from_op,
                batches_at_checkpoints: kept,
            } = rerun;
            table.row([
                "runs again",
                &format!("{run} from {from_op}, {kept} batches from its checkpoints"),
            ]);
        }
        table.row(["wall time", &seconds(Some(self.wall_seconds))]);
        table.row(["first batch loaded after", &seconds(self.first_batch_loaded_seconds)]);
        table.row(["peak batches in flight", &self.peak_batches_in_flight.to_string()]);
        table.row(["peak bytes in flight", &ByteSize(self.peak_bytes_in_flight).to_string()]);
        table.row(["peak tasks running", &self.peak_tasks_running.to_string()]);
        if let Some(memory) = &self.memory {
            table.row(["peak memory", &memory.to_text()]);
        }
        table.row(["batches", &batches(&self.batches)]);
        table.row(["tasks run", &tasks(&self.tasks)]);
        table.row([
            "rows",
            &format!(
                "{} read = {} loaded + {} filtered + {} rejected + {} failed",
                rows.read, rows.loaded, rows.filtered, rows.rejected, rows.failed
            ),
        ]);
        if let Some(failure) = &self.failure {
            table.row(["failure", &failure.to_text()]);
        }
        table.print()
    }
}

impl FailureSummary {
    fn to_text(&self) -> String {
        match (&self.op, &self.batch) {
            (Some(op), Some(batch)) => format!("{op}[{batch}]: {}", self.message),
            (Some(op), None) => format!("{op}: {}", self.message),
            (None, _) => self.message.clone(),
        }
    }
}

/// Prints runs side by side.
pub(crate) fn compare(summaries: &[Summary]) -> String {
    let mut table = Table::with_header([
        "job",
        "state",
        "wall time",
        "first batch loaded",
        "peak batches in flight",
        "peak bytes in flight",
        "tasks run",
        "rows loaded",
    ]);
    for summary in summaries {
        table.row([
            summary.job.as_str(),
            summary.state.as_str(),
            &seconds(Some(summary.wall_seconds)),
            &seconds(summary.first_batch_loaded_seconds),
            &summary.peak_batches_in_flight.to_string(),
            &ByteSize(summary.peak_bytes_in_flight).to_string(),
            &(summary.tasks.succeeded + summary.tasks.failed).to_string(),
            &format!("{} of {}", summary.rows.loaded, summary.rows.read),
        ]);
    }
    table.print()
}

/// Prints seconds with two decimals, `-` where there are none yet.
pub(crate) fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2} s"))
}

fn batches(counts: &BatchCount) -> String {
    let mut text = format!("{} of {} committed", counts.committed, counts.total);
    if counts.failed > 0 {
        text.push_str(&format!(", {} failed", counts.failed));
    }
    text
}

fn tasks(counts: &TaskCount) -> String {
    let mut text = (counts.succeeded + counts.failed).to_string();
    if counts.failed > 0 || counts.retried > 0 {
        text.push_str(&format!(" ({} failed, {} were retries)", counts.failed, counts.retried));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            run: "r1".to_owned(),
            job: "sample".to_owned(),
            state: RunState::Succeeded,
            wall_seconds: 4.25,
            first_batch_loaded_seconds: Some(2.0),
            peak_batches_in_flight: 5,
            peak_committing: 1,
            peak_bytes_in_flight: 65_536,
            peak_tasks_running: 4,
            batches: BatchCount {
                total: 9,
                committed: 9,
                failed: 0,
            },
            tasks: TaskCount {
                succeeded: 36,
                failed: 0,
                retried: 0,
            },
            rows: RowCount {
                read: 801,
                loaded: 801,
                ..RowCount::default()
            },
            failure: None,
            memory: None,
            rerun_of: None,
        }
    }

    #[test]
    fn the_object_has_the_documented_fields_in_one_line() {
        assert_eq!(
            summary().to_json(),
            "{\"run\":\"r1\",\"job\":\"sample\",\"state\":\"succeeded\",\"wall_seconds\":4.25,\
             \"first_batch_loaded_seconds\":2.0,\"peak_batches_in_flight\":5,\"peak_committing\":1,\
             \"peak_bytes_in_flight\":65536,\"peak_tasks_running\":4,\
             \"batches\":{\"total\":9,\"committed\":9,\"failed\":0},\
             \"tasks\":{\"succeeded\":36,\"failed\":0,\"retried\":0},\
             \"rows\":{\"read\":801,\"loaded\":801,\"filtered\":0,\"rejected\":0,\"failed\":0}}"
        );
    }

    #[test]
    fn a_failed_run_says_why() {
        let mut failed = summary();
        failed.failure = Some(FailureSummary {
            kind: "bad_input".to_owned(),
            message: "line 7 has 3 fields, the header has 4".to_owned(),
            op: Some("extract".to_owned()),
            batch: Some("0".to_owned()),
        });
        assert!(failed.to_json().ends_with(
            "\"failure\":{\"kind\":\"bad_input\",\"message\":\"line 7 has 3 fields, the header has 4\",\"op\":\"extract\",\"batch\":\"0\"}}"
        ));
        assert!(failed.to_text().contains("extract[0]: line 7 has 3 fields"));
    }

    #[test]
    fn people_read_the_rows_as_a_sum() {
        assert!(
            summary()
                .to_text()
                .contains("801 read = 801 loaded + 0 filtered + 0 rejected + 0 failed")
        );
        assert!(compare(&[summary()]).contains("801 of 801"));
    }
}
