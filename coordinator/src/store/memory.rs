//! The journal that forgets everything with the process: durable means "in memory".
//!
//! Keeps the seam honest (numbers without gaps, durability as an event of its own) and keeps no record: nobody could
//! ever read one back. Known weakness: a restart loses every run; workers notice by the generation.

use common::ids::Generation;
use scheduler::RecordSequence;
use tokio::sync::watch;

use super::journal::{Durability, Entry, Journal, JournalError};

/// A journal in memory.
#[derive(Debug)]
pub struct MemoryJournal {
    generation: Generation,
    last: RecordSequence,
    durability: watch::Sender<Durability>,
}

impl MemoryJournal {
    /// Makes an empty journal of a generation.
    pub fn new(generation: Generation) -> MemoryJournal {
        let (durability, _) = watch::channel(Durability::UpTo(RecordSequence(0)));
        MemoryJournal {
            generation,
            last: RecordSequence(0),
            durability,
        }
    }
}

impl Journal for MemoryJournal {
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
        self.durability.send_replace(Durability::UpTo(self.last));
        Ok(self.last)
    }

    fn durability(&self) -> watch::Receiver<Durability> {
        self.durability.subscribe()
    }

    fn recover(&mut self) -> Result<Vec<Entry>, JournalError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use common::ids::RunId;
    use scheduler::Record;

    use super::*;

    fn entry(sequence: u64) -> Entry {
        Entry {
            sequence: RecordSequence(sequence),
            record: Record::RunCancelRequested { run: RunId(1) },
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
