//! Judges over what workers reported, which share no code with the program.
//!
//! Times come from the workers' own clocks, mapped to the coordinator's with a small error: two attempts on different
//! workers count as overlapping only when they do so by more than [`CLOCK_ERROR`].

use std::collections::BTreeMap;

use crate::report::Attempt;

/// What the mapping of two workers' clocks may be off by, in seconds.
pub const CLOCK_ERROR: f64 = 0.002;

/// Returns how many attempts ran at once at the most, by a sweep over their starts and ends.
pub fn most_at_once<'a>(attempts: impl IntoIterator<Item = &'a Attempt>) -> usize {
    let mut events = Vec::new();
    for (start, end) in attempts.into_iter().filter_map(Attempt::interval) {
        let certain_end = end - CLOCK_ERROR;
        if certain_end > start {
            events.push((start, 1_i64));
            events.push((certain_end, -1));
        }
    }
    // At one moment ends come before starts.
    events.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut running = 0_i64;
    let mut most = 0;
    for (_, change) in events {
        running += change;
        most = most.max(running);
    }
    usize::try_from(most).expect("no attempt ends before it starts")
}

/// Checks that never more attempts ran at once than the cap allows, nor more than one in a slot.
///
/// # Panics
/// If they did.
pub fn expect_cap(attempts: &[Attempt], cap: usize) {
    let most = most_at_once(attempts);
    assert!(
        most <= cap,
        "{most} tasks at once with a cap of {cap}:\n{}",
        print(attempts)
    );
    let mut slots: BTreeMap<(&str, u32), Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts {
        slots.entry((&attempt.worker, attempt.slot)).or_default().push(attempt);
    }
    for ((worker, slot), attempts) in slots {
        assert!(
            most_at_once(attempts) <= 1,
            "two tasks at once in slot {slot} of {worker}"
        );
    }
}

/// Checks that whatever begins between two moments finds fewer running than the limit allows; with a limit of 0, that
/// nothing begins. What began before may be more.
///
/// # Panics
/// If something begins above the limit.
pub fn expect_nothing_begins_above(attempts: &[Attempt], limit: usize, from: f64, to: f64) {
    for (index, begun) in attempts.iter().enumerate() {
        let Some(at) = begun.started.filter(|at| *at > from + CLOCK_ERROR && *at < to) else {
            continue;
        };
        let others = attempts.iter().enumerate().filter(|(other, _)| *other != index);
        let intervals = others.filter_map(|(_, other)| other.interval());
        let running = intervals
            .filter(|(start, end)| *start <= at && *end > at + CLOCK_ERROR)
            .count();
        assert!(
            running < limit,
            "{running} run when {begun:?} begins, between {from} and {to} with a limit of {limit}:\n{}",
            print(attempts)
        );
    }
}

/// Returns when an op started, in order.
pub fn starts(attempts: &[Attempt], op: &str) -> Vec<f64> {
    let of_op = attempts.iter().filter(|attempt| attempt.op == op);
    let mut starts: Vec<f64> = of_op.filter_map(|attempt| attempt.started).collect();
    starts.sort_by(f64::total_cmp);
    starts
}

/// Returns the most of some ordered moments that lie within so many seconds.
pub fn most_within(moments: &[f64], seconds: f64) -> usize {
    let from = |first: usize| {
        moments[first..]
            .iter()
            .take_while(move |at| **at < moments[first] + seconds)
    };
    (0..moments.len()).map(|first| from(first).count()).max().unwrap_or(0)
}

/// Leaves out the tasks over the whole run, such as the join of one file.
fn of_batches(attempts: &[Attempt]) -> impl Iterator<Item = &Attempt> {
    attempts.iter().filter(|attempt| attempt.batch.is_some())
}

/// Checks that an op never starts on a batch before an attempt of the op before it has succeeded there.
///
/// # Panics
/// If one did.
pub fn expect_order(attempts: &[Attempt], ops: &[&str]) {
    expect_order_with(attempts, ops, Missing::IsWrong);
}

