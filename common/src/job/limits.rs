//! Limits: pools, rates, weights, and how they are changed while a run goes on.
//!
//! A job names its limits; whoever holds them exactly is the scheduler. A change says for each limit that it stays, is
//! set or is taken off, so that changes can be put one upon another.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Job, Schedule};
use crate::ids::{InvalidId, OpId};
use crate::units::{ByteSize, InvalidUnit, parse_duration};

/// The name of a limit that runs share. Declared by the coordinator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PoolName(Arc<str>);

/// A token bucket: how much of an op may begin in a time, over all workers.
///
/// In any window of `w` no more than `limit x w / per + burst` begins; an op on more rows than `burst` begins when the
/// bucket is full, and what it takes too much is waited for afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// How much, in `per`.
    pub limit: f64,
    /// The time.
    pub per: Duration,
    /// How much may begin at once after a pause.
    pub burst: NonZeroU32,
    /// What is counted.
    pub unit: RateUnit,
}

/// What a rate counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateUnit {
    /// Attempts: each takes one token.
    #[default]
    Batches,
    /// Rows that go into the op, of every attempt.
    Rows,
    /// Calls that the op makes; every op there is makes one an attempt.
    Calls,
}

/// A run's share among runs of equal priority, in thousandths: a run of weight 2 gets twice the permits of one of 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Weight(NonZeroU32);

/// What becomes of one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is this now.
    Set(T),
    /// There is none any more; the default holds where there is one.
    Remove,
}

/// What becomes of a run's limits. What it does not name stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LimitsChange {
    /// The run's cap.
    pub max_concurrent: Change<NonZeroU32>,
    /// The bound on batches in flight.
    pub max_in_flight: Change<NonZeroU32>,
    /// The bound on bytes in flight.
    pub max_in_flight_bytes: Change<NonZeroU64>,
    /// The bound on batches that wait for their commit.
    pub max_committing: Change<NonZeroU32>,
    /// The share among runs of equal priority.
    pub weight: Change<Weight>,
    /// The limits of single ops.
    pub ops: BTreeMap<OpId, OpLimitsChange>,
}

/// What becomes of an op's own limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OpLimitsChange {
    /// How many tasks of it may run at once.
    pub max_concurrent: Change<NonZeroU32>,
    /// How much of it may begin in a time.
    pub rate: Change<Rate>,
}

impl PoolName {
    /// The longest name accepted, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Checks and keeps a name: 1 to 128 letters, digits, `_`, `-` and `.`.
    pub fn new(name: &str) -> Result<PoolName, InvalidId> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        if name.is_empty() || name.len() > Self::MAX_LEN || !name.chars().all(is_plain) {
            return Err(InvalidId {
                what: "pool name",
                text: name.to_owned(),
                want: "1 to 128 letters, digits, `_`, `-` and `.`",
            });
        }
        Ok(PoolName(name.into()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Rate {
    /// The part of a second's worth that may begin at once by default: it hides the ways to the workers and back.
    const DEFAULT_BURST: Duration = Duration::from_millis(100);

    /// Returns the burst of a rate that names none: what begins in 100 ms, at least 1.
    pub fn default_burst(limit: f64, per: Duration) -> NonZeroU32 {
        let burst = (limit * Self::DEFAULT_BURST.as_secs_f64() / per.as_secs_f64()).ceil();
        // A float that does not fit is cut to the nearest number that does.
        NonZeroU32::new(burst as u32).unwrap_or(NonZeroU32::MIN)
    }

    /// Tells what is wrong with it, if anything.
    pub fn problem(&self) -> Option<&'static str> {
        if !self.limit.is_finite() || self.limit <= 0.0 {
            return Some("limit must be a number above zero");
        }
        if self.per.is_zero() {
            return Some("per must be longer than zero");
        }
        let each = self.per.as_secs_f64() / self.limit;
        if !(1e-9..=366.0 * 86_400.0).contains(&each) {
            return Some("must let one begin at least once a year, and at most 1,000,000,000 a second");
        }
        None
    }
}

impl RateUnit {
    /// Returns the unit's name as it stands in specs.
    pub fn as_str(self) -> &'static str {
        match self {
            RateUnit::Batches => "batches",
            RateUnit::Rows => "rows",
            RateUnit::Calls => "calls",
        }
    }
}

impl FromStr for Rate {
    type Err = InvalidUnit;

