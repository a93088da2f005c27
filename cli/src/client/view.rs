//! What the coordinator answers, in the command line's own words.
//!
//! A message becomes a view in one place, so that a field that is renamed on the wire changes no command.

use common::state::{BatchState, RunState, TaskState};
use proto::convert::InvalidMessage;
use proto::v1;
use serde::Serialize;

use super::ClientError;
use crate::summary::{BatchCount, FailureSummary, MemorySummary, RerunOf, RowCount, Summary, TaskCount, WorkerMemory};
use crate::timeline::TimelineRow;

/// A run at some moment.
#[derive(Clone, Debug)]
pub(crate) struct RunView {
    /// What is said of it in JSON.
    pub(crate) summary: Summary,
    /// The names of its ops, `extract` first.
    pub(crate) ops: Vec<String>,
    /// Batches in flight now.
    pub(crate) in_flight: u64,
    /// Tasks running now.
    pub(crate) running: u64,
    /// Whether the number of batches is final.
    pub(crate) total_is_exact: bool,
    /// How much of the source is cut into batches, from 0 to 1.
    pub(crate) source_share: f64,
    /// Why nothing runs although it could, as in `no workers`.
    pub(crate) stalled: Option<String>,
}

/// A line that a task logged.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LogRow {
    /// Its number in the run.
    pub(crate) number: u64,
    /// When, in seconds since the run was accepted.
    pub(crate) at: f64,
    /// How much it matters: debug, info, warn or error.
    pub(crate) level: &'static str,
    /// The op's name.
    pub(crate) op: String,
    /// The batch, such as `12.0.1`; none for a task over the whole run.
    pub(crate) batch: Option<String>,
    /// Which execution of the task, from 1.
    pub(crate) attempt: u32,
    /// The worker.
    pub(crate) worker: String,
    /// The line.
    pub(crate) text: String,
}

impl LogRow {
    /// Prints it for people, without what a terminal would obey.
    pub(crate) fn to_text(&self) -> String {
        let task = self
            .batch
            .as_ref()
            .map_or(self.op.clone(), |batch| format!("{}[{batch}]", self.op));
        let text: String = self
            .text
            .chars()
            .map(|c| if c.is_control() && c != '\t' { ' ' } else { c })
            .collect();
        format!(
            "{:>10.3} {:5} {task}#{} {}: {text}",
            self.at, self.level, self.attempt, self.worker
        )
    }
}

pub(super) fn log_row(line: v1::LogLine) -> LogRow {
    let level = proto::convert::logs::level_from_wire(line.level());
    LogRow {
        number: line.number,
        at: line.at_seconds,
        level: level.map_or("info", common::logs::LogLevel::as_str),
        op: line.op,
        batch: not_empty(line.batch_id),
        attempt: line.attempt,
        worker: line.worker,
        text: line.text,
    }
}

/// A batch at some moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BatchView {
    /// Its id, such as `12.0.1`.
    pub(crate) batch: String,
    /// Where it is in its life.
    pub(crate) state: BatchState,
    /// The op that runs or is next.
    pub(crate) op: Option<String>,
    /// That op's attempt.
    pub(crate) attempt: u32,
    /// Who holds it.
    pub(crate) worker: Option<String>,
    /// The line of its first byte in its file.
    pub(crate) first_line: Option<u64>,
    /// The bytes of its file that it is made of.
    pub(crate) bytes: Option<ByteRange>,
    /// How many worker processes were lost while they ran it.
    pub(crate) crashes: u32,
    /// Its last failure.
    pub(crate) failure: Option<String>,
    /// The row that failed, of a batch that was bisected down to a single one.
    pub(crate) bad_row: Option<BadRow>,
}

/// A range of a file's bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ByteRange {
    /// The file's place in the run's listing, from 0.
    pub(crate) file: u32,
    /// The first byte.
    pub(crate) start: u64,
    /// The byte after the last.
    pub(crate) end: u64,
}

/// A single row that no op could use.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BadRow {
    /// The line that it begins in, from 1.
    pub(crate) line: u64,
    /// Its first byte in the file.
    pub(crate) byte: u64,
    /// Its text.
    pub(crate) text: String,
}

/// A worker at some moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WorkerView {
    /// Its name.
    pub(crate) worker: String,
    /// How it is doing: `live`, `disconnected`, `draining`, `fenced`.
    pub(crate) state: String,
    /// How many tasks it runs at once.
    pub(crate) slots: u32,
    /// How many it runs now.
    pub(crate) busy: u32,
    /// Its session.
    pub(crate) session: String,
    /// The kinds of op it can do.
    pub(crate) ops: Vec<String>,
}

