//! Explanations: why nothing more of a run begins now, op by op.
//!
//! Made by the scheduler out of the same predicates that grant leases, so that an explanation cannot say what is not so.

use std::fmt;
use std::time::Duration;

use crate::ids::{OpId, RunId};
use crate::job::{PoolName, Rate};
use crate::state::RunState;
use crate::time::Time;
use crate::units::ByteSize;

/// Why nothing more of a run begins now.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The run.
    pub run: RunId,
    /// Where it is in its life.
    pub state: RunState,
    /// Its ops, in the order of the chain.
    pub ops: Vec<OpExplanation>,
}

/// Why nothing more of one op begins now.
#[derive(Clone, Debug, PartialEq)]
pub struct OpExplanation {
    /// The op.
    pub op: OpId,
    /// Batches that wait for it; of `extract`, those that are found and not begun.
    pub waiting: u64,
    /// Tasks of it that run.
    pub running: u64,
    /// Batches that wait after a failure of it.
    pub in_backoff: u64,
    /// When the first of those is tried again.
    pub next_retry: Option<Time>,
    /// What holds it back, all that does; empty if something of it begins as soon as the scheduler is done.
    pub obstacles: Vec<Obstacle>,
}

/// What holds an op back.
#[derive(Clone, Debug, PartialEq)]
pub enum Obstacle {
    /// Nothing waits for it.
    NothingWaits,
    /// The run is paused.
    Paused,
    /// The run is being stopped, or ends: it begins no batch any more.
    BeginsNoBatch,
    /// No worker is connected.
    NoWorkers,
    /// No connected worker can do it.
    NoWorkerWithOp,
    /// The worker that keeps its input is not connected.
    HolderIsAway,
    /// Every slot that could take it is in use.
    NoFreeSlot {
        /// Slots of all connected workers.
        slots: u64,
    },
    /// As much runs as the coordinator's cap allows.
    CoordinatorCap {
        /// The cap.
        cap: u32,
        /// What is in use of it, what may run since before a restart included.
        used: u32,
    },
    /// As much runs as the run's cap allows.
    RunCap {
        /// The cap.
        cap: u32,
        /// What is in use of it, what may run since before a restart included.
        used: u32,
    },
    /// As much of it runs as its own limit allows.
    OpLimit {
        /// The limit.
        limit: u32,
        /// What is in use of it, what may run since before a restart included.
        used: u32,
    },
    /// A pool that it takes units of is used up.
    Pool {
        /// The pool.
        pool: PoolName,
        /// Its limit.
        limit: u32,
        /// What is in use of it, what may run since before a restart included.
        used: u32,
        /// Who holds how much of it.
        holders: Vec<(RunId, u32)>,
    },
    /// Its rate allows no more yet.
    Rate {
        /// The rate.
        rate: Rate,
        /// When there are enough tokens; `None` while as many as there may be are on their way to workers.
        next: Option<Time>,
    },
    /// So many batches are in flight as may be.
    BatchesInFlight {
        /// The bound.
        bound: u64,
        /// How many are.
        now: u64,
    },
    /// The next batch does not fit into the bytes in flight.
    BytesInFlight {
        /// The bound.
        bound: u64,
        /// How many are.
        now: u64,
    },
    /// So many batches wait for their commit as may.
    Committing {
        /// The bound.
        bound: u64,
        /// How many do.
        now: u64,
    },
    /// What is free is kept for batches that go on as soon as their checkpoints are durable.
    Checkpointing {
        /// How many there are.
        batches: u64,
    },
}