    /// Reads `50/s`, `600/m`, `1.5/10s`, `1000 rows/s`.
    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let invalid = || InvalidUnit {
            what: "rate",
            text: text.to_owned(),
            want: "how many in a time, as in 50/s, 600/m, 1000 rows/s, 3 calls/10s",
        };
        let (amount, time) = text.trim().split_once('/').ok_or_else(invalid)?;
        let amount = amount.trim();
        let end = amount
            .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .unwrap_or(amount.len());
        let (number, unit) = amount.split_at(end);
        let limit: f64 = number.parse().map_err(|_| invalid())?;
        let unit = match unit.trim() {
            "" | "batches" => RateUnit::Batches,
            "rows" => RateUnit::Rows,
            "calls" => RateUnit::Calls,
            _ => return Err(invalid()),
        };
        let time = time.trim();
        let is_bare_unit = time.starts_with(|letter: char| letter.is_alphabetic());
        let per = if is_bare_unit {
            parse_duration(&format!("1{time}"))
        } else {
            parse_duration(time)
        };
        let per = per.map_err(|_| invalid())?;
        let burst = NonZeroU32::MIN;
        let rate = Rate {
            limit,
            per,
            burst,
            unit,
        };
        if rate.problem().is_some() {
            return Err(invalid());
        }
        Ok(Rate {
            burst: Rate::default_burst(limit, per),
            ..rate
        })
    }
}

impl Weight {
    /// How much lighter or heavier than 1 a run can be made.
    const RANGE: std::ops::RangeInclusive<f64> = 0.001..=1_000.0;

    /// Makes a weight of 0.001 to 1,000, in steps of 0.001.
    pub fn new(weight: f64) -> Option<Weight> {
        let in_range = Self::RANGE.contains(&weight);
        in_range
            .then(|| (weight * 1_000.0).round() as u32)
            .and_then(NonZeroU32::new)
            .map(Weight)
    }

    /// Returns it in thousandths.
    pub fn thousandths(self) -> NonZeroU32 {
        self.0
    }

    /// Returns it as a number.
    pub fn get(self) -> f64 {
        f64::from(self.0.get()) / 1_000.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Weight(NonZeroU32::new(1_000).expect("is not zero"))
    }
}

impl<T: Copy> Change<T> {
    /// Changes a limit.
    pub fn apply(self, limit: &mut Option<T>) {
        match self {
            Change::Keep => {}
            Change::Set(value) => *limit = Some(value),
            Change::Remove => *limit = None,
        }
    }

    /// Returns what this change and a later one come to.
    pub fn then(self, later: Change<T>) -> Change<T> {
        match later {
            Change::Keep => self,
            Change::Set(_) | Change::Remove => later,
        }
    }
}

impl LimitsChange {
    /// Tells whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == LimitsChange::default()
    }

    /// Puts a later change upon this one.
    pub fn add(&mut self, later: &LimitsChange) {
        self.max_concurrent = self.max_concurrent.then(later.max_concurrent);
        self.max_in_flight = self.max_in_flight.then(later.max_in_flight);
        self.max_in_flight_bytes = self.max_in_flight_bytes.then(later.max_in_flight_bytes);
        self.max_committing = self.max_committing.then(later.max_committing);
        self.weight = self.weight.then(later.weight);
        for (op, later) in &later.ops {
            let change = self.ops.entry(*op).or_default();
            change.max_concurrent = change.max_concurrent.then(later.max_concurrent);
            change.rate = change.rate.then(later.rate);
        }
    }

    /// Returns a job with the changed limits.
    pub fn apply(&self, job: &Job) -> Job {
        let mut changed = job.clone();
        let schedule = &mut changed.schedule;
        self.max_concurrent.apply(&mut schedule.max_concurrent);
        self.max_in_flight.apply(&mut schedule.max_in_flight);
        self.max_in_flight_bytes.apply(&mut schedule.max_in_flight_bytes);
        let mut committing = Some(schedule.max_committing);
        self.max_committing.apply(&mut committing);
        schedule.max_committing = committing.unwrap_or(Schedule::DEFAULT_COMMITTING);
        let mut weight = Some(schedule.weight);
        self.weight.apply(&mut weight);
        schedule.weight = weight.unwrap_or_default();
        for (op, change) in &self.ops {
            if let Some(op) = changed.ops.get_mut(op.index()) {
                change.max_concurrent.apply(&mut op.max_concurrent);
                change.rate.apply(&mut op.rate);
            }
        }
        changed
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Rate {
    /// Prints it as it is read, such as `50/1s` or `1000 rows/1s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            RateUnit::Batches => write!(f, "{}/{:?}", self.limit, self.per),
            RateUnit::Rows | RateUnit::Calls => write!(f, "{} {}/{:?}", self.limit, self.unit.as_str(), self.per),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())
    }
}

