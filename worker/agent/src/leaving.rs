//! Whether and how the worker leaves.

use common::time::Time;

/// How far leaving is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// The worker stays.
    #[default]
    No,
    /// It takes no new lease, finishes the ops that run, and serves what it keeps until nobody needs it.
    Draining {
        /// When it leaves at the latest, kept outputs or not.
        until: Time,
    },
    /// It stops what runs.
    Now {
        /// When it leaves at the latest, stopped or not.
        until: Time,
    },
    /// It has left: the process is to end.
    Left,
}

impl Leaving {
    /// Tells whether the worker takes leases.
    pub(crate) fn takes_leases(self) -> bool {
        self == Leaving::No
    }

    /// Returns when the worker leaves at the latest.
    pub(crate) fn until(self) -> Option<Time> {
        match self {
            Leaving::No | Leaving::Left => None,
            Leaving::Draining { until } | Leaving::Now { until } => Some(until),
        }
    }
}
