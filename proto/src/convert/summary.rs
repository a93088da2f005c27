//! The summary of a run: [`RunSummary`] to [`v1::Run`], and back for clients.
//!
//! Public messages name ops and batches as people do, so both ways take or give the names of the run's ops in the order
//! of the chain. Known weakness: `first_batch_loaded_seconds` is a double, so the way back is exact to about 100 ns.

use std::time::Duration;

use common::counts::{BatchCounts, RowCounts, TaskCounts};
use common::ids::{BatchId, OpId};
use common::job::Job;
use common::summary::{Gauge, Progress, RunFailure, RunSummary, Stall};
use common::time::Time;

use super::time::{time_from_wire, time_to_wire};
use super::{InvalidMessage, convert, known, optional, required};
use crate::v1;
use crate::v1::stall::Reason;

/// Returns the names of a job's ops in the order of the chain, `extract` first.
pub fn op_names(job: &Job) -> Vec<String> {
    job.ops.iter().map(|op| op.name.clone()).collect()
}

/// Makes the public message of a run; `ops` are the names of its ops in the order of the chain.
pub fn run_to_wire(summary: &RunSummary, ops: &[String], now: Time) -> v1::Run {
    v1::Run {
        id: summary.run.to_string(),
        job: summary.job.clone(),
        state: v1::RunState::from(summary.state).into(),
        accepted_time: Some(time_to_wire(summary.accepted)),
        ended_time: summary.ended.map(time_to_wire),
        wall_seconds: summary.wall_seconds(now),
        first_batch_loaded_seconds: summary
            .first_batch_loaded
            .map(|loaded| loaded.seconds_since(summary.accepted)),
        ops: ops.to_vec(),
        batches_in_flight: Some(gauge_to_wire(summary.batches_in_flight)),
        committing: Some(gauge_to_wire(summary.committing)),
        bytes_in_flight: Some(gauge_to_wire(summary.bytes_in_flight)),
        tasks_running: Some(gauge_to_wire(summary.tasks_running)),
        max_in_flight: summary.max_in_flight,
        cap: summary.cap,
        batches: Some(v1::BatchCounts {
            total: summary.batches.total,
            committed: summary.batches.committed,
            failed: summary.batches.failed,
            total_is_exact: summary.total_is_exact,
        }),
        source_bytes: Some(v1::Progress {
            done: summary.source_bytes.done,
            total: summary.source_bytes.total,
        }),
        tasks: Some(v1::TaskCounts {
            succeeded: summary.tasks.succeeded,
            failed: summary.tasks.failed,
            retried: summary.tasks.retried,
        }),
        rows: Some(v1::RowCounts {
            read: summary.rows.read,
            loaded: summary.rows.loaded,
            filtered: summary.rows.filtered,
            rejected: summary.rows.rejected,
            failed: summary.rows.failed,
        }),
        failure: summary.failure.as_ref().map(|failure| v1::RunFailure {
            failure: Some((&failure.failure).into()),
            op: failure.op.map_or_else(String::new, |op| op_name(ops, op)),
            batch_id: failure.batch.map_or_else(String::new, |batch| batch.to_string()),
        }),
        stalled: summary.stalled.as_ref().map(|stall| stall_to_wire(stall, ops)),
        // Not the summary's: whoever knows them adds them.
        memory: None,
        rerun_of: None,
    }
}

impl TryFrom<v1::Run> for RunSummary {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Run) -> Result<Self, InvalidMessage> {
        let ops = wire.ops;
        let accepted = required("accepted_time", wire.accepted_time.map(WireTime))?;
        let counts = wire.batches.unwrap_or_default();
        let failure = wire.failure.map(|failure| run_failure(failure, &ops)).transpose()?;
        let stalled = wire.stalled.map(|stall| stall_from_wire(&stall, &ops)).transpose()?;
        Ok(RunSummary {
            run: wire.id.parse().map_err(|error| in_field("id", &error))?,
            job: wire.job,
            state: convert("state", known::<v1::RunState>("state", wire.state)?)?,
            accepted,
            ended: optional("ended_time", wire.ended_time.map(WireTime))?,
            first_batch_loaded: wire
                .first_batch_loaded_seconds
                .map(|seconds| seconds_after(accepted, seconds))
                .transpose()?,
            batches_in_flight: gauge_from_wire(wire.batches_in_flight),
            committing: gauge_from_wire(wire.committing),
            bytes_in_flight: gauge_from_wire(wire.bytes_in_flight),
            tasks_running: gauge_from_wire(wire.tasks_running),
            max_in_flight: wire.max_in_flight,
            cap: wire.cap,
            batches: BatchCounts {
                total: counts.total,
                committed: counts.committed,
                failed: counts.failed,
            },
            total_is_exact: counts.total_is_exact,
            source_bytes: wire.source_bytes.unwrap_or_default().into(),
            tasks: wire.tasks.unwrap_or_default().into(),
            rows: wire.rows.unwrap_or_default().into(),
            failure,
            stalled,
        })
    }
}

