//! Writing one group: everything that was appended since the last one, in one transaction with one fsync.
//!
//! The ledger is kept beside the file by applying the same records. Every [`SNAPSHOT_EVERY`] records, and when a run
//! ends, it becomes the new snapshot in the same transaction in which the records that are in it go away.

use common::ids::RunId;
use redb::{Database, TableError, WriteTransaction};
use scheduler::{EndedRun, Ledger, Record};

use super::codec::encode;
use super::open::StoreError;
use super::tables::{ENDED, LEDGER, RECORDS, batch_key, parts_name, parts_table};
use crate::store::Entry;

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
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.forgotten.is_empty()
    }

    /// Writes the group durably. After an error the state is of no use any more.
    pub(super) fn commit(&self, database: &Database, state: &mut State) -> Result<(), StoreError> {
        let write = database.begin_write()?;
        let ended = self.add_up(&write, state)?;
        self.forget(&write)?;
        if !ended.is_empty() || state.records >= SNAPSHOT_EVERY {
            write_snapshot(&write, state)?;
        } else {
            self.write_records(&write)?;
        }
        for (run, ended) in ended {
            write.open_table(ENDED)?.insert(run.0, encode(&ended).as_slice())?;
            if !ended.summary.state.may_be_reopened() {
                delete_parts(&write, run)?;
            }
        }
        Ok(write.commit()?)
    }

    /// Applies the records, stores the parts in them, and returns the runs that they ended.
    fn add_up(&self, write: &WriteTransaction, state: &mut State) -> Result<Vec<(RunId, EndedRun)>, StoreError> {
        for Entry { sequence, record } in &self.entries {
            state.ledger.apply(*sequence, record);
            state.records += 1;
        }
        let mut parts_of = PartsWriter { write, run: None };
        for entry in &self.entries {
            if let Record::BatchCommitted { run, batch, parts, .. } = &entry.record
                && !parts.is_empty()
            {
                parts_of.insert(*run, *batch, parts)?;
            }
            if let Record::RunReopened { run, .. } = &entry.record {
                write.open_table(ENDED)?.remove(run.0)?;
            }
        }
        Ok(std::mem::take(&mut state.ledger.ended).into_iter().collect())
    }

    fn write_records(&self, write: &WriteTransaction) -> Result<(), StoreError> {
        let Some(first) = self.entries.first() else {
            return Ok(());
        };
        let records: Vec<Record> = self.entries.iter().map(|entry| without_parts(&entry.record)).collect();
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

/// Inserts parts, with the table of the run that came last left open.
struct PartsWriter<'a> {
    write: &'a WriteTransaction,
    run: Option<(RunId, redb::Table<'a, super::tables::BatchKey, &'static [u8]>)>,
}

impl PartsWriter<'_> {
    fn insert(
        &mut self,
        run: RunId,
        batch: common::ids::BatchId,
        parts: &[common::part::Part],
    ) -> Result<(), StoreError> {
        let open = match self.run.take() {
            Some((open_run, table)) if open_run == run => table,
            Some(_) | None => self.write.open_table(parts_table(&parts_name(run)))?,
        };
        let (_, table) = self.run.insert((run, open));
        table.insert(batch_key(batch), encode(&parts).as_slice())?;
        Ok(())
    }
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

/// Parts have a table of their own, and the ledger does not want them.
fn without_parts(record: &Record) -> Record {
    match record {
        Record::BatchCommitted {
            run,
            batch,
            lease,
            rows,
            parts: _,
            at,
        } => Record::BatchCommitted {
            run: *run,
            batch: *batch,
            lease: *lease,
            rows: *rows,
            parts: Vec::new(),
            at: *at,
        },
        Record::RunAccepted { .. }
        | Record::SessionOpened { .. }
        | Record::SessionClosed { .. }
        | Record::AttemptFailed { .. }
        | Record::WorkerCrashed { .. }
        | Record::BatchFailed { .. }
        | Record::BatchHalved { .. }
        | Record::FailedRetried { .. }
        | Record::RunReopened { .. }
        | Record::RunOpCommitted { .. }
        | Record::RunFailing { .. }
        | Record::RunCommanded { .. }
        | Record::PoolSet { .. }
        | Record::CapSet { .. }
        | Record::RunEnded { .. } => record.clone(),
    }
}
