//! The coordinator's clock: the only place where the coordinator reads one for the scheduler.
//!
//! Takes the wall clock once, when the process starts, and follows CLOCK_MONOTONIC from there, so that the scheduler's
//! time never goes back and can still be shown to people. A worker on the same boot reads the same CLOCK_MONOTONIC:
//! [`Clock::offset_nanos`] maps it to the coordinator's time exactly. Known weakness: when the wall clock is set right
//! later, what people are shown stays as wrong as it was at the start, until the next start.
//!
//! A simulation gives a clock of its own ([`Clock::simulated`]).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::time::Time;
use rustix::time::{ClockId, clock_gettime};

/// The coordinator's time: CLOCK_MONOTONIC plus an offset that was fixed at the start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    monotonic_nanos: fn() -> u64,
    offset_nanos: u64,
}

impl Clock {
    /// Reads both clocks and fixes the offset between them.
    pub fn start() -> Clock {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let wall = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        Clock {
            monotonic_nanos,
            offset_nanos: wall.saturating_sub(monotonic_nanos()),
        }
    }

    /// Follows another monotonic clock than the machine's, with an offset to it that is known.
    pub fn simulated(monotonic_nanos: fn() -> u64, offset_nanos: u64) -> Clock {
        Clock {
            monotonic_nanos,
            offset_nanos,
        }
    }

    /// Returns the time; never less than the last time it was asked.
    pub fn now(&self) -> Time {
        Time((self.monotonic_nanos)() + self.offset_nanos)
    }

    /// Returns what is added to CLOCK_MONOTONIC to get the coordinator's time.
    pub fn offset_nanos(&self) -> u64 {
        self.offset_nanos
    }
}

fn monotonic_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_begins_at_the_wall_clock() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(first.0 > 1_600_000_000_000_000_000);
        assert!(clock.now() >= first);
    }
}
