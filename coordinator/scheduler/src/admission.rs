//! Admission: whether a run may begin another batch.
//!
//! Priority alone does not bound memory: while a limited op holds batches back, free slots would go on beginning new
//! ones. So a batch is begun only while the batches in flight, their bytes and the commits under way are within
//! bounds. A batch that is larger than the bound on bytes is begun when nothing else is in flight.

use crate::run::{Run, RunPhase};

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
}

/// Decides whether a run may begin its next batch, given the cap in force.
pub(crate) fn may_begin(run: &Run, cap: u64) -> Result<(), Refusal> {
    if run.phase != RunPhase::Active {
        return Err(Refusal::NotActive);
    }
    let schedule = &run.job.schedule;
    let (_, slice) = run.slices.front().ok_or(Refusal::NoSlice)?;
    if schedule
        .in_flight_bound(cap)
        .is_some_and(|bound| run.gauges.in_flight.now >= bound)
    {
        return Err(Refusal::InFlight);
    }
    let bytes = run.gauges.bytes.now + slice.bytes();
    let fits = schedule.in_flight_bytes_bound().is_none_or(|bound| bytes <= bound);
    if !fits && run.gauges.in_flight.now > 0 {
        return Err(Refusal::Bytes);
    }
    if run.gauges.committing.now >= u64::from(schedule.max_committing.get()) {
        return Err(Refusal::Committing);
    }
    Ok(())
}
