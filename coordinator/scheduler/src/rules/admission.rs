//! Admission: whether a run may begin another batch.
//!
//! Priority alone does not bound memory: while a limited op holds batches back, free slots would go on beginning new
//! ones. So a batch is begun only while the batches in flight, their bytes and the commits under way are within
//! bounds. A batch that is larger than the bound on bytes is begun when nothing else is in flight. A batch that comes back
//! after a failure goes before every new one: while it waits for room none is begun, however small, or it could wait for ever. A
//! batch whose checkpoint becomes durable wants its slot back in a moment, so that is kept.

use crate::state::run::{Run, RunPhase};

/// Why a run may not begin a batch now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It begins none any more.
    NotActive,
    /// No slice is at hand.
    NoSlice,
    /// So many are in flight.
    InFlight,
    /// So many bytes are in flight.
    Bytes,
    /// So many wait for their commit.
    Committing,
    /// A batch that comes back after a failure waits for more room than there is.
    Returning,
    /// What is free is kept for batches that go on as soon as their checkpoints are durable.
    Checkpointing,
}

/// Tells whether another batch of a run may be in flight, whatever its size.
pub(crate) fn has_room(run: &Run, cap: u64) -> bool {
    let bound = run.job.schedule.in_flight_bound(cap);
    bound.is_none_or(|bound| run.gauges.in_flight.now < bound)
}

/// Decides whether a run's next batch may be queued at a worker, to take the place of one that is in flight.
pub(crate) fn may_queue(run: &Run) -> bool {
    let schedule = &run.job.schedule;
    let Some((_, slice)) = run.slices.front() else {
        return false;
    };
    let bytes = run.gauges.bytes.now + run.queued_bytes + slice.bytes();
    let commits = run.gauges.committing.now + run.queued.len() as u64 + u64::from(run.units);
    schedule.in_flight_bytes_bound().is_none_or(|bound| bytes <= bound)
        && commits < u64::from(schedule.max_committing.get())
}

/// Decides whether a batch that was set aside may come back into flight.
pub(crate) fn may_return(run: &Run, cap: u64, slice_bytes: u64) -> bool {
    let bytes = run.gauges.bytes.now + slice_bytes;
    let is_within = run
        .job
        .schedule
        .in_flight_bytes_bound()
        .is_none_or(|bound| bytes <= bound);
    has_room(run, cap) && (is_within || run.gauges.in_flight.now == 0)
}

/// Decides whether a run may begin its next batch, given the cap in force.
pub(crate) fn may_begin(run: &Run, cap: u64) -> Result<(), Refusal> {
    let (_, slice) = run.slices.front().ok_or(Refusal::NoSlice)?;
    if run.checkpointing > 0 && u64::from(run.units) + run.checkpointing >= cap {
        return Err(Refusal::Checkpointing);
    }
    fits(run, cap, slice.bytes())
}

/// Decides whether a run may begin a batch of a size, given the cap in force.
pub(crate) fn fits(run: &Run, cap: u64, slice_bytes: u64) -> Result<(), Refusal> {
    if run.phase != RunPhase::Active {
        return Err(Refusal::NotActive);
    }
    if !has_room(run, cap) {
        return Err(Refusal::InFlight);
    }
    if !run.returning.is_empty() {
        return Err(Refusal::Returning);
    }
    let schedule = &run.job.schedule;
    let bytes = run.gauges.bytes.now + slice_bytes;
    let is_within = schedule.in_flight_bytes_bound().is_none_or(|bound| bytes <= bound);
    if !is_within && run.gauges.in_flight.now > 0 {
        return Err(Refusal::Bytes);
    }
    if run.gauges.committing.now >= u64::from(schedule.max_committing.get()) {
        return Err(Refusal::Committing);
    }
    Ok(())
}
