//! Collecting what is wrong with a spec: every field is looked at, and one that is wrong takes its default for the rest.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use common::job::{FieldProblem, InvalidJob};

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<FieldProblem>);

impl Problems {
    /// Adds a problem of a field.
    pub(super) fn add(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.0.push(FieldProblem::new(path, problem));
    }

    /// Returns the problems.
    pub(super) fn into_inner(self) -> Vec<FieldProblem> {
        self.0
    }

    /// Returns what was read, or the problems if there are any.
    pub(super) fn none_or<T>(self, read: T) -> Result<T, InvalidJob> {
        if self.0.is_empty() {
            return Ok(read);
        }
        Err(InvalidJob { problems: self.0 })
    }

    /// Reads a count of which zero is an error.
    pub(super) fn count(&mut self, path: impl Into<String>, value: Option<u32>) -> Option<NonZeroU32> {
        let count = NonZeroU32::new(value?);
        if count.is_none() {
            self.add(path, ZERO);
        }
        count
    }

    /// Reads a size of which zero is an error.
    pub(super) fn size(&mut self, path: impl Into<String>, value: Option<u64>) -> Option<NonZeroU64> {
        let size = NonZeroU64::new(value?);
        if size.is_none() {
            self.add(path, ZERO);
        }
        size
    }

    /// Reads a duration of which zero is allowed.
    pub(super) fn duration(
        &mut self,
        path: impl Into<String>,
        value: Option<prost_types::Duration>,
    ) -> Option<Duration> {
        match Duration::try_from(value?) {
            Ok(duration) => Some(duration),
            Err(_) => {
                self.add(path, "must be a duration that is not negative, such as 0.5s");
                None
            }
        }
    }

    /// Reads an enum's number as one of its values.
    pub(super) fn known<E: TryFrom<i32>>(&mut self, path: impl Into<String>, number: i32) -> Option<E> {
        match E::try_from(number) {
            Ok(value) => Some(value),
            Err(_) => {
                self.add(
                    path,
                    format!("has the value {number}, which this version does not know"),
                );
                None
            }
        }
    }
}

const ZERO: &str = "must be at least 1; leave it out for the default";
