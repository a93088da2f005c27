//! What the attempts of a run add up to, whatever their number: how long they ran, how long begun batches waited.
//!
//! Rows in chunks are counted once, when somebody asks; rows behind them and what runs are counted anew each time. Waits are
//! kept in a histogram whose buckets are at most 1/128 of their values wide, so a quantile is right to less than one percent.

use crate::timeline::{Scratch, Task, TimelineError, TimelineView};

/// Waits below this have buckets of their own, and from there on each power of two so many buckets.
const EXACT: u64 = 256;
const PER_DOUBLING: u64 = 128;
const BUCKETS: usize = 256 + (64 - 8) * 128;

/// What was counted so far.
#[derive(Clone, Debug)]
pub struct Totals {
    /// The place behind the last row that is counted.
    counted: u64,
    tasks: u64,
    busy_us: u64,
    waited: u64,
    waits: Vec<u32>,
}

/// What it all adds up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// How many attempts there are, those that run included.
    pub tasks: u64,
    /// How long they ran, all together.
    pub busy_us: u64,
    /// How long begun batches waited for their next op; `None` when none did.
    pub waits: Option<WaitTimes>,
}

/// Quantiles of waiting times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimes {
    /// Half of them were no longer.
    pub p50_us: u64,
    /// Nineteen of twenty were no longer.
    pub p95_us: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Totals {
            counted: 0,
            tasks: 0,
            busy_us: 0,
            waited: 0,
            waits: vec![0; BUCKETS],
        }
    }
}

impl Totals {
    /// Counts what is new in a view, and adds all of it up.
    ///
    /// # Errors
    /// [`TimelineError`] when what is kept cannot be read.
    pub fn sum(&mut self, view: &TimelineView) -> Result<Sums, TimelineError> {
        let mut scratch = Scratch::default();
        let counted = self.counted;
        for chunk in view.chunks.iter().filter(|chunk| chunk.summary.first >= counted) {
            chunk.tasks(&mut scratch, |task| self.add(&task, view.now_us))?;
            self.counted = chunk.summary.first + u64::from(chunk.summary.rows);
        }
        let mut all = self.clone();
        let running = view.running.iter().map(|(_, row)| row);
        view.tail
            .iter()
            .chain(running)
            .for_each(|row| all.add(&row.task, view.now_us));
        Ok(Sums {
            tasks: all.tasks,
            busy_us: all.busy_us,
            waits: (all.waited > 0).then(|| WaitTimes {
                p50_us: all.quantile(50),
                p95_us: all.quantile(95),
            }),
        })
    }

    fn add(&mut self, task: &Task, now: u64) {
        self.tasks += 1;
        self.busy_us += task.ended.unwrap_or(now).saturating_sub(task.started);
        // A batch that was not begun does not wait in memory.
        if task.op > 0 {
            self.waited += 1;
            self.waits[bucket(task.started.saturating_sub(task.queued))] += 1;
        }
    }

    /// The least wait that so many of a hundred do not exceed.
    fn quantile(&self, percent: u64) -> u64 {
        let rank = (self.waited * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.waits.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        });
        middle(found.unwrap_or(0))
    }
}

fn bucket(wait: u64) -> usize {
    if wait < EXACT {
        return usize::try_from(wait).unwrap_or(0);
    }
    let doubling = u64::from(wait.ilog2()) - 8;
    let within = (wait >> (doubling + 1)) - PER_DOUBLING;
    usize::try_from(EXACT + doubling * PER_DOUBLING + within).unwrap_or(BUCKETS - 1)
}

/// The middle of a bucket's values.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < EXACT {
        return bucket;
    }
    let (doubling, within) = ((bucket - EXACT) / PER_DOUBLING, (bucket - EXACT) % PER_DOUBLING);
    ((PER_DOUBLING + within) << (doubling + 1)) + (1 << doubling)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_is_right_to_less_than_one_percent(wait in 0..u64::MAX >> 1, shift in 0..62_u32) {
            let wait = wait >> shift;
            let shown = middle(bucket(wait));
            prop_assert!(shown.abs_diff(wait) * 128 <= wait.max(1), "{wait} is shown as {shown}");
        }

        #[test]
        fn a_longer_wait_has_no_lower_bucket(wait in 0..u64::MAX >> 1, more in 0..1_000_u64) {
            prop_assert!(bucket(wait) <= bucket(wait + more));
            prop_assert!(bucket(wait + more) < BUCKETS);
        }
    }
}
