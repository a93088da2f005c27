//! The journal that forgets everything with the process: durable means "in memory".
//!
//! Keeps the seam honest (numbers without gaps, durability as an event of its own) and keeps no record: nobody could
//! ever read one back. Parts are kept for reading until their run ends, checkpoints until it is forgotten. Known weakness:
//! a restart loses every run; workers notice by the generation.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::ids::{BatchId, Generation, OpId, RunId};
use common::part::Part;
use scheduler::{Checkpoint, Ledger, Record, RecordSequence};
use tokio::sync::watch;

use super::journal::{Archive, ArchiveError, Durability, Entry, Journal, JournalError};
use super::packed::checkpoints::{Change, CheckpointBlock, of_whole_batches};
use super::packed::{Block, Blocks, block_of};

/// After how many batches what is kept of them is packed.
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
    parts: Folded<Block>,
    checkpoints: Folded<CheckpointBlock>,
}

/// Something of the batches of a run, packed.
#[derive(Debug)]
struct Folded<B: Blocks> {
    /// Blocks as they are stored.
    blocks: BTreeMap<u64, Vec<u8>>,
    /// What is in none yet.
    recent: BTreeMap<BatchId, B::Change>,
}

impl<B: Blocks> Default for Folded<B> {
    fn default() -> Folded<B> {
        Folded {
            blocks: BTreeMap::new(),
            recent: BTreeMap::new(),
        }
    }
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
                    self.lock()
                        .entry(run)
                        .or_default()
                        .parts
                        .add(batch, |kept| *kept = parts);
                }
            }
            Record::BatchCheckpointed {
                run, batch, checkpoint, ..
            } => self.change_checkpoint(run, batch, checkpoint.op(), Some(*checkpoint)),
            Record::CheckpointLost { run, batch, op } => self.change_checkpoint(run, batch, op, None),
            Record::RunEnded { summary, .. } => {
                if !summary.state.may_be_reopened()
                    && let Some(kept) = self.lock().get_mut(&summary.run)
                {
                    kept.parts = Folded::default();
                }
            }
            Record::RunAccepted { .. }
            | Record::SessionOpened { .. }
            | Record::SessionClosed { .. }
            | Record::AttemptFailed { .. }
            | Record::WorkerCrashed { .. }
            | Record::WorkerReturned { .. }
            | Record::RunStarted { .. }
            | Record::MarksRisen { .. }
            | Record::BatchFailed { .. }
            | Record::BatchHalved { .. }
            | Record::FailedRetried { .. }
            | Record::RunReopened { .. }
            | Record::RunOpCommitted { .. }
            | Record::RunFailing { .. }
            | Record::RunFinishing { .. }
            | Record::RunCommanded { .. }
            | Record::PoolSet { .. }
            | Record::CapSet { .. } => {}
        }
    }

    fn change_checkpoint(&self, run: RunId, batch: BatchId, op: OpId, made: Option<Checkpoint>) {
        let mut runs = self.lock();
        let kept = &mut runs.entry(run).or_default().checkpoints;
        kept.add(batch, |change: &mut Change| {
            change.insert(op, made);
        });
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
        Ok(runs
            .get(&run)
            .map_or_else(Vec::new, |kept| kept.parts.page(after, limit)))
    }

    fn checkpoints_page(
        &self,
        run: RunId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<Checkpoint>)>, ArchiveError> {
        let mut runs = self.lock();
        let Some(Kept { checkpoints, .. }) = runs.get_mut(&run) else {
            return Ok(Vec::new());
        };
        checkpoints.fold();
        let first = block_of(BatchId::whole(from));
        let blocks = checkpoints.blocks.range(first..).map(|(_, bytes)| bytes);
        let found = blocks.flat_map(|bytes| of_whole_batches(unpack::<CheckpointBlock>(bytes), from));
        Ok(found.take(limit).collect())
    }
}

impl<B: Blocks<Change: Default>> Folded<B> {
    fn add(&mut self, batch: BatchId, change: impl FnOnce(&mut B::Change)) {
        change(self.recent.entry(batch).or_default());
        if self.recent.len() >= FOLD_EVERY {
            self.fold();
        }
    }

    /// Packs what is in no block yet.
    fn fold(&mut self) {
        let mut blocks: BTreeMap<u64, Vec<(BatchId, B::Change)>> = BTreeMap::new();
        for (batch, change) in std::mem::take(&mut self.recent) {
            blocks.entry(block_of(batch)).or_default().push((batch, change));
        }
        for (number, changes) in blocks {
            let known = self.blocks.get(&number);
            let mut all = known.map_or_else(BTreeMap::new, |bytes| unpack::<B>(bytes));
            for (batch, change) in changes {
                B::change(all.entry(batch).or_default(), &change);
            }
            let bytes = postcard::to_allocvec(&B::pack(&all)).expect("no block has a form that postcard does not know");
            self.blocks.insert(number, bytes);
        }
    }
}

impl Folded<Block> {
    fn page(&self, after: Option<BatchId>, limit: usize) -> Vec<(BatchId, Vec<Part>)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let recent = self.recent.range((start, Bound::Unbounded)).take(limit);
        let mut page: BTreeMap<BatchId, Vec<Part>> = recent.map(|(batch, parts)| (*batch, parts.clone())).collect();
        let mut found = 0;
        for bytes in self.blocks.range(after.map_or(0, block_of)..).map(|(_, bytes)| bytes) {
            if found >= limit {
                break;
            }
            let before = page.len();
            let parts = unpack::<Block>(bytes).into_iter();
            page.extend(parts.filter(|(batch, _)| Some(*batch) > after));
            found += page.len() - before;
        }
        page.into_iter().take(limit).collect()
    }
}

fn unpack<B: Blocks>(bytes: &[u8]) -> BTreeMap<BatchId, B::Kept> {
    let block: B = postcard::from_bytes(bytes).expect("it was packed here");
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
