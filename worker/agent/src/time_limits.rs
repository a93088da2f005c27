//! The times that follow from a welcome.
//!
//! ```text
//! heard ---- silent_after ---- stop_after ---- exit_after = lease time ---- the coordinator's end (plus margin)
//!            dial again        stop the ops    end the process              the units are free
//! ```

use std::time::Duration;

use crate::input::Welcome;

/// How long after the coordinator last heard the worker things have to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeLimits {
    /// Heartbeats are sent this often.
    pub(crate) heartbeat_interval: Duration,
    /// A connection that echoed nothing for so long is given up.
    pub(crate) silent_after: Duration,
    /// Chains are told to stop.
    pub(crate) stop_after: Duration,
    /// The process ends if one still runs.
    pub(crate) exit_after: Duration,
}

impl TimeLimits {
    /// The shortest time between heartbeats, so that a coordinator's odd answer makes no busy loop.
    const MIN_HEARTBEAT: Duration = Duration::from_millis(10);

    /// Derives the times. Stopping begins one margin before the lease ends, but never in its first half.
    pub(crate) fn new(welcome: &Welcome) -> TimeLimits {
        let lease = welcome.lease_time;
        let half = lease / 2;
        let heartbeat_interval = welcome.heartbeat_interval.max(Self::MIN_HEARTBEAT);
        TimeLimits {
            heartbeat_interval,
            silent_after: half.max(heartbeat_interval * 2),
            stop_after: lease.saturating_sub(welcome.lease_margin).max(half),
            exit_after: lease,
        }
    }
}
