//! Which batches are committed: whole ones as intervals, halves one by one until both of a batch are.
//!
//! Memory follows the gaps between whole batches, and the halves whose other half is not committed: those beside a
//! row that failed, one for each time that its batch was halved.

use std::collections::BTreeSet;

use common::ids::{BatchId, Halves};
use serde::{Deserialize, Serialize};

use crate::journal::intervals::{Insertion, Intervals};

/// A set of committed batches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    whole: Intervals,
    halves: BTreeSet<BatchId>,
}

impl Committed {
    /// Adds a batch; two halves become the batch that they are halves of.
    pub fn insert(&mut self, batch: BatchId) -> Insertion {
        if self.contains(batch) {
            return Insertion::Known;
        }
        let mut added = batch;
        while let Some((parent, other)) = parent_and_sibling(added) {
            if !self.halves.remove(&other) {
                self.halves.insert(added);
                return Insertion::New;
            }
            added = parent;
        }
        self.whole.insert(added.index)
    }

    /// Tells whether a batch is committed: itself, one that it is a part of, or all of its parts.
    pub fn contains(&self, batch: BatchId) -> bool {
        if self.whole.contains(batch.index) {
            return true;
        }
        let mut part = Some(batch);
        while let Some(id) = part {
            if self.halves.contains(&id) {
                return true;
            }
            part = parent_and_sibling(id).map(|(parent, _)| parent);
        }
        false
    }

    /// Tells whether some halves of a batch are committed, and not all.
    pub fn holds_halves_of(&self, index: u64) -> bool {
        let first = BatchId::whole(index);
        let after = BatchId::whole(index.saturating_add(1));
        self.halves.range(first..after).next().is_some()
    }

    /// Returns the whole batches as ranges (first, after the last), in order.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.whole.ranges()
    }

    /// Returns the halves whose other half is not committed, in order.
    pub fn halves(&self) -> impl Iterator<Item = BatchId> + '_ {
        self.halves.iter().copied()
    }
}

/// Returns the batch that a half is of, and its other half; `None` for a whole batch.
fn parent_and_sibling(batch: BatchId) -> Option<(BatchId, BatchId)> {
    let mut turns: Vec<u8> = batch.halves.turns().collect();
    let last = turns.pop()?;
    let of = |turns: &[u8]| {
        let halves = Halves::from_turns(turns.iter().copied())?;
        Some(BatchId { halves, ..batch })
    };
    let parent = of(&turns)?;
    turns.push(1 - last);
    Some((parent, of(&turns)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(name: &str) -> BatchId {
        name.parse().expect("is a batch")
    }

    #[test]
    fn two_halves_become_their_batch_all_the_way_up() {
        let mut committed = Committed::default();
        for name in ["12.0.1", "12.1", "11"] {
            assert_eq!(committed.insert(batch(name)), Insertion::New);
        }
        assert!(!committed.contains(batch("12")) && !committed.contains(batch("12.0")));
        assert!(committed.contains(batch("12.1.0")), "it is a part of a committed half");
        assert!(committed.holds_halves_of(12) && !committed.holds_halves_of(11));
        assert_eq!(committed.insert(batch("12.0.0")), Insertion::New);
        assert!(committed.contains(batch("12")));
        assert_eq!(committed.halves().count(), 0);
        assert_eq!(committed.ranges().collect::<Vec<_>>(), [(11, 13)]);
        assert_eq!(committed.insert(batch("12.0.1")), Insertion::Known);
    }
}
