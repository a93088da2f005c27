//! Opening the file and adding up what it holds.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::ids::RunId;
use redb::{Database, ReadableDatabase, ReadableTable};
use scheduler::{EndedRun, Ledger, Record, RecordSequence};

use super::codec::decode;
use super::error::StoreError;
use super::group::{add_checkpoints, add_parts};
use super::recent::{CheckpointsByBatch, PartsByBatch};
use super::tables::{ENDED, FORMAT, FORMAT_ROW, LEDGER, META, RECORDS};

/// Pages that are kept in memory.
const CACHE_BYTES: usize = 16 << 20;

/// A file that was opened, and what it held.
pub(super) struct Opened {
    pub(super) database: Database,
    /// What the records add up to, ended runs included.
    pub(super) ledger: Ledger,
    /// How many records lie behind the snapshot.
    pub(super) records: u64,
    /// The parts in them.
    pub(super) parts: PartsByBatch,
    /// The checkpoints in them.
    pub(super) checkpoints: CheckpointsByBatch,
}

/// Opens or makes the file; checks every page of it, and the format.
pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    let unclean = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&unclean);
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .set_repair_callback(move |_| noted.store(true, Ordering::Relaxed))
        .create(path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    prepare(&database)?;
    let Found {
        ledger,
        records,
        parts,
        checkpoints,
    } = read(&database)?;
    if unclean.load(Ordering::Relaxed) {
        // Groups are all or nothing, so what was cut off is less than one, and nobody had been told of it.
        tracing::info!(
            last_record = ledger.last.0,
            "the journal was not closed: a group of records that was not durable yet is cut off, if there was one"
        );
    }
    Ok(Opened {
        database,
        ledger,
        records,
        parts,
        checkpoints,
    })
}

/// What a file holds.
struct Found {
    ledger: Ledger,
    records: u64,
    parts: PartsByBatch,
    checkpoints: CheckpointsByBatch,
}

/// Checks the format, or writes it into a new file, with every table there is.
fn prepare(database: &Database) -> Result<(), StoreError> {
    let write = database.begin_write()?;
    {
        let mut meta = write.open_table(META)?;
        let found = meta.get(FORMAT_ROW)?.map(|found| found.value());
        match found {
            Some(FORMAT) => return Ok(()),
            Some(found) if found > FORMAT => return Err(StoreError::Newer { found }),
            Some(found) => return Err(StoreError::Older { found }),
            None => meta.insert(FORMAT_ROW, FORMAT)?,
        };
        write.open_table(RECORDS)?;
        write.open_table(LEDGER)?;
        write.open_table(ENDED)?;
    }
    Ok(write.commit()?)
}

/// Adds up the snapshot, the records behind it and the ended runs.
fn read(database: &Database) -> Result<Found, StoreError> {
    let read = database.begin_read()?;
    let snapshot = read.open_table(LEDGER)?.get(())?;
    let mut ledger = match snapshot {
        Some(bytes) => decode::<Ledger>(bytes.value())?,
        None => Ledger::default(),
    };
    let mut records = 0;
    let (mut parts, mut checkpoints) = (PartsByBatch::new(), CheckpointsByBatch::new());
    for row in read.open_table(RECORDS)?.iter()? {
        let (first, bytes) = row?;
        let got = RecordSequence(first.value());
        if got.0 != ledger.last.0 + 1 {
            return Err(StoreError::Gap { last: ledger.last, got });
        }
        for (sequence, record) in (got.0..).zip(decode::<Vec<Record>>(bytes.value())?) {
            ledger.apply(RecordSequence(sequence), &record);
            add_parts(&mut parts, &record);
            add_checkpoints(&mut checkpoints, &record);
            records += 1;
        }
    }
    for row in read.open_table(ENDED)?.iter()? {
        let (run, bytes) = row?;
        ledger
            .ended
            .insert(RunId(run.value()), decode::<EndedRun>(bytes.value())?);
    }
    Ok(Found {
        ledger,
        records,
        parts,
        checkpoints,
    })
}
