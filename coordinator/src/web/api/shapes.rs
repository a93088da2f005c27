//! The shapes of API.md.

use common::job::{Job, Order};
use common::summary::{Gauge, Stall};
use common::time::Time;
use scheduler::{BatchView, WorkerState, WorkerView};
use serde_json::{Value, json};

use crate::chart::Arrangement;
use crate::service::RunView;
use crate::timeline::{Life, TimelineView};
use crate::timeline::{Outcome, Row};
use crate::vitals::{RunMemory, Vitals};

/// Milliseconds since 1970.
pub(super) fn millis(time: Time) -> u64 {
    time.0 / 1_000_000
}

pub(super) fn ops(job: &Job) -> Vec<Value> {
    let op = |op: &common::job::Op| json!({"name": op.name, "kind": op.kind.name()});
    job.ops.iter().map(op).collect()
}

/// The ops of a run with the limits in force.
fn limited_ops(job: &Job) -> Vec<Value> {
    let op = |op: &common::job::Op| {
        json!({
            "name": op.name,
            "kind": op.kind.name(),
            "max_concurrent": op.max_concurrent,
            "rate": op.rate.as_ref().map(ToString::to_string),
            "pools": op.pools.iter().map(common::job::PoolName::as_str).collect::<Vec<_>>(),
        })
    };
    job.ops.iter().map(op).collect()
}

/// RUN without its strip.
pub(super) fn run(view: &RunView) -> Value {
    let summary = &view.summary;
    let schedule = &view.job.schedule;
    let peak = |gauge: Gauge| json!({"now": gauge.now, "peak": gauge.peak});
    let until = summary.ended.unwrap_or(view.now);
    json!({
        "id": summary.run.to_string(),
        "job": summary.job,
        "rerun_of": view.rerun_of.as_ref().map(|rerun| json!({
            "run": rerun.run.to_string(), "from": rerun.from, "batches_at_checkpoints": rerun.at_checkpoints,
        })),
        "state": summary.state.as_str(),
        "accepted_ms": millis(summary.accepted),
        "ended_ms": summary.ended.map(millis),
        "now_us": until.0.saturating_sub(summary.accepted.0) / 1_000,
        "wall_s": summary.wall_seconds(view.now),
        "first_batch_loaded_s": summary.first_batch_loaded.map(|loaded| loaded.seconds_since(summary.accepted)),
        "eta_s": eta_seconds(view),
        "ops": limited_ops(&view.job),
        "weight": schedule.weight.get(),
        "order": match schedule.order {
            Order::DepthFirst => "depth_first",
            Order::BreadthFirst => "breadth_first",
        },
        "batches": {
            "total": summary.batches.total,
            "total_is_exact": summary.total_is_exact,
            "committed": summary.batches.committed,
            "failed": summary.batches.failed,
            "in_flight": summary.batches_in_flight.now,
            "in_flight_peak": summary.batches_in_flight.peak,
            "max_in_flight": summary.max_in_flight,
            "committing": summary.committing.now,
            "max_committing": schedule.max_committing,
        },
        "bytes": {
            "in_flight": summary.bytes_in_flight.now,
            "in_flight_peak": summary.bytes_in_flight.peak,
            "max": schedule.in_flight_bytes_bound(),
        },
        "running": peak(summary.tasks_running),
        "memory": view.memory.as_ref().map(memory),
        "cap": summary.cap,
        "tasks": summary.tasks,
        "rows": summary.rows,
        "source": {"bytes_done": summary.source_bytes.done, "bytes_total": summary.source_bytes.total},
        "failure": summary.failure.as_ref().map(|failed| json!({
            "op": failed.op.map(|op| op.0),
            "batch": failed.batch.map(|batch| batch.to_string()),
            "kind": failed.failure.kind.as_str(),
            "message": failed.failure.message,
        })),
        "stalled": summary.stalled.as_ref().map(|stall| stalled(stall, &view.job)),
    })
}

fn stalled(stall: &Stall, job: &Job) -> Value {
    match stall {
        Stall::NoWorkers => json!({
            "reason": "no_workers", "op": null, "message": "no worker is connected; start one with plumb worker",
        }),
        Stall::NoWorkerWithOp { op } => json!({
            "reason": "no_worker_with_op",
            "op": op.0,
            "message": format!("no connected worker can do {}", job.op(*op).kind.name()),
        }),
    }
}

/// The seconds that a live run will still take at the speed it has had, batches not found yet reckoned by bytes.
fn eta_seconds(view: &RunView) -> Option<f64> {
    let summary = &view.summary;
    let done = (summary.batches.committed + summary.batches.failed) as f64;
    if summary.ended.is_some() || done == 0.0 {
        return None;
    }
    let source = summary.source_bytes;
    let found = summary.batches.total as f64;
    let total = if summary.total_is_exact || source.done == 0 {
        found
    } else {
        found * source.total as f64 / source.done as f64
    };
    Some(summary.wall_seconds(view.now) * (total - done).max(0.0) / done)
}