impl Obstacle {
    /// Returns the obstacle's name as it stands in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Obstacle::NothingWaits => "nothing_waits",
            Obstacle::Paused => "paused",
            Obstacle::BeginsNoBatch => "begins_no_batch",
            Obstacle::NoWorkers => "no_workers",
            Obstacle::NoWorkerWithOp => "no_worker_with_op",
            Obstacle::HolderIsAway => "holder_is_away",
            Obstacle::NoFreeSlot { .. } => "no_free_slot",
            Obstacle::CoordinatorCap { .. } => "coordinator_cap",
            Obstacle::RunCap { .. } => "run_cap",
            Obstacle::OpLimit { .. } => "op_limit",
            Obstacle::Pool { .. } => "pool",
            Obstacle::Rate { .. } => "rate",
            Obstacle::BatchesInFlight { .. } => "batches_in_flight",
            Obstacle::BytesInFlight { .. } => "bytes_in_flight",
            Obstacle::Committing { .. } => "committing",
            Obstacle::Checkpointing { .. } => "checkpointing",
        }
    }

    /// Says it for people, as seen at a time.
    pub fn describe(&self, now: Time) -> String {
        match self {
            Obstacle::Rate { rate, next: Some(next) } => {
                format!("rate {rate}: the next tokens come in {}", short(next.since(now)))
            }
            Obstacle::Rate { rate, next: None } => format!("rate {rate}: as much as may be is on its way to workers"),
            Obstacle::Pool {
                pool,
                limit,
                used,
                holders,
            } => {
                let holders: Vec<String> = holders.iter().map(|(run, units)| format!("{run} {units}")).collect();
                format!("pool {pool}: {used} of {limit} in use, held by {}", list(&holders))
            }
            Obstacle::NothingWaits
            | Obstacle::Paused
            | Obstacle::BeginsNoBatch
            | Obstacle::NoWorkers
            | Obstacle::NoWorkerWithOp
            | Obstacle::HolderIsAway
            | Obstacle::NoFreeSlot { .. }
            | Obstacle::CoordinatorCap { .. }
            | Obstacle::RunCap { .. }
            | Obstacle::OpLimit { .. }
            | Obstacle::BatchesInFlight { .. }
            | Obstacle::BytesInFlight { .. }
            | Obstacle::Committing { .. }
            | Obstacle::Checkpointing { .. } => self.to_string(),
        }
    }

    /// Returns the pool that is used up, if it is one.
    pub fn pool(&self) -> Option<&PoolName> {
        if let Obstacle::Pool { pool, .. } = self {
            return Some(pool);
        }
        None
    }

    /// Returns who holds the pool that is used up.
    pub fn holders(&self) -> &[(RunId, u32)] {
        if let Obstacle::Pool { holders, .. } = self {
            return holders;
        }
        &[]
    }

    /// Returns when it goes away by itself, if that is known.
    pub fn next(&self) -> Option<Time> {
        if let Obstacle::Rate { next, .. } = self {
            return *next;
        }
        None
    }

    /// Returns the bound and what is in use of it, if it is a bound.
    pub fn bound(&self) -> Option<(u64, u64)> {
        match self {
            Obstacle::CoordinatorCap { cap, used } | Obstacle::RunCap { cap, used } => {
                Some(((*cap).into(), (*used).into()))
            }
            Obstacle::OpLimit { limit, used } | Obstacle::Pool { limit, used, .. } => {
                Some(((*limit).into(), (*used).into()))
            }
            Obstacle::BatchesInFlight { bound, now }
            | Obstacle::BytesInFlight { bound, now }
            | Obstacle::Committing { bound, now } => Some((*bound, *now)),
            Obstacle::NothingWaits
            | Obstacle::Paused
            | Obstacle::BeginsNoBatch
            | Obstacle::NoWorkers
            | Obstacle::NoWorkerWithOp
            | Obstacle::HolderIsAway
            | Obstacle::NoFreeSlot { .. }
            | Obstacle::Rate { .. }
            | Obstacle::Checkpointing { .. } => None,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::NothingWaits => f.write_str("nothing waits for it"),
            Obstacle::Paused => f.write_str("the run is paused; resume it"),
            Obstacle::BeginsNoBatch => f.write_str("the run begins no batch any more"),
            Obstacle::NoWorkers => f.write_str("no worker is connected; start one with plumb worker"),
            Obstacle::NoWorkerWithOp => f.write_str("no connected worker can do it; start one that can"),
            Obstacle::HolderIsAway => f.write_str("the worker that keeps its input is not connected"),
            Obstacle::NoFreeSlot { slots } => write!(f, "no free slot: all that can take it of {slots} are in use"),
            Obstacle::CoordinatorCap { cap, used } => write!(f, "the coordinator's cap: {used} of {cap} in use"),
            Obstacle::RunCap { cap, used } => write!(f, "the run's cap: {used} of {cap} in use"),
            Obstacle::OpLimit { limit, used } => write!(f, "its own limit: {used} of {limit} in use"),
            Obstacle::Pool { pool, limit, used, .. } => write!(f, "pool {pool}: {used} of {limit} in use"),
            Obstacle::Rate { rate, .. } => write!(f, "rate {rate}"),
            Obstacle::BatchesInFlight { bound, now } => write!(f, "batches in flight: {now} of {bound}"),
            Obstacle::BytesInFlight { bound, now } => {
                write!(f, "bytes in flight: {} of {}", ByteSize(*now), ByteSize(*bound))
            }
            Obstacle::Committing { bound, now } => write!(f, "batches that wait for their commit: {now} of {bound}"),
            Obstacle::Checkpointing { batches } => write!(
                f,
                "slots are kept for batches that go on when their checkpoints are durable: {batches}"
            ),
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "what may run since before a restart".to_owned();
    }
    names.join(", ")
}

fn short(wait: Duration) -> String {
    let rounded = Duration::from_millis(wait.as_millis() as u64);
    format!("{rounded:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_says_who_holds_it_and_a_rate_when_it_goes_on() {
        let pool = Obstacle::Pool {
            pool: PoolName::new("geocoder").expect("is a name"),
            limit: 4,
            used: 4,
            holders: vec![(RunId(1), 3), (RunId(2), 1)],
        };
        assert_eq!(
            pool.describe(Time::ZERO),
            "pool geocoder: 4 of 4 in use, held by r1 3, r2 1"
        );
        let rate = Obstacle::Rate {
            rate: "50/s".parse().expect("is a rate"),
            next: Some(Time(20_000_000)),
        };
        assert_eq!(rate.describe(Time::ZERO), "rate 50/1s: the next tokens come in 20ms");
    }
}
