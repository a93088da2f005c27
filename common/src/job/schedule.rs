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
    /// What becomes of a batch after the last attempt.
    pub bisect: Bisect,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            max_attempts: NonZeroU32::new(3).expect("is not zero"),
            initial_backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(60),
            multiplier: 2.0,
            jitter: Jitter::Full,
            bisect: Bisect::No,
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

/// Whether a batch that failed for good is halved, and its halves tried again, down to single rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bisect {
    /// It fails as it is.
    #[default]
    No,
    /// It is halved, if the failure may be one of its rows.
    Yes,
}

/// What batches that failed for good mean for their run. Within what is tolerated the run goes on, and ends as completed
/// with failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FailurePolicy {
    /// What the run does when more batches have failed than are tolerated.
    pub on_failure: OnFailure,
    /// How many failed batches are tolerated.
    pub tolerated_batches: Option<u32>,
    /// How many of a hundred batches may have failed.
    pub tolerated_percent: Option<f64>,
}

impl FailurePolicy {
    /// Tells whether a run that has come to its end with so many failed batches of so many has failed. One that somebody
    /// resumed after its pause has not, unless a number says so.
    pub fn fails_at_the_end(&self, failed: u64, total: u64) -> bool {
        let has_number = self.tolerated_batches.is_some() || self.tolerated_percent.is_some();
        let was_resumed = self.on_failure == OnFailure::Pause && !has_number;
        !was_resumed && !self.tolerates(failed, total)
    }

    /// Tells whether so many failed batches of so many are tolerated. Without a number nothing is, unless the run is told
    /// to go on whatever happens.
    pub fn tolerates(&self, failed: u64, total: u64) -> bool {
        let by_count = self.tolerated_batches.map(|most| failed <= u64::from(most));
        let by_share = self
            .tolerated_percent
            .map(|percent| failed as f64 * 100.0 <= percent * total as f64);
        match (by_count, by_share) {
            (None, None) => failed == 0 || self.on_failure == OnFailure::Continue,
            (count, share) => count.unwrap_or(true) && share.unwrap_or(true),
        }
    }
}

/// What a run does when more batches have failed for good than are tolerated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// Begins no new batch, finishes the begun ones, and fails.
    #[default]
    Drain,
    /// Stops everything at once, and fails.
    Cancel,
    /// Goes on to the end. It ends as completed with failures, or failed if a number says that it tolerates less.
    Continue,
    /// Pauses, so that somebody can mend what is wrong, have the failed batches tried again, and resume.
    Pause,
}