pub(super) fn chart(view: &RunView, chart: &TimelineView) -> Value {
    let lanes = chart.lanes.iter().enumerate();
    let lane = |(row, (worker, slot)): (usize, &(common::ids::WorkerName, u32))| json!({"row": row, "worker": worker.as_str(), "slot": slot});
    let mut shape = chart_head(chart);
    shape["run"] = view.summary.run.to_string().into();
    shape["lanes"] = lanes.map(lane).collect::<Vec<_>>().into();
    shape["ops"] = ops(&view.job).into();
    shape["cap"] = view.summary.cap.into();
    shape["max_in_flight"] = view.summary.max_in_flight.into();
    shape["max_bytes"] = view.job.schedule.in_flight_bytes_bound().into();
    shape["live"] = (chart.live == Life::Live).into();
    shape["dropped"] = chart.dropped.into();
    shape["restarts"] = chart.restarts.into();
    shape
}

/// What of a chart changes while its run goes on.
pub(super) fn chart_head(chart: &TimelineView) -> Value {
    json!({
        "epoch": chart.epoch,
        "end_us": chart.end_us,
        "sealed_us": chart.sealed_us.min(chart.end_us.max(1).saturating_mul(2)),
        "tasks": chart.tasks(),
        "batch_rows": chart.row_count(Arrangement::ByBatch),
        "lanes": chart.lanes.len(),
        "version": chart.version,
    })
}

pub(super) fn task(chart: &TimelineView, id: u64, row: &Row) -> Value {
    let task = &row.task;
    let failure = chart.failures.of_task(id);
    let lane = chart.lanes.get(task.lane);
    let is_done = task.outcome == Outcome::Succeeded;
    let moved = |number: u64| is_done.then_some(number);
    json!({
        "id": id,
        "op": task.op,
        "batch": task.batch_id().map(|batch| batch.to_string()),
        "attempt": task.attempt,
        "state": task.outcome.as_str(),
        "worker": lane.map(|(worker, _)| worker.as_str()),
        "slot": lane.map(|(_, slot)| slot),
        "lane": task.lane,
        "queued_us": task.queued,
        "leased_us": row.leased,
        "fetch_us": row.fetch_started,
        "start_us": task.started,
        "end_us": task.ended,
        "committed_us": row.committed,
        "rows_in": moved(row.moved.rows_in),
        "rows_out": moved(row.moved.rows_out),
        "bytes_in": moved(row.moved.bytes_in),
        "bytes_out": moved(row.moved.bytes_out),
        "error": failure.map(|failure| &failure.message),
        "error_kind": failure.map(|failure| failure.kind.as_str()),
    })
}

pub(super) fn batch(batch: &BatchView, files: &[common::slice::SourceFile]) -> Value {
    let slice = batch.slice.as_ref().map(|slice| match slice {
        common::slice::Slice::Bytes(bytes) => json!({
            "file": bytes.file.0,
            "path": files.get(bytes.file.0 as usize).map(|file| &file.path),
            "start": bytes.start,
            "end": bytes.end,
            "first_line": bytes.first_line,
            "rows": bytes.rows,
        }),
    });
    json!({
        "id": batch.id.to_string(),
        "state": batch.state.as_str(),
        "op": batch.op.map(|op| op.0),
        "attempt": batch.attempt.0,
        "worker": batch.worker.as_ref().map(|worker| worker.as_str()),
        "failure": batch.failure.as_ref().map(|failure| json!({
            "kind": failure.kind.as_str(), "message": failure.message,
        })),
        "slice": slice,
        "crashes": batch.crashes,
        "bad_row": batch.row.as_ref().map(|row| json!({"line": row.line, "byte": row.byte, "text": row.text})),
    })
}

fn memory(memory: &RunMemory) -> Value {
    let workers = memory.workers.iter().map(|(name, peaks)| {
        json!({
            "worker": name.as_str(),
            "peak_rss_bytes": peaks.rss,
            "peak_held_bytes": peaks.held,
            "peak_spilled_bytes": peaks.spilled,
        })
    });
    json!({
        "coordinator_peak_rss_bytes": memory.coordinator_rss,
        "workers": workers.collect::<Vec<_>>(),
    })
}

pub(super) fn worker(worker: &WorkerView, vitals: &Vitals) -> Value {
    let state = match worker.state {
        WorkerState::Live => "live",
        WorkerState::Disconnected => "disconnected",
        WorkerState::Draining => "draining",
        WorkerState::Fenced => "fenced",
    };
    json!({
        "name": worker.worker.as_str(),
        "session": worker.session.to_string(),
        "state": state,
        "slots": worker.slots,
        "busy": worker.busy,
        "ops": worker.ops,
        "last_heard_ms": millis(worker.last_heard),
        "version": vitals.version,
        "rss_bytes": vitals.rss_bytes,
        "parked_bytes": vitals.parked_bytes,
        "spilled_bytes": vitals.spilled_bytes,
        "tasks_done": vitals.tasks_done,
        "tasks_per_s": vitals.tasks_per_second,
    })
}
