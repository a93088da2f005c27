//! The schedule, the retries and what a failure means.

use common::job::{Bisect, FailurePolicy, Jitter, OnFailure, Order, Retry, Schedule};

use super::limits;
use super::problems::Problems;
use super::time::duration_to_wire;
use crate::v1;
use crate::v1::failure_policy::OnFailure as WireOnFailure;
use crate::v1::retry::Jitter as WireJitter;
use crate::v1::schedule::Order as WireOrder;

pub(super) fn schedule_from_wire(problems: &mut Problems, wire: v1::Schedule) -> Schedule {
    Schedule {
        order: match problems.known("schedule.order", wire.order) {
            Some(WireOrder::DepthFirst | WireOrder::Unspecified) | None => Order::DepthFirst,
            Some(WireOrder::BreadthFirst) => Order::BreadthFirst,
        },
        max_concurrent: problems.count("schedule.max_concurrent", wire.max_concurrent),
        max_in_flight: problems.count("schedule.max_in_flight", wire.max_in_flight),
        max_in_flight_bytes: problems.size("schedule.max_in_flight_bytes", wire.max_in_flight_bytes),
        max_committing: problems
            .count("schedule.max_committing", wire.max_committing)
            .unwrap_or(Schedule::DEFAULT_COMMITTING),
        max_in_backoff: problems
            .count("schedule.max_in_backoff", wire.max_in_backoff)
            .unwrap_or(Schedule::DEFAULT_IN_BACKOFF),
        priority: wire.priority.unwrap_or_default(),
        weight: limits::weight_from_wire(problems, "schedule.weight", wire.weight).unwrap_or_default(),
    }
}

pub(super) fn schedule_to_wire(schedule: &Schedule) -> v1::Schedule {
    v1::Schedule {
        order: match schedule.order {
            Order::DepthFirst => WireOrder::DepthFirst,
            Order::BreadthFirst => WireOrder::BreadthFirst,
        }
        .into(),
        max_concurrent: schedule.max_concurrent.map(Into::into),
        max_in_flight: schedule.max_in_flight.map(Into::into),
        max_in_flight_bytes: schedule.max_in_flight_bytes.map(Into::into),
        max_committing: Some(schedule.max_committing.into()),
        priority: Some(schedule.priority),
        weight: Some(schedule.weight.get()),
        max_in_backoff: Some(schedule.max_in_backoff.into()),
    }
}

/// Reads how often is tried; `path` is the field's, such as `ops[1].retry`.
pub(super) fn retry_from_wire(problems: &mut Problems, path: &str, wire: v1::Retry) -> Retry {
    let default = Retry::default();
    let path = |field: &str| format!("{path}.{field}");
    Retry {
        max_attempts: problems
            .count(path("max_attempts"), wire.max_attempts)
            .unwrap_or(default.max_attempts),
        initial_backoff: problems
            .duration(path("initial_backoff"), wire.initial_backoff)
            .unwrap_or(default.initial_backoff),
        max_backoff: problems
            .duration(path("max_backoff"), wire.max_backoff)
            .unwrap_or(default.max_backoff),
        multiplier: wire.multiplier.unwrap_or(default.multiplier),
        jitter: match problems.known(path("jitter"), wire.jitter) {
            Some(WireJitter::Full | WireJitter::Unspecified) | None => Jitter::Full,
            Some(WireJitter::None) => Jitter::None,
        },
        bisect: if wire.bisect { Bisect::Yes } else { Bisect::No },
    }
}

pub(super) fn retry_to_wire(retry: &Retry) -> v1::Retry {
    v1::Retry {
        max_attempts: Some(retry.max_attempts.into()),
        initial_backoff: Some(duration_to_wire(retry.initial_backoff)),
        max_backoff: Some(duration_to_wire(retry.max_backoff)),
        multiplier: Some(retry.multiplier),
        jitter: match retry.jitter {
            Jitter::Full => WireJitter::Full,
            Jitter::None => WireJitter::None,
        }
        .into(),
        bisect: retry.bisect == Bisect::Yes,
    }
}

pub(super) fn failure_from_wire(problems: &mut Problems, wire: v1::FailurePolicy) -> FailurePolicy {
    FailurePolicy {
        on_failure: match problems.known("failure.on_failure", wire.on_failure) {
            Some(WireOnFailure::Drain | WireOnFailure::Unspecified) | None => OnFailure::Drain,
            Some(WireOnFailure::Cancel) => OnFailure::Cancel,
            Some(WireOnFailure::Continue) => OnFailure::Continue,
            Some(WireOnFailure::Pause) => OnFailure::Pause,
        },
        tolerated_batches: wire.tolerated_failed_batches,
        tolerated_percent: wire.tolerated_failed_percent,
    }
}

pub(super) fn failure_to_wire(failure: FailurePolicy) -> v1::FailurePolicy {
    v1::FailurePolicy {
        on_failure: match failure.on_failure {
            OnFailure::Drain => WireOnFailure::Drain,
            OnFailure::Cancel => WireOnFailure::Cancel,
            OnFailure::Continue => WireOnFailure::Continue,
            OnFailure::Pause => WireOnFailure::Pause,
        }
        .into(),
        tolerated_failed_batches: failure.tolerated_batches,
        tolerated_failed_percent: failure.tolerated_percent,
    }
}
