//! What is stored, where: one table a concept, their keys and the life of their rows.
//!
//! | table | key | value | life |
//! |---|---|---|---|
//! | `meta` | name | number | the file's |
//! | `records` | the first one's sequence | a group of [`scheduler::Record`]s without parts | until the next snapshot |
//! | `ledger` | one row | [`scheduler::Ledger`] without ended runs: the snapshot | replaced by the next |
//! | `ended` | run | [`scheduler::EndedRun`] | until the run is forgotten |
//! | `parts of rN` | batch | its [`common::part::Part`]s | until the run ends; of one that may be reopened, until it is forgotten |

use common::ids::{BatchId, Halves, RunId};
use redb::TableDefinition;

/// The newest format that is known. Raised with every change of a stored type.
pub(super) const FORMAT: u32 = 3;
/// The row of `meta` that holds the format.
pub(super) const FORMAT_ROW: &str = "format";

pub(super) const META: TableDefinition<&str, u32> = TableDefinition::new("meta");
pub(super) const RECORDS: TableDefinition<u64, &[u8]> = TableDefinition::new("records");
pub(super) const LEDGER: TableDefinition<(), &[u8]> = TableDefinition::new("ledger");
pub(super) const ENDED: TableDefinition<u64, &[u8]> = TableDefinition::new("ended");

/// A batch as a key: its index, the turns down to its half from the highest bit, how many they are.
pub(super) type BatchKey = (u64, u32, u8);

/// Returns the name of a run's table of parts.
pub(super) fn parts_name(run: RunId) -> String {
    format!("parts of {run}")
}

/// Returns a run's table of parts.
pub(super) fn parts_table(name: &str) -> TableDefinition<'_, BatchKey, &'static [u8]> {
    TableDefinition::new(name)
}

/// Returns the key of a batch; keys are ordered as batches are.
pub(super) fn batch_key(batch: BatchId) -> BatchKey {
    let turns = batch.halves.turns().zip((0..32).rev());
    let turns = turns.fold(0, |turns, (turn, bit)| turns | u32::from(turn) << bit);
    (batch.index, turns, batch.halves.depth())
}

/// Returns the batch of a key; `None` for one that no batch has.
pub(super) fn batch_of((index, turns, depth): BatchKey) -> Option<BatchId> {
    let turns = (0..32)
        .rev()
        .take(usize::from(depth))
        .map(|bit| u8::from(turns >> bit & 1 == 1));
    let halves = Halves::from_turns(turns)?;
    Some(BatchId { index, halves })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_halves_and_are_ordered_as_they_are() {
        let names = ["11", "12", "12.0", "12.0.1", "12.1", "12.1.0", "13"];
        let mut batches: Vec<BatchId> = names.iter().map(|name| name.parse().expect("a batch")).collect();
        batches.sort();
        let keys: Vec<BatchKey> = batches.iter().copied().map(batch_key).collect();
        assert!(keys.is_sorted());
        assert_eq!(keys.into_iter().filter_map(batch_of).collect::<Vec<_>>(), batches);
    }
}
