//! In which order tasks run, how many at once, and what happens when one fails.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::Weight;

/// How a run is scheduled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// What the default priorities of the ops are.
    pub order: Order,
    /// The run's cap: how many of its tasks may run at once, over all workers; `None` leaves it to the coordinator's cap and the slots.
    pub max_concurrent: Option<NonZeroU32>,
    /// The most batches in flight; `None` is the default window of depth first and no bound for breadth first.
    pub max_in_flight: Option<NonZeroU32>,
    /// The most bytes in flight; `None` is 256 MiB for depth first and no bound for breadth first.
    pub max_in_flight_bytes: Option<NonZeroU64>,
    /// The most batches that wait for their commit.
    pub max_committing: NonZeroU32,
    /// The most batches that wait after a failure without counting as in flight; those beyond it count.
    pub max_in_backoff: NonZeroU32,
    /// Runs of higher priority are served first.
    pub priority: i32,
    /// The share among runs of equal priority.
    pub weight: Weight,
}

impl Schedule {
    /// The bound on bytes in flight of a depth-first run that names none.
    pub const DEFAULT_IN_FLIGHT_BYTES: u64 = 256 << 20;
    /// The bound on batches that wait for their commit unless the spec names one.
    pub const DEFAULT_COMMITTING: NonZeroU32 = NonZeroU32::new(1_024).expect("is not zero");

    /// The bound on batches that wait after a failure outside the batches in flight unless the spec names one.
    pub const DEFAULT_IN_BACKOFF: NonZeroU32 = NonZeroU32::new(1_024).expect("is not zero");

    /// Returns the bound on batches in flight for a cap: the spec's, or by default `cap + max(1, cap / 4)`.
    pub fn in_flight_bound(&self, cap: u64) -> Option<u64> {
        match (self.max_in_flight, self.order) {
            (Some(bound), _) => Some(u64::from(bound.get())),
            (None, Order::DepthFirst) => Some(cap + (cap / 4).max(1)),
            (None, Order::BreadthFirst) => None,
        }
    }

    /// Returns the bound on bytes in flight.
    pub fn in_flight_bytes_bound(&self) -> Option<u64> {
        match (self.max_in_flight_bytes, self.order) {
            (Some(bound), _) => Some(bound.get()),
            (None, Order::DepthFirst) => Some(Self::DEFAULT_IN_FLIGHT_BYTES),
            (None, Order::BreadthFirst) => None,
        }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            order: Order::DepthFirst,
            max_concurrent: None,
            max_in_flight: None,
            max_in_flight_bytes: None,
            max_committing: Self::DEFAULT_COMMITTING,
            max_in_backoff: Self::DEFAULT_IN_BACKOFF,
            priority: 0,
            weight: Weight::default(),
        }
    }
}

/// Which ops go first when no op names a priority of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Later ops first: a begun batch is finished before a new one is begun.
    #[default]
    DepthFirst,
    /// Earlier ops first: everything is extracted before anything is transformed.
    BreadthFirst,
}

/// How often a task is tried, and how long it waits in between.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts of a task, the first one counted.
    pub max_attempts: NonZeroU32,
    /// The wait before the second attempt.
    pub initial_backoff: Duration,
    /// The longest wait.
    pub max_backoff: Duration,
    /// What the wait is multiplied by from attempt to attempt; at least 1.
    pub multiplier: f64,
    /// Whether the wait is spread at random.
    pub jitter: Jitter,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            max_attempts: NonZeroU32::new(3).expect("is not zero"),
            initial_backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(60),
            multiplier: 2.0,
            jitter: Jitter::Full,
        }
    }
}

/// How a wait is spread, so that tasks that failed together do not come back together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Jitter {
    /// Anywhere between nothing and the whole wait.
    #[default]
    Full,
    /// The whole wait, always.
    None,
}

/// What a batch that failed for good means for its run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailurePolicy {
    /// What the run does next.
    pub on_failure: OnFailure,
}

/// What a run does when a batch has failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// Begins no new batch, finishes the begun ones, and fails.
    #[default]
    Drain,
    /// Stops everything at once, and fails.
    Cancel,
    /// Goes on, and ends as completed with failures.
    Continue,
}