/// Checks the same where rows may be missing: what is known of the op before has to come before.
///
/// # Panics
/// If it does not.
pub fn expect_order_where_known(attempts: &[Attempt], ops: &[&str]) {
    expect_order_with(attempts, ops, Missing::IsUnknown);
}

/// What it means that no attempt of the op before is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    IsWrong,
    IsUnknown,
}

fn expect_order_with(attempts: &[Attempt], ops: &[&str], missing: Missing) {
    for pair in ops.windows(2) {
        for attempt in of_batches(attempts).filter(|attempt| attempt.op == pair[1]) {
            let started = attempt.started.expect("an attempt that is reported has started");
            let before = || {
                attempts
                    .iter()
                    .filter(|other| other.op == pair[0] && other.batch == attempt.batch)
            };
            let succeeded = before().filter(|other| other.succeeded());
            let earliest = succeeded.filter_map(|other| other.finished).reduce(f64::min);
            let is_complete = before().map(|other| other.attempt).max() == u32::try_from(before().count()).ok();
            let may_be_missing = missing == Missing::IsUnknown && !is_complete;
            let in_order = may_be_missing || earliest.is_some_and(|ended| ended <= started + CLOCK_ERROR);
            assert!(
                in_order,
                "{attempt:?} started before {} had succeeded ({earliest:?})",
                pair[0]
            );
        }
    }
}

/// Checks that every op succeeded exactly once on every batch: nothing is forgotten, and nothing is run twice for
/// nothing. Holds where no worker is lost.
///
/// # Panics
/// If not.
pub fn expect_each_task_once(attempts: &[Attempt], ops: &[&str], batches: u64) {
    for op in ops {
        let mut done: Vec<u64> = of_batches(attempts)
            .filter(|attempt| attempt.op == *op && attempt.succeeded())
            .map(Attempt::batch_number)
            .collect();
        done.sort_unstable();
        assert_eq!(
            done,
            (0..batches).collect::<Vec<_>>(),
            "the batches on which {op} succeeded"
        );
    }
}

/// Returns how many batches were between their first start and the end of their last attempt at once, at the most.
pub fn most_batches_in_flight(attempts: &[Attempt]) -> usize {
    let mut spans: BTreeMap<&str, Attempt> = BTreeMap::new();
    for attempt in attempts {
        let (Some(batch), Some((start, end))) = (attempt.batch.as_deref(), attempt.interval()) else {
            continue;
        };
        let span = spans.entry(batch).or_insert_with(|| attempt.clone());
        span.started = span.started.map(|other| other.min(start));
        span.finished = span.finished.map(|other| other.max(end));
    }
    most_at_once(spans.values())
}

/// Returns when an op ended well on a batch.
///
/// # Panics
/// If it never did.
pub fn finished(attempts: &[Attempt], op: &str, batch: u64) -> f64 {
    let of = |attempt: &&Attempt| attempt.op == op && attempt.succeeded() && attempt.batch_number() == batch;
    let found = of_batches(attempts).find(of).and_then(|attempt| attempt.finished);
    found.unwrap_or_else(|| panic!("{op}[{batch}] never ended well:\n{}", print(attempts)))
}

/// Returns when an op first started on a batch.
///
/// # Panics
/// If it never did.
pub fn started(attempts: &[Attempt], op: &str, batch: u64) -> f64 {
    let of = |attempt: &&Attempt| attempt.op == op && attempt.batch_number() == batch;
    let found = of_batches(attempts)
        .filter(of)
        .filter_map(|attempt| attempt.started)
        .reduce(f64::min);
    found.unwrap_or_else(|| panic!("{op}[{batch}] never started:\n{}", print(attempts)))
}

