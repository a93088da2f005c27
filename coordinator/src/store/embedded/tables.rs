//! What is stored, where: one table a concept, their keys and the life of their rows.
//!
//! | table | key | value | life |
//! |---|---|---|---|
//! | `meta` | name | number | the file's |
//! | `records` | the first one's sequence | a group of [`scheduler::Record`]s | until the next snapshot |
//! | `ledger` | one row | [`scheduler::Ledger`] without ended runs: the snapshot | replaced by the next |
//! | `ended` | run | [`scheduler::EndedRun`] | until the run is forgotten |
//! | `checkpoints of rN` | number of the block | a [`CheckpointBlock`]: the checkpoints of neighbouring batches that are in the snapshot, those of committed batches too | until the run is forgotten |
//! | `parts of rN` | number of the block | a [`Block`]: the parts of neighbouring batches that are in the snapshot | until the run ends; of one that may be reopened, until it is forgotten |
//!
//! [`Block`]: crate::store::packed::Block
//! [`CheckpointBlock`]: crate::store::packed::checkpoints::CheckpointBlock

use common::ids::RunId;
use redb::TableDefinition;

/// The newest format that is known. Raised with every change of a stored type.
pub(super) const FORMAT: u32 = 10;
/// The row of `meta` that holds the format.
pub(super) const FORMAT_ROW: &str = "format";

pub(super) const META: TableDefinition<&str, u32> = TableDefinition::new("meta");
pub(super) const RECORDS: TableDefinition<u64, &[u8]> = TableDefinition::new("records");
pub(super) const LEDGER: TableDefinition<(), &[u8]> = TableDefinition::new("ledger");
pub(super) const ENDED: TableDefinition<u64, &[u8]> = TableDefinition::new("ended");

/// Returns the name of a run's table of parts.
pub(super) fn parts_name(run: RunId) -> String {
    format!("parts of {run}")
}

/// Returns the name of a run's table of checkpoints.
pub(super) fn checkpoints_name(run: RunId) -> String {
    format!("checkpoints of {run}")
}

/// Returns a run's table of blocks.
pub(super) fn blocks_table(name: &str) -> TableDefinition<'_, u64, &'static [u8]> {
    TableDefinition::new(name)
}
