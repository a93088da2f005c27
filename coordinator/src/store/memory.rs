//! The journal that forgets everything with the process: durable means "in memory".
//!
//! Keeps the seam honest (numbers without gaps, durability as an event of its own) and keeps no record: nobody could
//! ever read one back. Parts are kept for reading, until their run ends. Known weakness:
//! a restart loses every run; workers notice by the generation.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::ids::{BatchId, Generation, RunId};
use common::part::Part;
use scheduler::{Ledger, Record, RecordSequence};
use tokio::sync::watch;

use super::journal::{Archive, ArchiveError, Durability, Entry, Journal, JournalError};
use super::packed::Block;

/// After how many commits the parts of a run are packed.
const FOLD_EVERY: usize = 1_024;

/// A journal in memory.
#[derive(Debug)]
pub struct MemoryJournal {
    generation: Generation,
    last: RecordSequence,
    durability: watch::Sender<Durability>,
    archive: Arc<MemoryArchive>,
}

/// What is kept for reading.
#[derive(Debug, Default)]
struct MemoryArchive {
    runs: Mutex<BTreeMap<RunId, Kept>>,
}

/// What is kept of one run.
#[derive(Debug, Default)]
struct Kept {
    /// Blocks as they are stored.
    blocks: BTreeMap<u64, Vec<u8>>,
    /// Parts that are in none yet.
    recent: BTreeMap<BatchId, Vec<Part>>,
}

impl MemoryJournal {
    /// Makes an empty journal of a generation.
    pub fn new(generation: Generation) -> MemoryJournal {
        let (durability, _) = watch::channel(Durability::UpTo(RecordSequence(0)));
        MemoryJournal {
            generation,
            last: RecordSequence(0),
            durability,
            archive: Arc::default(),
        }
    }
}

impl Journal for MemoryJournal {
    fn generation(&self) -> Generation {
        self.generation
    }

    fn append(&mut self, entries: Vec<Entry>) -> Result<RecordSequence, JournalError> {
        for entry in entries {
            if entry.sequence.0 != self.last.0 + 1 {
                return Err(JournalError::Gap {
                    last: self.last,
                    got: entry.sequence,
                });
            }
            self.last = entry.sequence;
            self.archive.keep(entry.record);
        }
        self.durability.send_replace(Durability::UpTo(self.last));
        Ok(self.last)
    }

    fn durability(&self) -> watch::Receiver<Durability> {
        self.durability.subscribe()
    }

    fn recover(&mut self) -> Ledger {
        Ledger::default()
    }

    fn forget(&mut self, run: RunId) {
        self.archive.lock().remove(&run);
    }

    fn archive(&self) -> Arc<dyn Archive> {
        self.archive.clone()
    }
}

impl MemoryArchive {
    fn keep(&self, record: Record) {
        match record {
            Record::BatchCommitted { run, batch, parts, .. } => {
                if !parts.is_empty() {
                    self.lock().entry(run).or_default().add(batch, parts);
                }
            }
            Record::RunEnded { summary, .. } => {
                if !summary.state.may_be_reopened()
                    && let Some(kept) = self.lock().get_mut(&summary.run)
                {
                    *kept = Kept::default();
                }
            }
            Record::RunAccepted { .. }
            | Record::SessionOpened { .. }
            | Record::SessionClosed { .. }
            | Record::AttemptFailed { .. }
            | Record::WorkerCrashed { .. }
            | Record::WorkerReturned { .. }
            | Record::RunStarted { .. }
            | Record::BatchFailed { .. }
            | Record::BatchCheckpointed { .. }
            | Record::CheckpointLost { .. }
            | Record::BatchHalved { .. }
            | Record::FailedRetried { .. }
            | Record::RunReopened { .. }
            | Record::RunOpCommitted { .. }
            | Record::RunFailing { .. }
            | Record::RunCommanded { .. }
            | Record::PoolSet { .. }
            | Record::CapSet { .. } => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Kept>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Archive for MemoryArchive {
    fn parts_page(
        &self,
        run: RunId,
        after: Option<BatchId>,
        limit: usize,
    ) -> Result<Vec<(BatchId, Vec<Part>)>, ArchiveError> {
        let runs = self.lock();
        Ok(runs.get(&run).map_or_else(Vec::new, |kept| kept.page(after, limit)))
    }
}

impl Kept {
    fn add(&mut self, batch: BatchId, parts: Vec<Part>) {
        self.recent.insert(batch, parts);
        if self.recent.len() >= FOLD_EVERY {
            self.fold();
        }
    }

    /// Packs what is in no block yet.
    fn fold(&mut self) {
        let mut blocks: BTreeMap<u64, BTreeMap<BatchId, Vec<Part>>> = BTreeMap::new();
        for (batch, parts) in std::mem::take(&mut self.recent) {
            blocks.entry(Block::of(batch)).or_default().insert(batch, parts);
        }
        for (number, parts) in blocks {
            let mut all = self
                .blocks
                .get(&number)
                .map_or_else(BTreeMap::new, |bytes| unpack(bytes));
            all.extend(parts);
            let bytes =
                postcard::to_allocvec(&Block::pack(&all)).expect("no block has a form that postcard does not know");
            self.blocks.insert(number, bytes);
        }
    }

    fn page(&self, after: Option<BatchId>, limit: usize) -> Vec<(BatchId, Vec<Part>)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let recent = self.recent.range((start, Bound::Unbounded)).take(limit);
        let mut page: BTreeMap<BatchId, Vec<Part>> = recent.map(|(batch, parts)| (*batch, parts.clone())).collect();
        let mut found = 0;
        for bytes in self.blocks.range(after.map_or(0, Block::of)..).map(|(_, bytes)| bytes) {
            if found >= limit {
                break;
            }
            let before = page.len();
            page.extend(unpack(bytes).into_iter().filter(|(batch, _)| Some(*batch) > after));
            found += page.len() - before;
        }
        page.into_iter().take(limit).collect()
    }
}

fn unpack(bytes: &[u8]) -> BTreeMap<BatchId, Vec<Part>> {
    let block: Block = postcard::from_bytes(bytes).expect("it was packed here");
    block.unpack().expect("it was packed here")
}

#[cfg(test)]
mod tests {
    use common::ids::SessionId;
    use scheduler::Record;

    use super::*;

    fn entry(sequence: u64) -> Entry {
        Entry {
            sequence: RecordSequence(sequence),
            record: Record::SessionClosed {
                session: SessionId {
                    generation: Generation(3),
                    sequence,
                },
            },
        }
    }

    #[test]
    fn appended_records_become_durable_and_a_gap_is_refused() {
        let mut journal = MemoryJournal::new(Generation(3));
        let durability = journal.durability();
        assert_eq!(journal.append(vec![entry(1), entry(2)]).ok(), Some(RecordSequence(2)));
        assert_eq!(*durability.borrow(), Durability::UpTo(RecordSequence(2)));
        assert!(matches!(journal.append(vec![entry(4)]), Err(JournalError::Gap { .. })));
    }
}
