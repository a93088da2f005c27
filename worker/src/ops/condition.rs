//! A comparison of one column's values with a fixed one, as `filter` and `require` make it.
//!
//! When the value to compare with reads as a number, values are compared as numbers, and one that is no number never
//! matches, not even as unequal; otherwise values are compared as text, byte by byte. `IsNull` finds empty fields.

use std::cmp::Ordering;

use common::job::Comparison;

use crate::column::TextColumn;

/// What is asked of a value.
pub(super) struct Condition {
    comparison: Comparison,
    value: String,
    /// The value, if it reads as a number.
    number: Option<f64>,
}

impl Condition {
    /// Prepares a comparison.
    pub(super) fn new(comparison: Comparison, value: &str) -> Condition {
        Condition {
            comparison,
            value: value.to_owned(),
            number: as_number(value),
        }
    }

    /// Tells of each row of a column whether it holds.
    pub(super) fn of_rows<'a>(&'a self, column: TextColumn<'a>, rows: usize) -> impl Iterator<Item = bool> + 'a {
        let mut text = Vec::new();
        (0..rows).map(move |row| match column {
            TextColumn::Text(values) => self.holds(values.value(row)),
            TextColumn::Integer(_) => {
                text.clear();
                column.append(row, &mut text);
                self.holds(&String::from_utf8_lossy(&text))
            }
        })
    }

    fn holds(&self, text: &str) -> bool {
        let ordering = match self.number {
            Some(number) => as_number(text).and_then(|found| found.partial_cmp(&number)),
            None => Some(text.cmp(&self.value)),
        };
        match self.comparison {
            Comparison::IsNull => text.is_empty(),
            Comparison::IsNotNull => !text.is_empty(),
            Comparison::Eq => ordering.is_some_and(Ordering::is_eq),
            Comparison::Ne => ordering.is_some_and(Ordering::is_ne),
            Comparison::Lt => ordering.is_some_and(Ordering::is_lt),
            Comparison::Le => ordering.is_some_and(Ordering::is_le),
            Comparison::Gt => ordering.is_some_and(Ordering::is_gt),
            Comparison::Ge => ordering.is_some_and(Ordering::is_ge),
        }
    }
}

fn as_number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| !number.is_nan())
}
