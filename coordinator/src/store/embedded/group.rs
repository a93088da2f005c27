//! Writing one group: everything that was appended since the last one, in one transaction with one fsync.
//!
//! The ledger is kept beside the file by applying the same records. Every [`SNAPSHOT_EVERY`] records, and when a run
//! ends, it becomes the new snapshot in the same transaction in which the records that are in it go away, and the parts
//! and checkpoints in them are packed into blocks.

use std::collections::BTreeMap;

use common::ids::{BatchId, RunId};
use redb::{Database, ReadableTable, TableError, WriteTransaction};
use scheduler::{EndedRun, Ledger, Record};

use super::codec::{Damage, decode, encode};
use super::error::StoreError;
use super::recent::{CheckpointsByBatch, PartsByBatch, RecentParts};
use super::tables::{ENDED, LEDGER, RECORDS, blocks_table, checkpoints_name, parts_name};
use crate::store::Entry;
use crate::store::packed::checkpoints::CheckpointBlock;
use crate::store::packed::{Block, Blocks, block_of};

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
    /// The checkpoints in them. They are read of ended runs only, and a run's end makes a snapshot.
    pub(super) checkpoints: CheckpointsByBatch,
}

/// What a group adds.
struct Added {
    /// The runs that it ends.
    ended: Vec<(RunId, EndedRun)>,
    /// The parts that it commits.
    parts: PartsByBatch,
    /// The checkpoints that it makes and loses.
    checkpoints: CheckpointsByBatch,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.forgotten.is_empty()
    }

    /// Writes the group durably. After an error the state is of no use any more.
    pub(super) fn commit(&self, database: &Database, state: &mut State) -> Result<(), StoreError> {
        let write = database.begin_write()?;
        let Added {
            ended,
            parts,
            checkpoints,
        } = self.add_up(&write, state)?;
        let is_snapshot = !ended.is_empty() || state.records >= SNAPSHOT_EVERY;
        if is_snapshot {
            fold::<Block>(&write, parts_name, state.recent.lock().iter().chain(&parts))?;
            let made = state.checkpoints.iter().chain(&checkpoints);
            fold::<CheckpointBlock>(&write, checkpoints_name, made)?;
            write_snapshot(&write, state)?;
        } else {
            self.write_records(&write)?;
        }
        self.forget(&write)?;
        for (run, ended) in ended {
            write.open_table(ENDED)?.insert(run.0, encode(&ended).as_slice())?;
            if !ended.summary.state.may_be_reopened() {
                delete_blocks(&write, &parts_name(run))?;
            }
        }
        write.commit()?;
        let mut recent = state.recent.lock();
        if is_snapshot {
            recent.clear();
            state.checkpoints.clear();
        } else {
            recent.extend(parts);
            for (batch, change) in checkpoints {
                state.checkpoints.entry(batch).or_default().extend(change);
            }
        }
        Ok(())
    }

    /// Applies the records, and returns the runs that they ended and what they add to blocks.
    fn add_up(&self, write: &WriteTransaction, state: &mut State) -> Result<Added, StoreError> {
        let (mut parts, mut checkpoints) = (PartsByBatch::new(), CheckpointsByBatch::new());
        for Entry { sequence, record } in &self.entries {
            state.ledger.apply(*sequence, record);
            state.records += 1;
            add_parts(&mut parts, record);
            add_checkpoints(&mut checkpoints, record);
            if let Record::RunReopened { run, .. } = record {
                write.open_table(ENDED)?.remove(run.0)?;
            }
        }
        let ended = std::mem::take(&mut state.ledger.ended).into_iter().collect();
        Ok(Added {
            ended,
            parts,
            checkpoints,
        })
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
            delete_blocks(write, &parts_name(*run))?;
            delete_blocks(write, &checkpoints_name(*run))?;
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

/// Adds the checkpoint that a record makes, or takes away the one that it says is lost.
pub(super) fn add_checkpoints(to: &mut CheckpointsByBatch, record: &Record) {
    if let Record::BatchCheckpointed {
        run, batch, checkpoint, ..
    } = record
    {
        let made = Some((**checkpoint).clone());
        to.entry((*run, *batch)).or_default().insert(checkpoint.op(), made);
    }
    if let Record::CheckpointLost { run, batch, op } = record {
        to.entry((*run, *batch)).or_default().insert(*op, None);
    }
}

/// What changed in blocks of several runs.
type ChangesByBlock<'a, B> = BTreeMap<(RunId, u64), Vec<(BatchId, &'a <B as Blocks>::Change)>>;

/// Adds what changed, in that order, to the blocks that it belongs to.
fn fold<'a, B: Blocks<Change: 'a>>(
    write: &WriteTransaction,
    table_name: fn(RunId) -> String,
    changes: impl Iterator<Item = (&'a (RunId, BatchId), &'a B::Change)>,
) -> Result<(), StoreError> {
    let mut blocks = ChangesByBlock::<B>::new();
    for ((run, batch), change) in changes {
        let block = blocks.entry((*run, block_of(*batch))).or_default();
        block.push((*batch, change));
    }
    for ((run, number), changes) in blocks {
        let name = table_name(run);
        let mut table = write.open_table(blocks_table(&name))?;
        let mut all = match table.get(number)? {
            Some(bytes) => unpack::<B>(bytes.value())?,
            None => BTreeMap::new(),
        };
        for (batch, change) in changes {
            B::change(all.entry(batch).or_default(), change);
        }
        table.insert(number, encode(&B::pack(&all)).as_slice())?;
    }
    Ok(())
}

/// Reads a block.
pub(super) fn unpack<B: Blocks>(bytes: &[u8]) -> Result<BTreeMap<BatchId, B::Kept>, StoreError> {
    let kept = decode::<B>(bytes)?.unpack();
    Ok(kept.ok_or_else(|| Damage::Meaning("a block that cannot be".to_owned()))?)
}

fn write_snapshot(write: &WriteTransaction, state: &mut State) -> Result<(), StoreError> {
    write.open_table(LEDGER)?.insert((), encode(&state.ledger).as_slice())?;
    write.delete_table(RECORDS)?;
    write.open_table(RECORDS)?;
    state.records = 0;
    Ok(())
}

fn delete_blocks(write: &WriteTransaction, name: &str) -> Result<(), StoreError> {
    match write.delete_table(blocks_table(name)) {
        Ok(_) | Err(TableError::TableDoesNotExist(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
