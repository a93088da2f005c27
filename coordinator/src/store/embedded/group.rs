//! Writing one group: everything that was appended since the last one, in one transaction with one fsync.
//!
//! The ledger is kept beside the file by applying the same records. Every [`SNAPSHOT_EVERY`] records, and when a run
//! ends, it becomes the new snapshot in the same transaction in which the records that are in it go away, and the parts
//! in them are packed into blocks.

use std::collections::BTreeMap;

use common::ids::{BatchId, RunId};
use common::part::Part;
use redb::{Database, ReadableTable, TableError, WriteTransaction};
use scheduler::{EndedRun, Ledger, Record};

use super::codec::{Damage, decode, encode};
use super::open::StoreError;
use super::recent::{PartsByBatch, RecentParts};
use super::tables::{ENDED, LEDGER, RECORDS, parts_name, parts_table};
use crate::store::Entry;
use crate::store::packed::Block;

/// After how many records a snapshot is written at the latest.
pub(super) const SNAPSHOT_EVERY: u64 = 10_000;

/// What was asked for since the last group.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) entries: Vec<Entry>,
    pub(super) forgotten: Vec<RunId>,
}

/// The ledger, and how far the snapshot lies behind it.
pub(super) struct State {
    /// Ended runs are not in it: each is a row of its own.
    pub(super) ledger: Ledger,
    /// Records behind the snapshot.
    pub(super) records: u64,
    /// The parts in them.
    pub(super) recent: RecentParts,
}

/// What a group adds.
struct Added {
    /// The runs that it ends.
    ended: Vec<(RunId, EndedRun)>,
    /// The parts that it commits.
    parts: PartsByBatch,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.forgotten.is_empty()
    }

    /// Writes the group durably. After an error the state is of no use any more.
    pub(super) fn commit(&self, database: &Database, state: &mut State) -> Result<(), StoreError> {
        let write = database.begin_write()?;
        let Added { ended, parts } = self.add_up(&write, state)?;
        let is_snapshot = !ended.is_empty() || state.records >= SNAPSHOT_EVERY;
        if is_snapshot {
            fold_parts(&write, state.recent.lock().iter().chain(&parts))?;
            write_snapshot(&write, state)?;
        } else {
            self.write_records(&write)?;
        }
        self.forget(&write)?;
        for (run, ended) in ended {
            write.open_table(ENDED)?.insert(run.0, encode(&ended).as_slice())?;
            if !ended.summary.state.may_be_reopened() {
                delete_parts(&write, run)?;
            }
        }
        write.commit()?;
        let mut recent = state.recent.lock();
        if is_snapshot {
            recent.clear();
        } else {
            recent.extend(parts);
        }
        Ok(())
    }

    /// Applies the records, and returns the runs that they ended and the parts that they committed.
    fn add_up(&self, write: &WriteTransaction, state: &mut State) -> Result<Added, StoreError> {
        let mut parts = PartsByBatch::new();
        for Entry { sequence, record } in &self.entries {
            state.ledger.apply(*sequence, record);
            state.records += 1;
            add_parts(&mut parts, record);
            if let Record::RunReopened { run, .. } = record {
                write.open_table(ENDED)?.remove(run.0)?;
            }
        }
        let ended = std::mem::take(&mut state.ledger.ended).into_iter().collect();
        Ok(Added { ended, parts })
    }

    fn write_records(&self, write: &WriteTransaction) -> Result<(), StoreError> {
        let Some(first) = self.entries.first() else {
            return Ok(());
        };
        let records: Vec<&Record> = self.entries.iter().map(|entry| &entry.record).collect();
        write
            .open_table(RECORDS)?
            .insert(first.sequence.0, encode(&records).as_slice())?;
        Ok(())
    }

    fn forget(&self, write: &WriteTransaction) -> Result<(), StoreError> {
        for run in &self.forgotten {
            write.open_table(ENDED)?.remove(run.0)?;
            delete_parts(write, *run)?;
        }
        Ok(())
    }
}

/// Adds the parts that a record commits.
pub(super) fn add_parts(to: &mut PartsByBatch, record: &Record) {
    if let Record::BatchCommitted { run, batch, parts, .. } = record
        && !parts.is_empty()
    {
        to.insert((*run, *batch), parts.clone());
    }
}

/// Adds parts to the blocks that they belong to.
fn fold_parts<'a>(
    write: &WriteTransaction,
    parts: impl Iterator<Item = (&'a (RunId, BatchId), &'a Vec<Part>)>,
) -> Result<(), StoreError> {
    let mut blocks: BTreeMap<(RunId, u64), BTreeMap<BatchId, Vec<Part>>> = BTreeMap::new();
    for ((run, batch), parts) in parts {
        let block = blocks.entry((*run, Block::of(*batch))).or_default();
        block.insert(*batch, parts.clone());
    }
    for ((run, number), parts) in blocks {
        let name = parts_name(run);
        let mut table = write.open_table(parts_table(&name))?;
        let mut all = match table.get(number)? {
            Some(bytes) => unpack(bytes.value())?,
            None => BTreeMap::new(),
        };
        all.extend(parts);
        table.insert(number, encode(&Block::pack(&all)).as_slice())?;
    }
    Ok(())
}

/// Reads a block.
pub(super) fn unpack(bytes: &[u8]) -> Result<BTreeMap<BatchId, Vec<Part>>, StoreError> {
    let parts = decode::<Block>(bytes)?.unpack();
    Ok(parts.ok_or_else(|| Damage::Meaning("a block of parts that cannot be".to_owned()))?)
}

fn write_snapshot(write: &WriteTransaction, state: &mut State) -> Result<(), StoreError> {
    write.open_table(LEDGER)?.insert((), encode(&state.ledger).as_slice())?;
    write.delete_table(RECORDS)?;
    write.open_table(RECORDS)?;
    state.records = 0;
    Ok(())
}

fn delete_parts(write: &WriteTransaction, run: RunId) -> Result<(), StoreError> {
    match write.delete_table(parts_table(&parts_name(run))) {
        Ok(_) | Err(TableError::TableDoesNotExist(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
