//! Numbers as people read them: the same words on every page.

use std::time::Duration;

use common::summary::RunSummary;
use common::time::Time;

/// Writes a count with its thousands apart.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes bytes in the largest unit that leaves at least one.
pub(super) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = value as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 || amount >= 100.0 {
        format!("{amount:.0} {}", UNITS[unit])
    } else {
        format!("{amount:.1} {}", UNITS[unit])
    }
}

/// Writes a duration in one or two units.
pub(super) fn seconds(value: f64) -> String {
    let whole = Duration::try_from_secs_f64(value.max(0.0))
        .unwrap_or(Duration::MAX)
        .as_secs();
    match whole {
        0..60 if value < 0.0995 => format!("{:.0} ms", value * 1e3),
        0..60 => format!("{value:.1} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        days => format!("{} d {} h", days / 86_400, days % 86_400 / 3_600),
    }
}

/// Writes how long ago something was.
pub(super) fn ago(then: Time, now: Time) -> String {
    match now.since(then).as_secs() {
        0..5 => "just now".to_owned(),
        past @ 5..60 => format!("{past} s ago"),
        past @ 60..3_600 => format!("{} min ago", past / 60),
        past @ 3_600..86_400 => format!("{} h ago", past / 3_600),
        past => format!("{} d ago", past / 86_400),
    }
}

/// Writes a share of a whole; only what is whole is 100 %, and only what is nothing is 0 %.
pub(super) fn percent(share: f64) -> String {
    let hundredths = share * 100.0;
    match hundredths {
        ..0.0001 => "0 %".to_owned(),
        0.0001..1.0 => "< 1 %".to_owned(),
        99.0..100.0 => "99 %".to_owned(),
        _ => format!("{hundredths:.0} %"),
    }
}

/// Writes a state as words.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// How far a run is, in shares of the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shares {
    /// Batches committed.
    pub(super) done: f64,
    /// Batches failed for good.
    pub(super) failed: f64,
    /// Batches in flight or committing.
    pub(super) in_flight: f64,
}

/// Estimates how many batches a run has: exactly once all is sharded, else by the bytes sharded so far.
pub(super) fn estimated_total(summary: &RunSummary) -> u64 {
    let known = summary.batches.total;
    let bytes = summary.source_bytes;
    if summary.total_is_exact || bytes.done == 0 {
        return known;
    }
    let estimate = known as f64 * bytes.total as f64 / bytes.done as f64;
    known.max(estimate.ceil() as u64)
}

/// Returns how far a run is.
pub(super) fn shares(summary: &RunSummary) -> Shares {
    let total = estimated_total(summary).max(1) as f64;
    Shares {
        done: summary.batches.committed as f64 / total,
        failed: summary.batches.failed as f64 / total,
        in_flight: (summary.batches_in_flight.now + summary.committing.now) as f64 / total,
    }
}

/// Estimates the seconds until a run ends, by its mean speed so far; `None` while there is nothing to go by.
pub(super) fn seconds_left(summary: &RunSummary, now: Time) -> Option<f64> {
    let ended = summary.batches.committed + summary.batches.failed;
    if summary.state.is_terminal() || summary.batches.committed == 0 {
        return None;
    }
    let left = estimated_total(summary).saturating_sub(ended);
    Some(summary.wall_seconds(now) * left as f64 / ended as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [bytes(17), bytes(1_536), bytes(300 << 20)],
            ["17 B", "1.5 KiB", "300 MiB"]
        );
        assert_eq!(
            [seconds(0.002), seconds(12.34), seconds(75.0)],
            ["2 ms", "12.3 s", "1 min 15 s"]
        );
        assert_eq!(seconds(90_061.0), "1 d 1 h");
        let shares = [0.0, 0.0001, 0.5, 0.9999, 1.0];
        assert_eq!(shares.map(percent), ["0 %", "< 1 %", "50 %", "99 %", "100 %"]);
        assert_eq!(ago(Time(0), Time(61_000_000_000)), "1 min ago");
    }
}
