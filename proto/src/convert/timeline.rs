//! The timeline, in seconds since the run was accepted.

use common::failure::Failure;
use common::time::Time;
use common::timeline::TimelineEntry;

use super::summary::op_name;
use crate::v1;

/// Makes the public message of an attempt, and why it failed if that is known; `ops` are the names of the run's ops in
/// the order of the chain.
pub fn entry_to_wire(
    entry: &TimelineEntry,
    failure: Option<&Failure>,
    ops: &[String],
    accepted: Time,
) -> v1::TimelineEntry {
    let seconds = |time: Time| time.seconds_since(accepted);
    v1::TimelineEntry {
        op: op_name(ops, entry.op),
        batch_id: entry.batch.map_or_else(String::new, |batch| batch.to_string()),
        attempt: entry.attempt.0,
        worker: entry.worker.as_str().to_owned(),
        slot: entry.slot,
        state: v1::TaskState::from(entry.state).into(),
        queued_seconds: seconds(entry.queued),
        started_seconds: seconds(entry.started),
        finished_seconds: entry.finished.map(seconds),
        leased_seconds: seconds(entry.leased),
        fetch_started_seconds: entry.fetch_started.map(seconds),
        committed_seconds: entry.committed.map(seconds),
        rows_in: entry.moved.rows_in,
        rows_out: entry.moved.rows_out,
        bytes_in: entry.moved.bytes_in,
        bytes_out: entry.moved.bytes_out,
        failure: failure.map(v1::Failure::from),
    }
}
