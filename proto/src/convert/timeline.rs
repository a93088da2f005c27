//! The timeline, in seconds since the run was accepted.

use common::time::Time;
use common::timeline::TimelineEntry;

use super::summary::op_name;
use crate::v1;

/// Makes the public message of an attempt; `ops` are the names of the run's ops in the order of the chain.
pub fn entry_to_wire(entry: &TimelineEntry, ops: &[String], accepted: Time) -> v1::TimelineEntry {
    v1::TimelineEntry {
        op: op_name(ops, entry.op),
        batch_id: entry.batch.map_or_else(String::new, |batch| batch.to_string()),
        attempt: entry.attempt.0,
        worker: entry.worker.as_str().to_owned(),
        slot: entry.slot,
        state: v1::TaskState::from(entry.state).into(),
        queued_seconds: entry.queued.seconds_since(accepted),
        started_seconds: entry.started.seconds_since(accepted),
        finished_seconds: entry.finished.map(|finished| finished.seconds_since(accepted)),
    }
}
