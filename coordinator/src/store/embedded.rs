//! The journal in a file of its own: what survives any death of the process, and of the machine.
//!
//! Owns one redb file and the thread that writes it ([`committer`]). Data flows one way: the driver appends, which only
//! adds to the group that forms; the committer writes group after group ([`group`]), each in one transaction with one
//! fsync, and then moves the durability on. What is stored where says [`tables`]; reading it back at the start, [`open`].
//! Committed parts are read in pages, beside the committer: from the blocks in the file, and of records behind the
//! snapshot from memory ([`recent`]). So are the checkpoints of ended runs, whose records are all in the snapshot.
//!
//! The file is opened only if every page of it fits its checksum, the format is known and no record is missing. Known
//! weakness: a bit of the very last group that flips while no coordinator runs looks like a write that was torn, and
//! the group is cut off.

mod codec;
mod committer;
mod error;
mod group;
mod open;
mod recent;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use common::ids::{BatchId, Generation, RunId};
use common::part::Part;
use redb::{Database, ReadableDatabase, TableError};
use scheduler::{Checkpoint, Ledger, RecordSequence};
use tokio::sync::watch;

use super::journal::{Archive, ArchiveError, Durability, Entry, Journal, JournalError};
use super::packed::checkpoints::{CheckpointBlock, of_whole_batches};
use super::packed::{Block, Blocks, block_of};
use committer::{Committer, Queue};
use error::StoreError;
use group::{State, unpack};
use open::Opened;
use recent::RecentParts;
use tables::{blocks_table, checkpoints_name, parts_name};

/// The file's name in the state folder.
const FILE: &str = "journal.redb";

/// A journal in a state folder, which must be locked.
pub struct EmbeddedJournal {
    generation: Generation,
    /// What was found; handed out once.
    found: Ledger,
    last: RecordSequence,
    queue: Arc<Queue>,
    durability: watch::Receiver<Durability>,
    archive: Arc<EmbeddedArchive>,
    committer: Option<JoinHandle<()>>,
}

struct EmbeddedArchive {
    database: Arc<RwLock<Database>>,
    recent: RecentParts,
}

impl EmbeddedJournal {
    /// Opens the journal of a state folder, or makes an empty one, and starts its committer.
    ///
    /// # Errors
    /// [`JournalError::Newer`] or [`JournalError::Damaged`] for a file that cannot be trusted,
    /// [`JournalError::Storage`] when the disk refuses.
    pub fn open(folder: &Path, generation: Generation) -> Result<EmbeddedJournal, JournalError> {
        let path = folder.join(FILE);
        let Opened {
            database,
            ledger,
            records,
            parts,
            checkpoints,
        } = open::open(&path).map_err(|error| error.at(&path))?;
        let last = ledger.last;
        tracing::info!(
            last_record = last.0,
            live_runs = ledger.runs.len(),
            ended_runs = ledger.ended.len(),
            "the journal is open"
        );
        let database = Arc::new(RwLock::new(database));
        let recent = RecentParts::default();
        recent.lock().extend(parts);
        let queue = Arc::new(Queue::default());
        let (durable, durability) = watch::channel(Durability::UpTo(last));
        let committer = Committer {
            queue: Arc::clone(&queue),
            database: Arc::clone(&database),
            path: path.clone(),
            state: State {
                ledger: Ledger {
                    ended: Default::default(),
                    ..ledger.clone()
                },
                records,
                recent: recent.clone(),
                checkpoints,
            },
            durability: durable,
        };
        let thread = spawn(committer).map_err(|error| StoreError::Io(error).at(&path))?;
        Ok(EmbeddedJournal {
            generation,
            found: ledger,
            last,
            queue,
            durability,
            archive: Arc::new(EmbeddedArchive { database, recent }),
            committer: Some(thread),
        })
    }

    /// Returns where the journal of a state folder is.
    pub fn path_in(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }
}

fn spawn(committer: Committer) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || committer.run())
}

