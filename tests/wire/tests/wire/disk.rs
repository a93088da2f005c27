//! The coordinator's disk: the real journal in a real folder, whose syncs take the time of the simulation.
//!
//! Records that are appended wait for the sync under way, then go to the real journal and its thread together, and the
//! world stands still until they are on the disk. So how long a sync takes follows from the seed alone, and a coordinator
//! that dies before it has ended has lost what waited.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::ids::{Generation, RunId};
use coordinator::store::{Archive, Durability, EmbeddedJournal, Entry, Journal, JournalError};
use scheduler::{Ledger, RecordSequence};
use tokio::sync::watch;

/// How long a real sync may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A journal on a simulated disk.
pub(crate) struct SimulatedDisk {
    inner: Arc<Mutex<Inner>>,
    generation: Generation,
    durability: watch::Sender<Durability>,
    /// How long a sync takes.
    sync: Duration,
}

struct Inner {
    journal: EmbeddedJournal,
    waiting: Vec<Entry>,
    syncs: Syncs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Syncs {
    No,
    UnderWay,
}

impl SimulatedDisk {
    /// Puts a journal on a disk whose syncs take so long.
    pub(crate) fn new(journal: EmbeddedJournal, sync: Duration) -> SimulatedDisk {
        let durable = journal.durability().borrow().clone();
        SimulatedDisk {
            generation: journal.generation(),
            durability: watch::Sender::new(durable),
            inner: Arc::new(Mutex::new(Inner {
                journal,
                waiting: Vec::new(),
                syncs: Syncs::No,
            })),
            sync,
        }
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Syncs for as long as records wait.
async fn sync(inner: Arc<Mutex<Inner>>, durability: watch::Sender<Durability>, takes: Duration) {
    loop {
        tokio::time::sleep(takes).await;
        let durable = {
            let mut inner = lock(&inner);
            let entries = std::mem::take(&mut inner.waiting);
            let last = inner.journal.append(entries).expect("the journal takes records");
            durable_up_to(&inner.journal, last)
        };
        durability.send_replace(durable);
        let mut inner = lock(&inner);
        if inner.waiting.is_empty() {
            inner.syncs = Syncs::No;
            return;
        }
    }
}

/// Stands still until the journal's own thread has synced up to a record.
fn durable_up_to(journal: &EmbeddedJournal, last: RecordSequence) -> Durability {
    let durability = journal.durability();
    let begun = Instant::now();
    loop {
        let now = durability.borrow().clone();
        match now {
            Durability::UpTo(sequence) if sequence < last => {}
            Durability::UpTo(_) | Durability::Fenced { .. } | Durability::Failed { .. } => return now,
        }
        assert!(begun.elapsed() < PATIENCE, "the journal does not sync");
        std::thread::yield_now();
    }
}

impl Journal for SimulatedDisk {
    fn generation(&self) -> Generation {
        self.generation
    }

    fn append(&mut self, entries: Vec<Entry>) -> Result<RecordSequence, JournalError> {
        let last = entries.last().map(|entry| entry.sequence).unwrap_or_default();
        let mut inner = lock(&self.inner);
        inner.waiting.extend(entries);
        if inner.syncs == Syncs::No {
            inner.syncs = Syncs::UnderWay;
            tokio::spawn(sync(Arc::clone(&self.inner), self.durability.clone(), self.sync));
        }
        Ok(last)
    }

    fn durability(&self) -> watch::Receiver<Durability> {
        self.durability.subscribe()
    }

    fn recover(&mut self) -> Ledger {
        lock(&self.inner).journal.recover()
    }

    fn forget(&mut self, run: RunId) {
        lock(&self.inner).journal.forget(run);
    }

    fn archive(&self) -> Arc<dyn Archive> {
        lock(&self.inner).journal.archive()
    }
}
