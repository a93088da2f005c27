//! How long a task waits before it is tried again.
//!
//! Exponential backoff with full jitter (M. Brooker, "Exponential Backoff And Jitter", 2015). The jitter is drawn from
//! the run's seed and the attempt's name, so that the same events always give the same waits.

use std::time::Duration;

use common::ids::{AttemptId, BatchId};
use common::job::{Jitter, Retry};

/// How often a batch may lose the worker process that runs it before it is given up.
pub(crate) const CRASH_BUDGET: u32 = 5;

/// Returns the wait after the `failures`-th failure (from 1).
pub(crate) fn backoff(retry: &Retry, failures: u32, attempt: AttemptId, seed: u64) -> Duration {
    let factor = retry
        .multiplier
        .powi(i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX));
    let longest = retry.max_backoff.as_secs_f64();
    let whole = (retry.initial_backoff.as_secs_f64() * factor).min(longest);
    match retry.jitter {
        Jitter::None => Duration::from_secs_f64(whole),
        Jitter::Full => Duration::from_secs_f64(whole * fraction(attempt, seed)),
    }
}

/// Draws a number in [0, 1) that is fixed by the attempt's name and the seed.
fn fraction(attempt: AttemptId, seed: u64) -> f64 {
    let batch = attempt.task.batch.unwrap_or(BatchId::whole(u64::MAX));
    let words = [
        attempt.task.run.0,
        u64::from(attempt.task.op.0),
        batch.index,
        batch.halves.turns().fold(1, |path, turn| path << 1 | u64::from(turn)),
        u64::from(attempt.attempt.0),
    ];
    let mixed = words.iter().fold(seed, |state, word| mix(state ^ mix(*word)));
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::ids::{Attempt, OpId, RunId, TaskId};

    fn attempt(number: u32) -> AttemptId {
        let task = TaskId {
            run: RunId(1),
            op: OpId(2),
            batch: Some(3.into()),
        };
        AttemptId {
            task,
            attempt: Attempt(number),
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_when_nothing_is_drawn() {
        let retry = Retry {
            jitter: Jitter::None,
            ..Retry::default()
        };
        let waits: Vec<u64> = [1, 2, 3, 40]
            .iter()
            .map(|n| backoff(&retry, *n, attempt(*n), 0).as_millis() as u64)
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 60_000]);
    }

    #[test]
    fn jitter_is_within_the_wait_differs_by_attempt_and_is_the_same_every_time() {
        let retry = Retry::default();
        let draw = |number| backoff(&retry, 3, attempt(number), 7);
        assert!((1..100).all(|number| draw(number) < Duration::from_secs(2)));
        assert_ne!(draw(1), draw(2));
        assert_eq!(draw(1), draw(1));
    }
}
