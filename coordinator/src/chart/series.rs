//! What goes up and down over a run: batches in flight, bytes held, tasks running, queues; in buckets that grow.
//!
//! A bucket has the least, the greatest and the last value of each series. When there are more than [`MAX_BUCKETS`], each
//! two become one of twice the length, so a run of any length has at least half as many: least and greatest stay exact.
//! A reader gets the same in fewer buckets. Known weakness: the driver samples at most 4 times a second, so a peak
//! between two samples is only in the run's summary.

use common::summary::RunSummary;
use common::time::Time;

/// The most buckets that are kept.
const MAX_BUCKETS: usize = 4_096;
/// The length of the first buckets.
const FIRST_BUCKET_US: u64 = 250_000;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// When it begins, in microseconds since the run was accepted.
    pub t_us: u64,
    /// Per series: least, greatest, last.
    pub values: Vec<[u64; 3]>,
}

/// All series of a run.
#[derive(Clone, Debug)]
pub struct Series {
    accepted: Time,
    bucket_us: u64,
    buckets: Vec<Bucket>,
}

impl Series {
    /// Makes the empty series of a run.
    pub fn new(accepted: Time) -> Series {
        Series {
            accepted,
            bucket_us: FIRST_BUCKET_US,
            buckets: Vec::new(),
        }
    }

    /// Adds the values of a moment that is not before the last one.
    pub fn add(&mut self, sample: &Sample, at: Time) {
        let at = at.0.saturating_sub(self.accepted.0) / 1_000;
        let values = sample.values.iter().map(|value| [*value; 3]).collect();
        let bucket = Bucket {
            t_us: at - at % self.bucket_us,
            values,
        };
        match self.buckets.last_mut() {
            Some(last) if last.t_us >= bucket.t_us => last.merge(&bucket),
            Some(_) | None => self.buckets.push(bucket),
        }
        if self.buckets.len() > MAX_BUCKETS {
            self.bucket_us *= 2;
            self.buckets = grouped(&self.buckets, self.bucket_us);
        }
    }

    /// Returns the buckets between two times, the one before them included, and their length, in at most so many.
    pub fn read(&self, from_us: u64, to_us: u64, points: usize) -> (u64, Vec<Bucket>) {
        let first = self
            .buckets
            .partition_point(|bucket| bucket.t_us + self.bucket_us <= from_us);
        let end = self.buckets.partition_point(|bucket| bucket.t_us < to_us);
        let first = first.saturating_sub(1).min(end);
        let mut buckets = self.buckets[first..end].to_vec();
        let mut length = self.bucket_us;
        while buckets.len() > points.max(2) {
            length *= 2;
            buckets = grouped(&buckets, length);
        }
        (length, buckets)
    }

    /// Returns one series at so many moments spread over the time until `end_us`.
    pub fn spark(&self, series: usize, end_us: u64, points: usize) -> Vec<u64> {
        let mut values = Vec::with_capacity(points);
        let mut next = self.buckets.iter().peekable();
        let mut last = 0;
        for point in 1..=points as u64 {
            let until = end_us.max(1) * point / points as u64;
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

/// Makes buckets of a greater length.
fn grouped(buckets: &[Bucket], length: u64) -> Vec<Bucket> {
    let mut grouped: Vec<Bucket> = Vec::with_capacity(buckets.len() / 2 + 1);
    for bucket in buckets {
        let t_us = bucket.t_us - bucket.t_us % length;
        match grouped.last_mut() {
            Some(last) if last.t_us == t_us => last.merge(bucket),
            Some(_) | None => grouped.push(Bucket { t_us, ..bucket.clone() }),
        }
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_kept_however_long_the_run_gets() {
        let mut series = Series::new(Time::ZERO);
        for second in 0..20_000_u64 {
            let value = if second == 7_777 { 99 } else { 3 };
            series.add(&Sample { values: vec![value; 6] }, Time(second * 1_000_000_000));
        }
        let (_, all) = series.read(0, u64::MAX, 300);
        assert!(all.len() <= 300 && all.len() > 100);
        assert_eq!(all.iter().map(|bucket| bucket.values[0][1]).max(), Some(99));
        assert_eq!(all.iter().map(|bucket| bucket.values[0][0]).min(), Some(3));
        assert!(series.spark(0, 20_000_000_000, 160).contains(&99));
    }
}
