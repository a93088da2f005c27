//! What goes up and down over a run: batches in flight, bytes held, tasks running, queues; as a pyramid of buckets.
//!
//! A bucket has the least, the greatest and the last value of each series. Each level's buckets are twice as long as those
//! of the level below. When the finest level has more than [`MAX_BUCKETS`], it goes, so a run of any length has at least
//! half as many: least and greatest stay exact. A reader gets the finest level that fits. Known weakness: the driver
//! samples at most 4 times a second, so a peak between two samples is only in the run's summary.

use std::collections::VecDeque;

use common::summary::RunSummary;
use serde::{Deserialize, Serialize};

/// The most buckets that a level has.
const MAX_BUCKETS: usize = 4_096;
/// The length of the first buckets.
const FIRST_BUCKET_US: u64 = 250_000;
/// How many levels there are: the coarsest has a few dozen buckets.
const LEVELS: usize = 8;
/// The series that every run has, before the queues of its ops.
pub const NAMES: [&str; 5] = [
    "batches_in_flight",
    "bytes_in_flight",
    "running",
    "committing",
    "tasks_done",
];

/// The values of all series at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// One for each of [`NAMES`], then one for each op's queue.
    pub values: Vec<u64>,
}

impl Sample {
    /// Takes the values of a summary and the lengths of the ops' queues.
    pub fn of(summary: &RunSummary, queues: &[u64]) -> Sample {
        let mut values = vec![
            summary.batches_in_flight.now,
            summary.bytes_in_flight.now,
            summary.tasks_running.now,
            summary.committing.now,
            summary.tasks.succeeded + summary.tasks.failed,
        ];
        values.extend(queues);
        Sample { values }
    }
}

/// The values of all series in some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// When it begins, in microseconds since the run was accepted.
    pub t_us: u64,
    /// Per series: least, greatest, last.
    pub values: Vec<[u64; 3]>,
}

/// All series of a run.
#[derive(Clone, Debug)]
pub struct Series {
    /// Finest first.
    levels: VecDeque<Level>,
}

#[derive(Clone, Debug)]
struct Level {
    bucket_us: u64,
    buckets: Vec<Bucket>,
}

impl Default for Series {
    fn default() -> Self {
        let level = |place| Level {
            bucket_us: FIRST_BUCKET_US << place,
            buckets: Vec::new(),
        };
        Series {
            levels: (0..LEVELS).map(level).collect(),
        }
    }
}

impl Series {
    /// Adds the values of a moment that is not before the last one.
    pub fn add(&mut self, sample: &Sample, at_us: u64) {
        self.add_bucket(&Bucket {
            t_us: at_us,
            values: sample.values.iter().map(|value| [*value; 3]).collect(),
        });
    }

    /// Adds the values of some time that does not begin before the last one; adding some twice changes nothing.
    pub fn add_bucket(&mut self, bucket: &Bucket) {
        for level in &mut self.levels {
            level.add(bucket);
        }
        if self.levels[0].buckets.len() > MAX_BUCKETS {
            let last = &self.levels[LEVELS - 1];
            let mut coarser = Level {
                bucket_us: last.bucket_us * 2,
                buckets: Vec::new(),
            };
            last.buckets.iter().for_each(|bucket| coarser.add(bucket));
            self.levels.push_back(coarser);
            self.levels.pop_front();
        }
    }

    /// Returns the buckets between two times, the one before them included, and their length, in at most so many.
    pub fn read(&self, from_us: u64, to_us: u64, points: usize) -> (u64, Vec<Bucket>) {
        let points = points.max(2);
        let last = self.levels.len() - 1;
        for (place, level) in self.levels.iter().enumerate() {
            let found = level.between(from_us, to_us);
            if found.len() <= points {
                return (level.bucket_us, found.to_vec());
            }
            if place == last {
                let mut coarser = Level {
                    bucket_us: level.bucket_us,
                    buckets: found.to_vec(),
                };
                while coarser.buckets.len() > points {
                    coarser = coarser.doubled();
                }
                return (coarser.bucket_us, coarser.buckets);
            }
        }
        (FIRST_BUCKET_US, Vec::new())
    }