pub(super) fn run_view(run: Option<v1::Run>) -> Result<RunView, ClientError> {
    let run = run.ok_or_else(|| InvalidMessage::missing("run"))?;
    let state = RunState::try_from(run.state())?;
    let batches = run.batches.unwrap_or_default();
    let source = run.source_bytes.unwrap_or_default();
    let gauge = |gauge: Option<v1::Gauge>| gauge.unwrap_or_default();
    Ok(RunView {
        in_flight: gauge(run.batches_in_flight).now,
        running: gauge(run.tasks_running).now,
        total_is_exact: batches.total_is_exact,
        source_share: source.done as f64 / source.total.max(1) as f64,
        stalled: run.stalled.map(|stall| stall_reason(&stall)),
        ops: run.ops,
        summary: Summary {
            run: run.id,
            job: run.job,
            state,
            wall_seconds: run.wall_seconds,
            first_batch_loaded_seconds: run.first_batch_loaded_seconds,
            peak_batches_in_flight: gauge(run.batches_in_flight).peak,
            peak_committing: gauge(run.committing).peak,
            peak_bytes_in_flight: gauge(run.bytes_in_flight).peak,
            peak_tasks_running: gauge(run.tasks_running).peak,
            batches: BatchCount {
                total: batches.total,
                committed: batches.committed,
                failed: batches.failed,
            },
            tasks: task_counts(run.tasks.unwrap_or_default()),
            rows: row_counts(run.rows.unwrap_or_default()),
            failure: run.failure.map(failure_summary),
            memory: run.memory.map(memory_summary),
            rerun_of: run.rerun_of.map(|rerun| RerunOf {
                run: rerun.run_id,
                from_op: rerun.from_op,
                batches_at_checkpoints: rerun.batches_at_checkpoints,
            }),
        },
    })
}

pub(super) fn batch_view(batch: v1::Batch) -> Result<BatchView, ClientError> {
    Ok(BatchView {
        state: batch_state(batch.state())?,
        op: not_empty(batch.op),
        attempt: batch.attempt,
        worker: not_empty(batch.worker),
        first_line: batch.slice.map(|slice| slice.first_line),
        bytes: batch.slice.map(|slice| ByteRange {
            file: slice.file,
            start: slice.start,
            end: slice.end,
        }),
        crashes: batch.crashes,
        bad_row: batch.bad_row.map(|row| BadRow {
            line: row.line,
            byte: row.byte,
            text: row.text,
        }),
        failure: batch.failure.map(|failure| failure.message),
        batch: batch.id,
    })
}

pub(super) fn worker_view(worker: v1::Worker) -> WorkerView {
    let state = match worker.state() {
        v1::WorkerState::Unspecified => "unknown",
        v1::WorkerState::Live => "live",
        v1::WorkerState::Disconnected => "disconnected",
        v1::WorkerState::Draining => "draining",
        v1::WorkerState::Fenced => "fenced",
    };
    WorkerView {
        state: state.to_owned(),
        worker: worker.name,
        slots: worker.slots,
        busy: worker.busy,
        session: worker.session_id,
        ops: worker.ops,
    }
}

pub(super) fn timeline_row(entry: v1::TimelineEntry) -> Result<TimelineRow, ClientError> {
    Ok(TimelineRow {
        state: TaskState::try_from(entry.state())?,
        op: entry.op,
        batch: not_empty(entry.batch_id),
        attempt: entry.attempt,
        worker: entry.worker,
        slot: entry.slot,
        queued: entry.queued_seconds,
        started: Some(entry.started_seconds),
        finished: entry.finished_seconds,
        leased: entry.leased_seconds,
        fetch_started: entry.fetch_started_seconds,
        committed: entry.committed_seconds,
        rows_in: entry.rows_in,
        rows_out: entry.rows_out,
        bytes_in: entry.bytes_in,
        bytes_out: entry.bytes_out,
        error: entry.failure.map(|failure| failure.message),
    })
}

fn batch_state(wire: v1::BatchState) -> Result<BatchState, InvalidMessage> {
    Ok(match wire {
        v1::BatchState::Unspecified => return Err(InvalidMessage::missing("state")),
        v1::BatchState::Waiting => BatchState::Waiting,
        v1::BatchState::Leased => BatchState::Leased,
        v1::BatchState::Backoff => BatchState::Backoff,
        v1::BatchState::Halving => BatchState::Halving,
        v1::BatchState::Committing => BatchState::Committing,
        v1::BatchState::Committed => BatchState::Committed,
        v1::BatchState::Failed => BatchState::Failed,
        v1::BatchState::Cancelled => BatchState::Cancelled,
    })
}

fn task_counts(tasks: v1::TaskCounts) -> TaskCount {
    TaskCount {
        succeeded: tasks.succeeded,
        failed: tasks.failed,
        retried: tasks.retried,
    }
}

fn row_counts(rows: v1::RowCounts) -> RowCount {
    RowCount {
        read: rows.read,
        loaded: rows.loaded,
        filtered: rows.filtered,
        rejected: rows.rejected,
        failed: rows.failed,
    }
}

fn memory_summary(memory: v1::RunMemory) -> MemorySummary {
    let worker = |worker: v1::WorkerMemory| WorkerMemory {
        worker: worker.worker,
        peak_rss_bytes: worker.peak_rss_bytes,
        peak_held_bytes: worker.peak_held_bytes,
        peak_spilled_bytes: worker.peak_spilled_bytes,
    };
    MemorySummary {
        coordinator_peak_rss_bytes: memory.coordinator_peak_rss_bytes,
        workers: memory.workers.into_iter().map(worker).collect(),
    }
}

fn failure_summary(failure: v1::RunFailure) -> FailureSummary {
    let what = failure.failure.unwrap_or_default();
    let kind = what.kind().as_str_name();
    FailureSummary {
        kind: kind.strip_prefix("FAILURE_KIND_").unwrap_or(kind).to_lowercase(),
        message: what.message,
        op: not_empty(failure.op),
        batch: not_empty(failure.batch_id),
    }
}

fn stall_reason(stall: &v1::Stall) -> String {
    match stall.reason() {
        v1::stall::Reason::NoWorkers => "no workers".to_owned(),
        v1::stall::Reason::NoWorkerWithOp => format!("no worker has op {}", stall.op),
        v1::stall::Reason::Unspecified => stall.message.clone(),
    }
}

fn not_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
