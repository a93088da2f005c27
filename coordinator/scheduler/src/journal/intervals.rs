//! A set of numbers that grows mostly without gaps, kept as intervals: memory follows the gaps and not the numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Disjoint, non-adjacent ranges of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intervals {
    /// First number of each range -> the number after its last.
    ranges: BTreeMap<u64, u64>,
}

impl Intervals {
    /// Adds a number, and tells whether it is new.
    pub fn insert(&mut self, number: u64) -> Insertion {
        if self.contains(number) {
            return Insertion::Known;
        }
        let end = self.ranges.remove(&(number + 1)).unwrap_or(number + 1);
        match self.ranges.range_mut(..number).next_back() {
            Some((_, before)) if *before == number => *before = end,
            Some(_) | None => {
                self.ranges.insert(number, end);
            }
        }
        Insertion::New
    }

    /// Tells whether a number is in the set.
    pub fn contains(&self, number: u64) -> bool {
        self.ranges
            .range(..=number)
            .next_back()
            .is_some_and(|(_, end)| number < *end)
    }

    /// Returns the ranges as (first, after the last), in order.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(first, end)| (*first, *end))
    }
}

/// Whether an inserted number was in the set before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It was not.
    New,
    /// It was.
    Known,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_melt_into_one_range() {
        let mut set = Intervals::default();
        for number in [5, 3, 4, 9, 4] {
            set.insert(number);
        }
        assert_eq!(set.ranges().collect::<Vec<_>>(), [(3, 6), (9, 10)]);
        assert!(set.contains(5) && !set.contains(6));
        assert_eq!(set.insert(9), Insertion::Known);
    }
}
