//! Failed attempts, grouped by what is the same about them: the op, and the error with its numbers removed.
//!
//! Known weakness: beyond [`Failures::MAX_GROUPS`] kinds of errors all others of an op are one group, and only the
//! first failed attempts, [`Failures::MAX_TASKS`] or [`Failures::MAX_TEXT`] bytes of them, can be asked for their error;
//! the others are counted, and the run's log has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::failure::{Failure, FailureKind};
use common::ids::{BatchId, WorkerName};

/// What went wrong in a run.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    groups: BTreeMap<(u16, String), Group>,
    of_task: BTreeMap<u64, Arc<Failure>>,
    /// The bytes of the errors that are kept one by one.
    text: usize,
    /// Failed attempts whose own error is not kept.
    pub dropped: u64,
}

/// Failures that differ in numbers only.
#[derive(Clone, Debug)]
pub struct Group {
    /// The op.
    pub op: u16,
    /// The error with `#` for every number.
    pub error: String,
    /// The first such error as it was.
    pub example: Arc<Failure>,
    /// How many attempts failed so.
    pub attempts: u64,
    /// The first task of them, by its place in the chart.
    pub first_task: u64,
    /// The batches, the first ones only.
    pub batches: BTreeSet<BatchId>,
    /// The workers, the first ones only.
    pub workers: BTreeSet<WorkerName>,
    /// When the first one ended.
    pub first_us: u64,
    /// When the last one ended.
    pub last_us: u64,
}

/// A failed attempt.
pub(crate) struct Failed<'a> {
    pub(crate) id: u64,
    pub(crate) op: u16,
    pub(crate) batch: Option<BatchId>,
    pub(crate) worker: &'a WorkerName,
    pub(crate) ended: u64,
    pub(crate) failure: &'a Failure,
}

impl Failures {
    const MAX_GROUPS: usize = 500;
    const MAX_TASKS: usize = 20_000;
    const MAX_TEXT: usize = 4 << 20;
    const MAX_NAMES: usize = 20;

    pub(crate) fn add(&mut self, failed: &Failed<'_>) {
        let failure = Arc::new(failed.failure.clone());
        let mut error = without_numbers(&failure.message);
        if self.groups.len() >= Self::MAX_GROUPS && !self.groups.contains_key(&(failed.op, error.clone())) {
            error = "other errors".to_owned();
        }
        let group = self.groups.entry((failed.op, error.clone())).or_insert_with(|| Group {
            op: failed.op,
            error,
            example: failure.clone(),
            attempts: 0,
            first_task: failed.id,
            batches: BTreeSet::new(),
            workers: BTreeSet::new(),
            first_us: failed.ended,
            last_us: failed.ended,
        });
        group.attempts += 1;
        group.first_us = group.first_us.min(failed.ended);
        group.last_us = group.last_us.max(failed.ended);
        if group.batches.len() < Self::MAX_NAMES {
            group.batches.extend(failed.batch);
        }
        if group.workers.len() < Self::MAX_NAMES {
            group.workers.insert(failed.worker.clone());
        }
        if self.of_task.len() < Self::MAX_TASKS && self.text < Self::MAX_TEXT {
            self.text += failed.failure.message.len();
            let same = group.example == failure;
            let kept = if same { group.example.clone() } else { failure };
            self.of_task.insert(failed.id, kept);
        } else {
            self.dropped += 1;
        }
    }

    /// Returns the groups, the one with the most attempts first.
    pub fn groups(&self) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.groups.values().collect();
        groups.sort_by_key(|group| (std::cmp::Reverse(group.attempts), group.first_us));
        groups
    }

    /// Returns why an attempt failed, if that is kept.
    pub fn of_task(&self, id: u64) -> Option<&Failure> {
        self.of_task.get(&id).map(AsRef::as_ref)
    }

    /// Returns the failures of the tasks from a place on, in order.
    pub(crate) fn from(&self, id: u64) -> impl Iterator<Item = (u64, &Failure)> {
        self.of_task.range(id..).map(|(id, failure)| (*id, failure.as_ref()))
    }

    /// Returns the kind of a failure that nobody described.
    pub(crate) fn unknown() -> Failure {
        Failure::new(FailureKind::Permanent, "the error was not kept")
    }
}

/// Puts `#` in the place of every number.
pub(crate) fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_differ_in_numbers_only_are_one_group() {
        let worker = WorkerName::new("w1").expect("a name");
        let mut failures = Failures::default();
        for line in [7_u64, 123] {
            failures.add(&Failed {
                id: line,
                op: 1,
                batch: Some(line.into()),
                worker: &worker,
                ended: line,
                failure: &Failure::bad_input(format!("line {line} of a.csv has 3 fields")),
            });
        }
        let groups = failures.groups();
        assert_eq!(groups.len(), 1);
        assert_eq!(
            (groups[0].error.as_str(), groups[0].attempts),
            ("line # of a.csv has # fields", 2)
        );
        assert_eq!(
            failures.of_task(123).expect("is kept").message,
            "line 123 of a.csv has 3 fields"
        );
    }
}
