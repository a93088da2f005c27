//! A token bucket: what of an op's rate has been taken, what is promised, and when there is more.

use common::job::{Rate, RateUnit};
use common::time::Time;

/// Binary digits behind the point of a time in nanoseconds, so that a rate loses nothing by rounding.
const FRACTION: u32 = 20;

/// The token bucket of one op of one run.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) rate: Rate,
    /// The time that one token takes, in fractions of nanoseconds, rounded up.
    each: i128,
    burst: u64,
    /// When it held nothing and from when on it fills, in fractions of nanoseconds: later than now if more was taken than it held.
    empty_at: i128,
    /// Tokens of leases whose op is not reported to have started.
    pub(crate) promised: u64,
    /// The tokens that it owes in case they were taken before a restart; none if what was taken is known.
    owes: Option<u64>,
    /// When the scheduler has asked to be woken for it.
    pub(crate) woken_at: Option<Time>,
}

/// What a bucket holds at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filling {
    /// One token: the first task need not wait.
    One,
    /// None.
    Nothing,
    /// None, and what was taken before is not known.
    Unknown,
}

/// Why tokens cannot be promised now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenWait {
    /// There are enough at this time.
    Until(Time),
    /// As much as may be is on its way to workers.
    ForStarts,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, filling: Filling, now: Time) -> Bucket {
        let each = (rate.per.as_nanos() as f64 * f64::from(1_u32 << FRACTION) / rate.limit).ceil() as i128;
        let head_start = match filling {
            Filling::One => each,
            Filling::Nothing | Filling::Unknown => 0,
        };
        let owes = match filling {
            Filling::One | Filling::Nothing => None,
            Filling::Unknown => Some(0),
        };
        Bucket {
            rate,
            each,
            burst: u64::from(rate.burst.get()),
            empty_at: fractions(now) - head_start,
            promised: 0,
            owes,
            woken_at: None,
        }
    }

    /// Owes what a task on so many rows takes beyond the burst, if one may have begun before a restart.
    pub(crate) fn owe_for(&mut self, rows: u64) {
        let beyond = match self.rate.unit {
            RateUnit::Rows => rows.saturating_sub(self.burst),
            RateUnit::Batches | RateUnit::Calls => 0,
        };
        if let Some(owes) = &mut self.owes {
            let more = beyond.saturating_sub(*owes);
            *owes += more;
            self.empty_at += i128::from(more) * self.each;
        }
    }

    /// Tells whether so many tokens can be promised now, or when.
    pub(crate) fn may_promise(&self, tokens: u64, now: Time) -> Result<(), TokenWait> {
        let wanted = self.promised.saturating_add(tokens.min(self.burst));
        if wanted > self.burst {
            return Err(TokenWait::ForStarts);
        }
        let ready_at = self.empty_at + i128::from(wanted) * self.each;
        if ready_at <= fractions(now) {
            return Ok(());
        }
        // Rounded up to a whole nanosecond.
        let nanos = (ready_at + (1 << FRACTION) - 1) >> FRACTION;
        Err(TokenWait::Until(Time(u64::try_from(nanos).unwrap_or(u64::MAX))))
    }

    /// Promises tokens to a lease.
    pub(crate) fn promise(&mut self, tokens: u64) {
        self.promised += tokens;
    }

    /// Takes tokens that were promised: the op has started.
    pub(crate) fn take_promised(&mut self, tokens: u64, now: Time) {
        self.promised = self.promised.saturating_sub(tokens);
        self.take(tokens, now);
    }

    /// Takes tokens that nobody promised, even if it holds too few.
    pub(crate) fn take(&mut self, tokens: u64, now: Time) {
        let full_since = fractions(now) - i128::from(self.burst) * self.each;
        self.empty_at = self.empty_at.max(full_since) + i128::from(tokens) * self.each;
    }

    /// Gives promised tokens back: the op will not start.
    pub(crate) fn give_back(&mut self, tokens: u64) {
        self.promised = self.promised.saturating_sub(tokens);
    }
}

