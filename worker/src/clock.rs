//! The worker's clock: CLOCK_MONOTONIC, and how it maps to the coordinator's.
//!
//! Everything in the worker is timed by the monotonic clock, as a [`Time`] that counts from the machine's boot; only
//! reports are mapped, when they are handed to the session. Two processes of one boot share the clock, so the mapping
//! is exact there. Elsewhere it is estimated as NTP does: of the last heartbeats, the one with the shortest round trip
//! says best, and half of its round trip is the most that the estimate can be off.

use std::collections::VecDeque;

use common::time::Time;
use rustix::time::{ClockId, clock_gettime};

/// Returns the time by this machine's monotonic clock.
pub(crate) fn monotonic_now() -> Time {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    Time(seconds * 1_000_000_000 + nanos)
}

/// Returns what names this boot of the machine; empty where the system does not say.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(|_| String::new(), |id| id.trim().to_owned())
}

/// How the worker's clock maps to the coordinator's.
#[derive(Debug, Default)]
pub(crate) struct ClockMap {
    /// The offset if both share one clock.
    exact: Option<i64>,
    /// The latest samples, oldest first.
    samples: VecDeque<Sample>,
}

/// What one round trip says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Coordinator's time minus the worker's, in nanoseconds.
    pub(crate) offset: i64,
    /// The most that it can be off.
    pub(crate) error: u64,
}

impl ClockMap {
    const SAMPLES: usize = 32;

    /// Takes the offset of a clock that both processes share.
    pub(crate) fn share(&mut self, offset: i64) {
        self.exact = Some(offset);
    }

    /// Takes a first guess, from a welcome that answered a hello.
    pub(crate) fn guess(&mut self, offset: i64, sent: Time, answered: Time) {
        self.exact = None;
        self.add(Sample {
            offset,
            error: answered.0.saturating_sub(sent.0),
        });
    }

    /// Takes a round trip: sent and answered by the worker's clock, received and replied by the coordinator's.
    pub(crate) fn round_trip(&mut self, sent: Time, received: Time, replied: Time, answered: Time) {
        let there = difference(received, sent);
        let back = difference(replied, answered);
        let travelled = answered.since(sent).saturating_sub(replied.since(received));
        self.add(Sample {
            offset: there / 2 + back / 2,
            error: u64::try_from(travelled.as_nanos()).unwrap_or(u64::MAX) / 2,
        });
    }

    /// Returns the best estimate.
    pub(crate) fn best(&self) -> Sample {
        if let Some(offset) = self.exact {
            return Sample { offset, error: 0 };
        }
        let best = self.samples.iter().min_by_key(|sample| sample.error);
        best.copied().unwrap_or(Sample {
            offset: 0,
            error: u64::MAX,
        })
    }

    /// Maps a time of the worker to the coordinator's clock.
    pub(crate) fn to_coordinator(&self, time: Time) -> Time {
        Time(time.0.saturating_add_signed(self.best().offset))
    }

    fn add(&mut self, sample: Sample) {
        if self.samples.len() == Self::SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}

fn difference(left: Time, right: Time) -> i64 {
    let nanos = i128::from(left.0) - i128::from(right.0);
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_round_trip_gives_the_mapping() {
        let mut map = ClockMap::default();
        // The coordinator is 1,000 ahead; the slow trip was slow on one way only.
        map.round_trip(Time(0), Time(1_900), Time(1_900), Time(910));
        map.round_trip(Time(2_000), Time(3_010), Time(3_020), Time(2_030));
        assert_eq!(
            map.best(),
            Sample {
                offset: 1_000,
                error: 10
            }
        );
        assert_eq!(map.to_coordinator(Time(5_000)), Time(6_000));
    }

    #[test]
    fn a_shared_clock_is_mapped_exactly() {
        let mut map = ClockMap::default();
        map.guess(7, Time(0), Time(10));
        map.share(42);
        map.round_trip(Time(0), Time(100), Time(100), Time(1));
        assert_eq!(map.best(), Sample { offset: 42, error: 0 });
    }
}
