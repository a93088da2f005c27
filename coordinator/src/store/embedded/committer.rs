//! The committer: one thread that makes durable what was appended, group after group.
//!
//! While the disk works on a group the next one forms, so there is no timer: alone, a record waits for one fsync; under
//! load, thousands share one. An error of the disk is never retried: what the disk holds then is unknown, so durability
//! becomes [`Durability::Failed`] and the thread ends.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use redb::Database;
use tokio::sync::watch;

use super::error::StoreError;
use super::group::{Group, State};
use crate::store::Durability;

/// A file larger than this is compacted when no run lives.
const COMPACT_ABOVE: u64 = 16 << 20;

/// What waits for the committer. Its length is bounded by what the scheduler lets happen before it is durable.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    group: Group,
    end: End,
}

/// Whether more will come.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Closed,
}

impl Queue {
    /// Adds to the group that forms.
    pub(super) fn add(&self, add: impl FnOnce(&mut Group)) {
        add(&mut self.lock().group);
        self.changed.notify_one();
    }

    /// Lets the committer end when it has written what waits.
    pub(super) fn close(&self) {
        self.lock().end = End::Closed;
        self.changed.notify_one();
    }

    /// Waits for the next group; `None` when there will be none.
    fn take(&self) -> Option<Group> {
        let mut waiting = self.lock();
        loop {
            if !waiting.group.is_empty() {
                return Some(std::mem::take(&mut waiting.group));
            }
            if waiting.end == End::Closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the committer's thread owns.
pub(super) struct Committer {
    pub(super) queue: Arc<Queue>,
    /// Readers share it; compaction wants it alone.
    pub(super) database: Arc<RwLock<Database>>,
    pub(super) path: PathBuf,
    pub(super) state: State,
    pub(super) durability: watch::Sender<Durability>,
}

impl Committer {
    /// Writes groups until the queue is closed or the disk fails.
    pub(super) fn run(mut self) {
        while let Some(group) = self.queue.take() {
            if let Err(error) = self.write(&group) {
                tracing::error!(%error, "the journal failed");
                let reason = error.at(&self.path).to_string();
                self.durability.send_replace(Durability::Failed { reason });
                return;
            }
        }
    }

    fn write(&mut self, group: &Group) -> Result<(), StoreError> {
        let lived = self.state.ledger.runs.len();
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        group.commit(&database, &mut self.state)?;
        drop(database);
        self.durability.send_replace(Durability::UpTo(self.state.ledger.last));
        let lives = self.state.ledger.runs.len();
        if lives == 0 && (lived > 0 || !group.forgotten.is_empty()) {
            self.compact()?;
        }
        Ok(())
    }

    /// Gives back the room of what is gone. Commits wait meanwhile, which nobody notices when no run lives.
    fn compact(&self) -> Result<(), StoreError> {
        let before = std::fs::metadata(&self.path)?.len();
        if before < COMPACT_ABOVE {
            return Ok(());
        }
        let begun = Instant::now();
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        database.compact()?;
        drop(database);
        let bytes = std::fs::metadata(&self.path)?.len();
        tracing::info!(before, bytes, took = ?begun.elapsed(), "the journal is compacted");
        Ok(())
    }
}