fn fractions(time: Time) -> i128 {
    i128::from(time.0) << FRACTION
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    const START: Time = Time(1_700_000_000_000_000_000);

    fn rate(text: &str, burst: u32) -> Rate {
        let rate: Rate = text.parse().expect("is a rate");
        Rate {
            burst: NonZeroU32::new(burst).expect("is not zero"),
            ..rate
        }
    }

    /// Promises and takes one token after another, each `latency` after its promise, and returns when they were taken.
    fn taken(mut bucket: Bucket, count: usize, latency: Duration) -> Vec<Time> {
        let mut now = START;
        let mut on_their_way: std::collections::VecDeque<Time> = std::collections::VecDeque::new();
        let mut taken = Vec::new();
        while taken.len() < count {
            match bucket.may_promise(1, now) {
                Ok(()) => {
                    bucket.promise(1);
                    on_their_way.push_back(now + latency);
                }
                Err(wait) => {
                    let start = on_their_way.front().copied();
                    let until = match wait {
                        TokenWait::Until(at) => start.map_or(at, |start| start.min(at)),
                        TokenWait::ForStarts => start.expect("something is on its way"),
                    };
                    now = now.max(until);
                    if start == Some(now) {
                        on_their_way.pop_front();
                        bucket.take_promised(1, now);
                        taken.push(now);
                    }
                }
            }
        }
        taken
    }

    #[test]
    fn a_rate_is_reached_and_never_exceeded_in_any_window() {
        for latency in [0, 1, 30, 90] {
            let bucket = Bucket::new(rate("50/s", 5), Filling::One, START);
            let taken = taken(bucket, 600, Duration::from_millis(latency));
            let whole = taken[599].since(taken[0]).as_secs_f64();
            let reached = 599.0 / whole;
            // Ways that are as long as the burst lasts cost some of the rate.
            let least = if latency <= 30 { 49.0 } else { 45.0 };
            assert!(reached > least && reached <= 50.01, "{latency}: {reached}");
            for (place, first) in taken.iter().enumerate() {
                let in_window = taken[place..]
                    .iter()
                    .take_while(|at| at.since(*first) < Duration::from_secs(1));
                assert!(in_window.count() <= 55, "{latency}");
            }
        }
    }

    #[test]
    fn more_than_the_burst_is_begun_when_the_bucket_is_full_and_waited_for_afterwards() {
        let mut bucket = Bucket::new(rate("1000 rows/s", 100), Filling::Nothing, START);
        let full = START + Duration::from_millis(100);
        assert_eq!(bucket.may_promise(500, START), Err(TokenWait::Until(full)));
        bucket.promise(500);
        assert_eq!(bucket.may_promise(1, full), Err(TokenWait::ForStarts));
        bucket.take_promised(500, full);
        assert_eq!(
            bucket.may_promise(500, full),
            Err(TokenWait::Until(full + Duration::from_millis(500)))
        );
    }

    #[test]
    fn after_a_restart_a_bucket_owes_what_the_largest_batch_may_have_taken_beyond_the_burst() {
        let mut bucket = Bucket::new(rate("1000 rows/s", 100), Filling::Unknown, START);
        for rows in [300, 500, 200] {
            bucket.owe_for(rows);
        }
        let paid = START + Duration::from_millis(400);
        let full = paid + Duration::from_millis(100);
        assert_eq!(
            bucket.may_promise(1, paid),
            Err(TokenWait::Until(paid + Duration::from_millis(1)))
        );
        assert_eq!(bucket.may_promise(500, paid), Err(TokenWait::Until(full)));
        assert_eq!(bucket.may_promise(500, full), Ok(()));
    }

    #[test]
    fn a_slow_rate_lets_its_first_task_begin_at_once_and_after_a_restart_none() {
        let bucket = |filling| Bucket::new(rate("1/h", 1), filling, START);
        assert_eq!(bucket(Filling::One).may_promise(1, START), Ok(()));
        let hour = START + Duration::from_secs(3_600);
        assert_eq!(
            bucket(Filling::Nothing).may_promise(1, START),
            Err(TokenWait::Until(hour))
        );
    }

    #[test]
    fn tokens_of_an_op_that_did_not_start_can_be_promised_again() {
        let mut bucket = Bucket::new(rate("1/s", 1), Filling::One, START);
        bucket.promise(1);
        assert_eq!(bucket.may_promise(1, START), Err(TokenWait::ForStarts));
        bucket.give_back(1);
        assert_eq!(bucket.may_promise(1, START), Ok(()));
    }
}