/// A timestamp on its way to a domain time.
struct WireTime(prost_types::Timestamp);

impl TryFrom<WireTime> for Time {
    type Error = InvalidMessage;

    fn try_from(WireTime(wire): WireTime) -> Result<Self, InvalidMessage> {
        time_from_wire(wire).ok_or_else(|| InvalidMessage::new("", "lies before 1970 or too far ahead"))
    }
}

fn seconds_after(accepted: Time, seconds: f64) -> Result<Time, InvalidMessage> {
    let passed = Duration::try_from_secs_f64(seconds)
        .map_err(|_| InvalidMessage::new("first_batch_loaded_seconds", "is no time after the acceptance"))?;
    Ok(accepted + passed)
}

fn in_field(field: &str, error: &common::ids::InvalidId) -> InvalidMessage {
    InvalidMessage::new(field, error.to_string())
}

/// Returns an op's name; one that the chain does not have prints its place.
pub(super) fn op_name(ops: &[String], op: OpId) -> String {
    ops.get(op.index()).cloned().unwrap_or_else(|| format!("op {}", op.0))
}

/// Returns the op of a name; none for an empty one.
pub(super) fn op_named(field: &str, ops: &[String], name: &str) -> Result<Option<OpId>, InvalidMessage> {
    if name.is_empty() {
        return Ok(None);
    }
    let place = ops.iter().position(|op| op == name);
    place
        .and_then(|place| u16::try_from(place).ok())
        .map(|place| Some(OpId(place)))
        .ok_or_else(|| InvalidMessage::new(field, format!("names {name:?}, which is no op of the run")))
}

/// Reads a batch's id; none for an empty one.
pub(super) fn batch_named(field: &str, text: &str) -> Result<Option<BatchId>, InvalidMessage> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| in_field(field, &error))
}

fn run_failure(wire: v1::RunFailure, ops: &[String]) -> Result<RunFailure, InvalidMessage> {
    Ok(RunFailure {
        failure: required("failure.failure", wire.failure)?,
        op: op_named("failure.op", ops, &wire.op)?,
        batch: batch_named("failure.batch_id", &wire.batch_id)?,
    })
}

fn stall_to_wire(stall: &Stall, ops: &[String]) -> v1::Stall {
    match stall {
        Stall::NoWorkers => v1::Stall {
            reason: Reason::NoWorkers.into(),
            op: String::new(),
            message: "stalled: no workers".to_owned(),
        },
        Stall::NoWorkerWithOp { op } => {
            let op = op_name(ops, *op);
            v1::Stall {
                reason: Reason::NoWorkerWithOp.into(),
                message: format!("stalled: no worker has op {op}"),
                op,
            }
        }
    }
}

fn stall_from_wire(wire: &v1::Stall, ops: &[String]) -> Result<Stall, InvalidMessage> {
    match known("stalled.reason", wire.reason)? {
        Reason::Unspecified => Err(InvalidMessage::missing("stalled.reason")),
        Reason::NoWorkers => Ok(Stall::NoWorkers),
        Reason::NoWorkerWithOp => op_named("stalled.op", ops, &wire.op)?
            .map(|op| Stall::NoWorkerWithOp { op })
            .ok_or_else(|| InvalidMessage::missing("stalled.op")),
    }
}

fn gauge_to_wire(gauge: Gauge) -> v1::Gauge {
    v1::Gauge {
        now: gauge.now,
        peak: gauge.peak,
    }
}

fn gauge_from_wire(wire: Option<v1::Gauge>) -> Gauge {
    let wire = wire.unwrap_or_default();
    Gauge {
        now: wire.now,
        peak: wire.peak,
    }
}

impl From<v1::Progress> for Progress {
    fn from(wire: v1::Progress) -> Self {
        Progress {
            done: wire.done,
            total: wire.total,
        }
    }
}

impl From<v1::TaskCounts> for TaskCounts {
    fn from(wire: v1::TaskCounts) -> Self {
        TaskCounts {
            succeeded: wire.succeeded,
            failed: wire.failed,
            retried: wire.retried,
        }
    }
}

impl From<v1::RowCounts> for RowCounts {
    fn from(wire: v1::RowCounts) -> Self {
        RowCounts {
            read: wire.read,
            loaded: wire.loaded,
            filtered: wire.filtered,
            rejected: wire.rejected,
            failed: wire.failed,
        }
    }
}
