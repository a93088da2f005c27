//! Sizes and durations as people write them: `8MiB`, `1.5GB`, `250ms`, `1m30s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A number of bytes. Reads `512`, `64KiB`, `8MiB`, `2GiB`, `1TiB` and the decimal `kB`, `MB`, `GB`, `TB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ByteSize(pub u64);

/// A text that is no size or no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: write {want}")]
pub struct InvalidUnit {
    /// What was wanted.
    pub what: &'static str,
    /// What was given.
    pub text: String,
    /// Examples of what is accepted.
    pub want: &'static str,
}

const BYTE_UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

impl FromStr for ByteSize {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let invalid = || InvalidUnit {
            what: "size",
            text: text.to_owned(),
            want: "a number of bytes, or one with a unit as in 64KiB, 8MiB, 2GB",
        };
        let (number, unit) = split_unit(text.trim());
        let scale = match unit {
            "" => 1,
            named => BYTE_UNITS
                .iter()
                .find(|(name, _)| *name == named)
                .map(|(_, scale)| *scale)
                .ok_or_else(invalid)?,
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(scale).map(ByteSize).ok_or_else(invalid);
        }
        let fraction: f64 = number.parse().map_err(|_| invalid())?;
        let bytes = (fraction * scale as f64).round();
        if !(0.0..=9e18).contains(&bytes) {
            return Err(invalid());
        }
        Ok(ByteSize(bytes as u64))
    }
}

impl fmt::Display for ByteSize {
    /// Prints the largest binary unit with one decimal, as in `8.0 MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            ("TiB", 1_u64 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ];
        match units.iter().find(|(_, scale)| self.0 >= *scale) {
            Some((unit, scale)) => write!(f, "{:.1} {unit}", self.0 as f64 / *scale as f64),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// Reads a duration such as `10ms`, `1s`, `1.5s`, `2m`, `1h30m`, `500us`, `20ns`, `1d`; a bare `0` is zero.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidUnit> {
    let invalid = || InvalidUnit {
        what: "duration",
        text: text.to_owned(),
        want: "a number with a unit, as in 10ms, 1.5s, 2m, 1h30m",
    };
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let (number, tail) = split_unit(rest);
        let unit_len = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at(unit_len);
        let nanos = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" | "min" => 60e9,
            "h" => 3600e9,
            "d" => 86_400e9,
            _ => return Err(invalid()),
        };
        total += number.parse::<f64>().map_err(|_| invalid())? * nanos;
        rest = after.trim_start();
    }
    if !(0.0..=9.2e18).contains(&total) {
        return Err(invalid());
    }
    Ok(Duration::from_nanos(total.round() as u64))
}

/// Splits the leading digits and points from what follows them, white space between them dropped.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!("8MiB".parse(), Ok(ByteSize(8 << 20)));
        assert_eq!("1.5 GB".parse(), Ok(ByteSize(1_500_000_000)));
        assert_eq!("512".parse(), Ok(ByteSize(512)));
        for wrong in ["", "MiB", "8 MiBs", "-1", "1e30TB", "99999999999TiB"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_print_in_the_largest_unit() {
        assert_eq!(ByteSize(8 << 20).to_string(), "8.0 MiB");
        assert_eq!(ByteSize(17).to_string(), "17 B");
    }

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!(parse_duration("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        for wrong in ["", "10", "ms", "1 fortnight", "-1s", "1s2"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
