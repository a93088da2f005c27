//! What the tasks of one run logged: lines numbered from 0 in the order in which they came, and the errors of attempts.
//!
//! Lines wait in memory until the next write and then stand in `rN.logs`, some hundred a block; a reader gets the blocks
//! and what waits. There are limits: workers send at most so much of each attempt, and of a run at most
//! [`MAX_RUN_BYTES`] are kept; what is beyond is counted ([`RunLog::dropped`]). Looking for a text reads every block.

use std::fs::File;
use std::sync::Arc;

use common::failure::Failure;
use common::ids::{BatchId, OpId, WorkerName};
use common::logs::{LogLevel, LogLine};
use common::timeline::TimelineEntry;
use serde::{Deserialize, Serialize};

use super::file::{self, Place, TimelineError};

/// How much text of a run is kept.
const MAX_RUN_BYTES: u64 = 64 << 20;
/// How much text of a run may wait to be written.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// How many lines a block has at most.
pub(super) const BLOCK_LINES: usize = 512;

/// A line as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLine {
    /// Who logged it; absent of a line of the coordinator.
    pub worker: Option<WorkerName>,
    /// The line.
    pub line: LogLine,
}

/// Which lines are wanted.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// Those of an op.
    pub op: Option<OpId>,
    /// Those of a batch.
    pub batch: Option<BatchId>,
    /// Those of the n-th attempt.
    pub attempt: Option<u32>,
    /// Those of at least this level.
    pub level: Option<LogLevel>,
    /// Those that have this in their text.
    pub text: Option<String>,
}

/// Some lines with their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The lines.
    pub lines: Vec<(u64, KeptLine)>,
    /// The number that the next page begins with.
    pub next: u64,
    /// Whether there was nothing behind it.
    pub end: LogEnd,
    /// How many lines were not kept.
    pub dropped: u64,
}

/// Whether more lines were there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogEnd {
    /// There are more.
    #[default]
    More,
    /// Those were all there were.
    Reached,
}

/// The lines of one run.
#[derive(Clone, Debug, Default)]
pub struct RunLog {
    blocks: Arc<Vec<Block>>,
    waiting: Arc<Vec<KeptLine>>,
    waiting_bytes: usize,
    /// The number of the first line that waits.
    first_waiting: u64,
    bytes: u64,
    /// How many lines were not kept.
    pub dropped: u64,
}

#[derive(Clone, Debug)]
struct Block {
    first: u64,
    lines: u32,
    file: Arc<File>,
    place: Place,
}

impl RunLog {
    /// Keeps a line, if there is room.
    pub(super) fn add(&mut self, line: KeptLine) {
        let bytes = line.line.text.len() + 64;
        if self.bytes + bytes as u64 > MAX_RUN_BYTES || self.waiting_bytes + bytes > MAX_WAITING_BYTES {
            self.dropped += 1;
            return;
        }
        self.bytes += bytes as u64;
        self.waiting_bytes += bytes;
        Arc::make_mut(&mut self.waiting).push(line);
    }

    /// Keeps why an attempt failed.
    pub(super) fn add_failure(&mut self, entry: &TimelineEntry, failure: &Failure) {
        self.add(KeptLine {
            worker: Some(entry.worker.clone()),
            line: LogLine {
                at: entry.finished.unwrap_or(entry.started),
                level: LogLevel::Error,
                op: entry.op,
                batch: entry.batch,
                attempt: entry.attempt,
                text: failure.message.clone(),
            },
        });
    }

    /// Returns the lines that wait, and the number of the first.
    pub(super) fn waiting(&self) -> (u64, Arc<Vec<KeptLine>>) {
        (self.first_waiting, Arc::clone(&self.waiting))
    }

    /// Takes over that so many of the lines that wait are in a block.
    pub(super) fn written(&mut self, lines: u32, file: Arc<File>, place: Place) {
        let first = self.first_waiting;
        Arc::make_mut(&mut self.blocks).push(Block {
            first,
            lines,
            file,
            place,
        });
        let written = Arc::make_mut(&mut self.waiting).drain(..lines as usize);
        let bytes: usize = written.map(|line| line.line.text.len() + 64).sum();
        self.waiting_bytes -= bytes;
        self.first_waiting += u64::from(lines);
    }

    /// Adds a block as it was found.
    pub(super) fn found(&mut self, first: u64, lines: u32, file: Arc<File>, place: Place) {
        self.bytes += u64::from(place.length());
        self.first_waiting = first + u64::from(lines);
        Arc::make_mut(&mut self.blocks).push(Block {
            first,
            lines,
            file,
            place,
        });
    }

    /// Returns the number that the next line will have.
    pub fn next(&self) -> u64 {
        self.first_waiting + self.waiting.len() as u64
    }

    /// Reads up to `limit` lines that pass a filter, from a number on.
    ///
    /// # Errors
    /// [`TimelineError`] when a block cannot be read.
    pub fn read(&self, filter: &LogFilter, from: u64, limit: usize) -> Result<LogPage, TimelineError> {
        let mut page = LogPage {
            next: from,
            dropped: self.dropped,
            ..LogPage::default()
        };
        let first = self
            .blocks
            .partition_point(|block| block.first + u64::from(block.lines) <= from);
        for block in &self.blocks[first..] {
            let lines = block.read()?;
            if page.take(filter, block.first, &lines, limit) == LogEnd::More {
                return Ok(page);
            }
        }
        if page.take(filter, self.first_waiting, &self.waiting, limit) == LogEnd::Reached {
            page.end = LogEnd::Reached;
        }
        Ok(page)
    }
}

impl LogPage {
    fn take(&mut self, filter: &LogFilter, first: u64, lines: &[KeptLine], limit: usize) -> LogEnd {
        for (number, line) in (first..).zip(lines) {
            if number < self.next {
                continue;
            }
            if self.lines.len() == limit {
                return LogEnd::More;
            }
            self.next = number + 1;
            if filter.passes(&line.line) {
                self.lines.push((number, line.clone()));
            }
        }
        LogEnd::Reached
    }
}

impl LogFilter {
    fn passes(&self, line: &LogLine) -> bool {
        self.op.is_none_or(|op| line.op == op)
            && self.batch.is_none_or(|batch| line.batch == Some(batch))
            && self.attempt.is_none_or(|attempt| line.attempt.0 == attempt)
            && self.level.is_none_or(|level| line.level >= level)
            && self.text.as_ref().is_none_or(|text| line.text.contains(text.as_str()))
    }
}

impl Block {
    fn read(&self) -> Result<Vec<KeptLine>, TimelineError> {
        let bytes = file::columns(&self.file, self.place).map_err(|error| TimelineError {
            reason: error.to_string(),
        })?;
        postcard::from_bytes(&bytes).map_err(|error| TimelineError {
            reason: error.to_string(),
        })
    }
}

/// Returns the bytes of a block.
pub(super) fn pack(lines: &[KeptLine]) -> Vec<u8> {
    postcard::to_allocvec(lines).expect("no line has a form that postcard does not know")
}