    /// Returns one series at so many moments spread over the time until `end_us`.
    pub fn spark(&self, series: usize, end_us: u64, points: usize) -> Vec<u64> {
        let mut values = Vec::with_capacity(points);
        let level = self.levels.iter().rev().find(|level| level.buckets.len() >= points);
        let level = level.unwrap_or(&self.levels[0]);
        let mut next = level.buckets.iter().peekable();
        let mut last = 0;
        for point in 1..=points as u64 {
            let until = end_us.max(1).saturating_mul(point) / points as u64;
            let mut greatest = None;
            while let Some(bucket) = next.next_if(|bucket| bucket.t_us < until) {
                let [_, most, now] = bucket.values.get(series).copied().unwrap_or_default();
                greatest = greatest.max(Some(most));
                last = now;
            }
            values.push(greatest.unwrap_or(last));
        }
        values
    }

    /// Returns the finest buckets that begin at or after a time, without the last one, which may still change.
    pub(crate) fn closed_from(&self, from_us: u64) -> &[Bucket] {
        let buckets = &self.levels[0].buckets;
        let end = buckets.len().saturating_sub(1);
        let first = buckets.partition_point(|bucket| bucket.t_us < from_us).min(end);
        &buckets[first..end]
    }

    /// Returns the last bucket.
    pub(crate) fn last(&self) -> Option<&Bucket> {
        self.levels[0].buckets.last()
    }
}

impl Level {
    fn add(&mut self, bucket: &Bucket) {
        let t_us = bucket.t_us - bucket.t_us % self.bucket_us;
        match self.buckets.last_mut() {
            Some(last) if last.t_us >= t_us => last.merge(bucket),
            Some(_) | None => self.buckets.push(Bucket {
                t_us,
                values: bucket.values.clone(),
            }),
        }
    }

    fn between(&self, from_us: u64, to_us: u64) -> &[Bucket] {
        let first = self
            .buckets
            .partition_point(|bucket| bucket.t_us + self.bucket_us <= from_us);
        let end = self.buckets.partition_point(|bucket| bucket.t_us < to_us);
        &self.buckets[first.saturating_sub(1).min(end)..end]
    }

    fn doubled(&self) -> Level {
        let mut level = Level {
            bucket_us: self.bucket_us * 2,
            buckets: Vec::with_capacity(self.buckets.len() / 2 + 1),
        };
        self.buckets.iter().for_each(|bucket| level.add(bucket));
        level
    }
}

impl Bucket {
    fn merge(&mut self, later: &Bucket) {
        self.values.resize(self.values.len().max(later.values.len()), [0; 3]);
        let none = [0; 3];
        for (place, [least, most, last]) in self.values.iter_mut().enumerate() {
            let [low, high, now] = later.values.get(place).unwrap_or(&none);
            (*least, *most, *last) = ((*least).min(*low), (*most).max(*high), *now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long() -> Series {
        let mut series = Series::default();
        for second in 0..20_000_u64 {
            let value = if second == 7_777 { 99 } else { 3 };
            series.add(&Sample { values: vec![value; 6] }, second * 1_000_000);
        }
        series
    }

    #[test]
    fn a_peak_is_kept_however_long_the_run_gets() {
        let series = long();
        let (_, all) = series.read(0, u64::MAX, 300);
        assert!(all.len() <= 300 && all.len() > 100);
        assert_eq!(all.iter().map(|bucket| bucket.values[0][1]).max(), Some(99));
        assert_eq!(all.iter().map(|bucket| bucket.values[0][0]).min(), Some(3));
        assert!(series.spark(0, 20_000_000_000, 160).contains(&99));
    }

    #[test]
    fn any_level_says_what_the_finest_one_says_in_fewer_buckets() {
        let series = long();
        let (fine_us, fine) = series.read(0, u64::MAX, MAX_BUCKETS);
        let mut level = Level {
            bucket_us: fine_us,
            buckets: fine,
        };
        while level.buckets.len() > 40 {
            level = level.doubled();
            let read = series.read(0, u64::MAX, level.buckets.len());
            assert_eq!(read, (level.bucket_us, level.buckets.clone()));
        }
    }

    #[test]
    fn buckets_that_were_kept_as_they_closed_make_the_same_series_again() {
        let (mut series, mut again) = (Series::default(), Series::default());
        let mut kept = 0;
        for second in 0..6_000_u64 {
            series.add(
                &Sample {
                    values: vec![second % 91],
                },
                second * 700_000,
            );
            if second % 50 == 0 {
                let closed = series.closed_from(kept).to_vec();
                kept = closed.last().map_or(kept, |bucket| bucket.t_us);
                closed.iter().for_each(|bucket| again.add_bucket(bucket));
            }
        }
        for bucket in series.closed_from(kept).to_vec().iter().chain(series.last()) {
            again.add_bucket(bucket);
        }
        assert_eq!(again.read(0, u64::MAX, 500), series.read(0, u64::MAX, 500));
    }
}
