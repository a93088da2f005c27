//! Time as an argument: a point on the coordinator's clock.
//!
//! The pure crates never read a clock; whoever drives them passes a [`Time`]. It counts nanoseconds since the Unix
//! epoch as the coordinator knew it when it started, and then follows a monotonic clock, so that it never goes back
//! within one generation and can still be shown to people.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in the coordinator's time, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// The beginning of time, for tests and simulations.
    pub const ZERO: Time = Time(0);

    /// Returns the time that passed since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns the seconds since `earlier`, negative if `earlier` is later.
    pub fn seconds_since(self, earlier: Time) -> f64 {
        let nanos = i128::from(self.0) - i128::from(earlier.0);
        nanos as f64 / 1e9
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, duration: Duration) -> Time {
        Time(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, duration: Duration) -> Time {
        Time(
            self.0
                .saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}