/// Prints a timeline for the message of a failed check.
pub fn print(attempts: &[Attempt]) -> String {
    let line = |attempt: &Attempt| {
        let batch = attempt.batch.as_deref().unwrap_or("");
        let (start, end) = (
            attempt.started.unwrap_or(f64::NAN),
            attempt.finished.unwrap_or(f64::NAN),
        );
        format!(
            "{start:9.4} {end:9.4} {}/{} {}[{batch}]#{} {}",
            attempt.worker, attempt.slot, attempt.op, attempt.attempt, attempt.state
        )
    };
    attempts.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(op: &str, batch: &str, slot: u32, started: f64, finished: f64) -> Attempt {
        Attempt {
            leased: started,
            fetch_started: None,
            committed: None,
            rows_in: 0,
            rows_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            error: None,
            op: op.to_owned(),
            batch: Some(batch.to_owned()),
            attempt: 1,
            worker: "w".to_owned(),
            slot,
            state: "succeeded".to_owned(),
            queued: started,
            started: Some(started),
            finished: Some(finished),
        }
    }

    #[test]
    fn attempts_that_touch_do_not_overlap() {
        let attempts = [attempt("a", "0", 0, 0.0, 1.0), attempt("b", "0", 0, 1.0, 2.0)];
        assert_eq!(most_at_once(&attempts), 1);
        expect_cap(&attempts, 1);
        expect_order(&attempts, &["a", "b"]);
    }

    #[test]
    #[should_panic(expected = "2 tasks at once with a cap of 1")]
    fn the_cap_oracle_sees_an_overlap_on_two_slots() {
        expect_cap(&[attempt("a", "0", 0, 0.0, 1.0), attempt("a", "1", 1, 0.9, 2.0)], 1);
    }

    #[test]
    fn what_begins_at_the_limit_or_began_before_it_was_lowered_is_in_order() {
        let attempts = [
            attempt("a", "0", 0, 0.0, 2.0),
            attempt("a", "1", 1, 0.5, 2.0),
            attempt("a", "2", 0, 2.0, 3.0),
        ];
        expect_nothing_begins_above(&attempts, 1, 1.0, 4.0);
    }

    #[test]
    #[should_panic(expected = "1 run when")]
    fn the_oracle_of_lowered_limits_sees_what_begins_above_one() {
        let attempts = [attempt("a", "0", 0, 0.0, 2.0), attempt("a", "1", 1, 1.5, 1.7)];
        expect_nothing_begins_above(&attempts, 1, 1.0, 4.0);
    }

    #[test]
    #[should_panic(expected = "0 run when")]
    fn the_oracle_of_lowered_limits_sees_what_is_over_in_no_time_where_nothing_may_begin() {
        expect_nothing_begins_above(&[attempt("a", "0", 0, 1.5, 1.5)], 0, 1.0, 4.0);
    }

    #[test]
    fn the_most_within_a_time_are_counted_from_each_of_them_on() {
        assert_eq!(most_within(&[0.0, 0.9, 1.0, 1.1, 1.8], 1.0), 4);
        assert_eq!(most_within(&[], 1.0), 0);
    }

    #[test]
    #[should_panic(expected = "started before a had succeeded")]
    fn the_order_oracle_sees_an_op_that_starts_too_early() {
        expect_order(
            &[attempt("a", "0", 0, 0.0, 1.0), attempt("b", "0", 1, 0.9, 2.0)],
            &["a", "b"],
        );
    }

    #[test]
    #[should_panic(expected = "started before a had succeeded")]
    fn a_row_that_is_missing_excuses_no_other() {
        let attempts = [attempt("a", "0", 0, 0.0, 1.0), attempt("b", "0", 1, 0.9, 2.0)];
        expect_order_where_known(&attempts[1..], &["a", "b"]);
        expect_order_where_known(&attempts, &["a", "b"]);
    }

    #[test]
    fn a_batch_is_in_flight_between_its_tasks_too() {
        let attempts = [
            attempt("a", "0", 0, 0.0, 1.0),
            attempt("a", "1", 0, 1.0, 2.0),
            attempt("b", "0", 0, 2.0, 3.0),
        ];
        assert_eq!((most_at_once(&attempts), most_batches_in_flight(&attempts)), (1, 2));
    }
}
