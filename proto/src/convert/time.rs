//! Times and durations.

use std::time::Duration;

use common::time::Time;

/// Turns a point in the coordinator's time into a timestamp.
pub fn time_to_wire(time: Time) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: (time.0 / NANOS) as i64,
        nanos: (time.0 % NANOS) as i32,
    }
}

/// Reads a timestamp; `None` if it is not one, or lies before 1970 or too far ahead.
pub fn time_from_wire(wire: prost_types::Timestamp) -> Option<Time> {
    let seconds = u64::try_from(wire.seconds).ok()?;
    let nanos = u64::try_from(wire.nanos).ok().filter(|&nanos| nanos < NANOS)?;
    seconds.checked_mul(NANOS)?.checked_add(nanos).map(Time)
}

/// Turns a duration into a wire duration; one beyond what that can hold becomes the longest it can.
pub fn duration_to_wire(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos() as i32,
    }
}

const NANOS: u64 = 1_000_000_000;