impl Drop for EmbeddedJournal {
    /// Waits until what was appended is written.
    fn drop(&mut self) {
        self.queue.close();
        if self.committer.take().is_some_and(|committer| committer.join().is_err()) {
            tracing::error!("the journal's committer panicked");
        }
    }
}

impl Journal for EmbeddedJournal {
    fn generation(&self) -> Generation {
        self.generation
    }

    fn append(&mut self, entries: Vec<Entry>) -> Result<RecordSequence, JournalError> {
        for entry in &entries {
            if entry.sequence.0 != self.last.0 + 1 {
                return Err(JournalError::Gap {
                    last: self.last,
                    got: entry.sequence,
                });
            }
            self.last = entry.sequence;
        }
        self.queue.add(|group| group.entries.extend(entries));
        Ok(self.last)
    }

    fn durability(&self) -> watch::Receiver<Durability> {
        self.durability.clone()
    }

    fn recover(&mut self) -> Ledger {
        std::mem::take(&mut self.found)
    }

    fn forget(&mut self, run: RunId) {
        self.queue.add(|group| group.forgotten.push(run));
    }

    fn archive(&self) -> Arc<dyn Archive> {
        self.archive.clone()
    }
}

impl EmbeddedArchive {
    fn read_parts(
        &self,
        run: RunId,
        after: Option<BatchId>,
        limit: usize,
    ) -> Result<Vec<(BatchId, Vec<Part>)>, StoreError> {
        // These first: what a snapshot folds away meanwhile is in the blocks that are read after them.
        let mut page = self.recent.page(run, after, limit);
        let mut found = 0;
        self.read_blocks::<Block>(&parts_name(run), after.map_or(0, block_of), |parts| {
            let behind = parts.into_iter().filter(|(batch, _)| Some(*batch) > after);
            let before = page.len();
            page.extend(behind);
            found += page.len() - before;
            if found < limit { Reading::On } else { Reading::Enough }
        })?;
        Ok(page.into_iter().take(limit).collect())
    }

    fn read_checkpoints(&self, run: RunId, from: u64, limit: usize) -> Result<Vec<(u64, Vec<Checkpoint>)>, StoreError> {
        let mut page = Vec::new();
        let first = block_of(BatchId::whole(from));
        self.read_blocks::<CheckpointBlock>(&checkpoints_name(run), first, |batches| {
            page.extend(of_whole_batches(batches, from));
            if page.len() < limit {
                Reading::On
            } else {
                Reading::Enough
            }
        })?;
        page.truncate(limit);
        Ok(page)
    }

    /// Reads blocks of a table in their order, beginning with a number; none where there is no such table.
    fn read_blocks<B: Blocks>(
        &self,
        table: &str,
        first: u64,
        mut take: impl FnMut(BTreeMap<BatchId, B::Kept>) -> Reading,
    ) -> Result<(), StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let read = database.begin_read()?;
        let table = match read.open_table(blocks_table(table)) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for row in table.range(first..)? {
            let (_, block) = row?;
            if take(unpack::<B>(block.value())?) == Reading::Enough {
                break;
            }
        }
        Ok(())
    }
}

/// Whether a reader of blocks wants more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    On,
    Enough,
}

impl Archive for EmbeddedArchive {
    fn parts_page(
        &self,
        run: RunId,
        after: Option<BatchId>,
        limit: usize,
    ) -> Result<Vec<(BatchId, Vec<Part>)>, ArchiveError> {
        let found = self.read_parts(run, after, limit);
        found.map_err(|error| archive_error(run, &error))
    }

    fn checkpoints_page(
        &self,
        run: RunId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<Checkpoint>)>, ArchiveError> {
        let found = self.read_checkpoints(run, from, limit);
        found.map_err(|error| archive_error(run, &error))
    }
}

fn archive_error(run: RunId, error: &StoreError) -> ArchiveError {
    ArchiveError {
        run,
        reason: error.to_string(),
    }
}