impl<T: fmt::Display> Change<T> {
    fn describe(&self, name: &str, said: &mut Vec<String>) {
        match self {
            Change::Keep => {}
            Change::Set(value) => said.push(format!("{name}={value}")),
            Change::Remove => said.push(format!("{name}=none")),
        }
    }
}

impl fmt::Display for LimitsChange {
    /// Says what is changed, such as `max_concurrent=8 op2.rate=50/1s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        self.max_concurrent.describe("max_concurrent", &mut said);
        self.max_in_flight.describe("max_in_flight", &mut said);
        let bytes = match self.max_in_flight_bytes {
            Change::Keep => Change::Keep,
            Change::Set(bytes) => Change::Set(ByteSize(bytes.get())),
            Change::Remove => Change::Remove,
        };
        bytes.describe("max_in_flight_bytes", &mut said);
        self.max_committing.describe("max_committing", &mut said);
        self.weight.describe("weight", &mut said);
        for (op, change) in &self.ops {
            change
                .max_concurrent
                .describe(&format!("op{}.max_concurrent", op.0), &mut said);
            change.rate.describe(&format!("op{}.rate", op.0), &mut said);
        }
        f.write_str(&said.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_as_people_write_them_and_print_so_that_they_read_back() {
        let rate: Rate = "50/s".parse().expect("is a rate");
        assert_eq!(
            (rate.limit, rate.per, rate.burst.get()),
            (50.0, Duration::from_secs(1), 5)
        );
        assert_eq!(rate.to_string().parse(), Ok(rate));
        let rows: Rate = "1000 rows/m".parse().expect("is a rate");
        assert_eq!(
            (rows.unit, rows.per, rows.burst.get()),
            (RateUnit::Rows, Duration::from_secs(60), 2)
        );
        assert_eq!(rows.to_string().parse(), Ok(rows));
        assert_eq!(
            "3 calls/10s".parse::<Rate>().map(|rate| rate.per),
            Ok(Duration::from_secs(10))
        );
        for wrong in [
            "",
            "50",
            "/s",
            "50/",
            "0/s",
            "-1/s",
            "50/0s",
            "50 pages/s",
            "5/fortnight",
            "1e9/s",
        ] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_later_change_of_a_limit_wins_and_others_stay() {
        let set = |cap| LimitsChange {
            max_concurrent: Change::Set(NonZeroU32::new(cap).expect("is not zero")),
            ..LimitsChange::default()
        };
        let mut both = set(8);
        both.weight = Change::Set(Weight::new(2.0).expect("is a weight"));
        both.add(&set(3));
        assert_eq!(both.to_string(), "max_concurrent=3 weight=2");
        both.add(&LimitsChange {
            max_concurrent: Change::Remove,
            ..LimitsChange::default()
        });
        assert_eq!(both.to_string(), "max_concurrent=none weight=2");
    }

    #[test]
    fn weights_are_thousandths() {
        assert_eq!(Weight::new(0.5).map(|weight| weight.thousandths().get()), Some(500));
        assert!(Weight::new(0.0).is_none() && Weight::new(f64::NAN).is_none() && Weight::new(1_001.0).is_none());
    }
}
