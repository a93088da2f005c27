//! A chunk on its way to the disk and back: in memory while there is room, then only where its bytes are.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::chunk::{self, Scratch, Summary};
use super::file::{self, Place, TimelineError};
use super::row::{Row, Task};

/// Rows that do not change any more.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) summary: Summary,
    /// As in the summary; known once somebody has looked at what is drawn of the rows.
    first_started: AtomicU64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    memory: Option<Arc<[u8]>>,
    disk: Option<(Arc<File>, Place)>,
}

impl Chunk {
    /// Keeps packed rows in memory.
    pub(crate) fn in_memory(summary: Summary, bytes: Vec<u8>) -> Chunk {
        let memory = Some(bytes.into());
        Chunk {
            summary,
            first_started: summary.first_started.into(),
            held: Mutex::new(Held { memory, disk: None }),
        }
    }

    /// Names packed rows that are on the disk.
    pub(crate) fn on_disk(summary: Summary, file: Arc<File>, place: Place) -> Chunk {
        let disk = Some((file, place));
        Chunk {
            summary,
            first_started: summary.first_started.into(),
            held: Mutex::new(Held { memory: None, disk }),
        }
    }

    /// Returns the summary with all that is known by now.
    pub(crate) fn known(&self) -> Summary {
        Summary {
            first_started: self.first_started.load(Ordering::Relaxed),
            ..self.summary
        }
    }

    /// Notes where the bytes were written.
    pub(crate) fn written(&self, file: Arc<File>, place: Place) {
        self.held().disk = Some((file, place));
    }

    /// Returns the bytes if they are in memory and nowhere else.
    pub(crate) fn unwritten(&self) -> Option<Arc<[u8]>> {
        let held = self.held();
        held.memory.clone().filter(|_| held.disk.is_none())
    }

    /// Returns how many bytes it takes in memory.
    pub(crate) fn resident(&self) -> usize {
        self.held().memory.as_ref().map_or(0, |bytes| bytes.len())
    }

    /// Lets go of the bytes in memory, if they are on the disk.
    pub(crate) fn evict(&self) {
        let mut held = self.held();
        if held.disk.is_some() {
            held.memory = None;
        }
    }

    /// Calls `each` with what is drawn of every row.
    pub(crate) fn tasks(&self, scratch: &mut Scratch, mut each: impl FnMut(Task)) -> Result<(), TimelineError> {
        let bytes = self.bytes()?;
        let mut first_started = u64::MAX;
        let tell = |task: Task| {
            first_started = first_started.min(task.started);
            each(task);
        };
        chunk::tasks(&bytes, self.summary.rows as usize, scratch, tell).map_err(unreadable)?;
        self.first_started.store(first_started, Ordering::Relaxed);
        Ok(())
    }

    /// Returns all rows.
    pub(crate) fn rows(&self, scratch: &mut Scratch) -> Result<Vec<Row>, TimelineError> {
        let bytes = self.bytes()?;
        chunk::rows(&bytes, self.summary.rows as usize, scratch).map_err(unreadable)
    }

    /// Reads the bytes; those that were in memory no more do not come back to it, the system keeps what is read often.
    fn bytes(&self) -> Result<Arc<[u8]>, TimelineError> {
        let held = self.held();
        if let Some(bytes) = &held.memory {
            return Ok(bytes.clone());
        }
        let disk = held.disk.clone();
        drop(held);
        let (file, place) = disk.ok_or_else(|| unreadable("a chunk is nowhere"))?;
        let bytes = file::columns(&file, place).map_err(unreadable)?;
        Ok(bytes.into())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreadable(reason: impl ToString) -> TimelineError {
    TimelineError {
        reason: reason.to_string(),
    }
}

/// What of a timeline is in its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) chunks: usize,
    pub(super) lanes: usize,
    /// The place behind the last row whose failure is there.
    pub(super) failures: u64,
    /// When the last bucket begins that is there.
    pub(super) buckets: u64,
    pub(super) epoch: u32,
    pub(super) restarts: u32,
    pub(super) dropped: u64,
    /// The place behind the last row in the tail's file.
    pub(super) tail: u64,
}
