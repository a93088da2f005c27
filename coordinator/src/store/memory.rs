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
    parts: BTreeMap<BatchId, Vec<Part>>,
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
                    self.lock().entry(run).or_default().parts.insert(batch, parts);
                }
            }
            Record::RunEnded { summary, .. } => {
                if !summary.state.may_be_reopened()
                    && let Some(kept) = self.lock().get_mut(&summary.run)
                {
                    kept.parts.clear();
                }
            }
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
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let parts = runs.get(&run).map(|kept| kept.parts.range((start, Bound::Unbounded)));
        let page = parts.into_iter().flatten().take(limit);
        Ok(page.map(|(batch, parts)| (*batch, parts.clone())).collect())
    }
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
