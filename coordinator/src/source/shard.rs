//! The streaming sharder: cuts the files of a run into slices, no further ahead than it is asked.
//!
//! Owns the open file and the place in it. One pass from front to back through one small buffer: a file of any size
//! costs no memory and its first slice is there at once. Where slices end is decided by [`super::blocks`] and, where
//! only bytes count, faster by [`super::bulk`]; each slice is found from its start alone, so the place behind the last
//! one is all that there is to resume from.
//!
//! A file's slices are disjoint and cover its data exactly, empty lines included; none crosses a file. A slice without
//! a row comes about only where empty lines alone fill one. With the whole input in one batch nothing is read: whether
//! the quotes close is left to the worker.

use std::sync::Arc;

use common::job::{Batching, CsvDialect};
use common::slice::{ByteSlice, FileId, FrozenSource, Slice};
use memchr::memchr_iter;
use scheduler::SourceEnd;

use super::cursor::{Place, ShardCursor};
use super::error::SourceError;
use super::scan::{Bounds, Mark, Stop};
use super::window::{BUFFER, Window};
use super::{blocks, bulk, refusal};

/// The next slices of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The slices, in the order of the source.
    pub slices: Vec<Slice>,
    /// How many bytes are sharded now, of all files together, headers included.
    pub bytes_sharded: u64,
    /// Whether there are more slices.
    pub end: SourceEnd,
}

/// Cuts the files of a run into slices.
#[derive(Debug)]
pub struct Sharder {
    source: Arc<FrozenSource>,
    dialect: CsvDialect,
    batching: Batching,
    buffer: usize,
    cursor: ShardCursor,
    window: Option<Window>,
    /// The bytes of the files before the cursor's.
    bytes_before: u64,
}

impl Sharder {
    /// Makes a sharder at the beginning of a source. Nothing is opened yet.
    pub fn new(source: Arc<FrozenSource>, dialect: CsvDialect, batching: Batching) -> Sharder {
        Sharder {
            source,
            dialect,
            batching,
            buffer: BUFFER,
            cursor: ShardCursor::start(),
            window: None,
            bytes_before: 0,
        }
    }

    /// Makes a sharder that goes on where another one of the same source, dialect and batching was.
    pub fn resume(
        source: Arc<FrozenSource>,
        dialect: CsvDialect,
        batching: Batching,
        cursor: ShardCursor,
    ) -> Result<Sharder, SourceError> {
        let bad = |problem| Err(SourceError::BadCursor { problem });
        if cursor.version != ShardCursor::VERSION {
            return bad("another version of the program wrote it");
        }
        let done = cursor.file as usize;
        let is_within = match (&cursor.place, source.files.get(done)) {
            (None, _) => done <= source.files.len(),
            (Some(place), Some(file)) => (file.data_start..=file.bytes).contains(&place.offset),
            (Some(_), None) => false,
        };
        if !is_within {
            return bad("it lies outside the source");
        }
        let bytes_before = source.files[..done].iter().map(|file| file.bytes).sum();
        Ok(Sharder {
            cursor,
            bytes_before,
            ..Sharder::new(source, dialect, batching)
        })
    }

    /// Reads through a buffer of another size.
    #[cfg(test)]
    pub(super) fn with_buffer(self, buffer: usize) -> Sharder {
        Sharder { buffer, ..self }
    }

    /// Returns the place behind the last slice found.
    pub fn cursor(&self) -> &ShardCursor {
        &self.cursor
    }

    /// Finds up to `count` more slices. Blocks on the file.
    ///
    /// When an error comes after some slices, these are returned first, and the next call meets the error again.
    pub fn next_slices(&mut self, count: u32) -> Result<Found, SourceError> {
        let mut slices = Vec::new();
        let end = loop {
            match self.settle() {
                Ok(SourceEnd::Reached) => break SourceEnd::Reached,
                Ok(SourceEnd::More) if slices.len() < count as usize => {}
                Ok(SourceEnd::More) => break SourceEnd::More,
                Err(_) if !slices.is_empty() => break SourceEnd::More,
                Err(error) => return Err(error),
            }
            match self.next_slice() {
                Ok(slice) => slices.extend(slice),
                Err(_) if !slices.is_empty() => break SourceEnd::More,
                Err(error) => return Err(error),
            }
        };
        let in_file = self.cursor.place.map_or(0, |place| place.offset);
        Ok(Found {
            slices,
            bytes_sharded: self.bytes_before + in_file,
            end,
        })
    }

    /// Goes on to the next file that has data left, if there is one. Files without data are looked at, too: they must
    /// still be what was listed.
    fn settle(&mut self) -> Result<SourceEnd, SourceError> {
        while let Some(file) = self.source.files.get(self.cursor.file as usize) {
            if self.cursor.place.is_some_and(|place| place.offset == file.bytes) {
                if let Some(window) = self.window.take() {
                    window.check_unchanged()?;
                }
                self.bytes_before += file.bytes;
                self.cursor.place = None;
                self.cursor.file += 1;
                continue;
            }
            if self.cursor.place.is_some() && self.window.is_some() {
                return Ok(SourceEnd::More);
            }
            let mut window = Window::open(file, self.buffer)?;
            if self.cursor.place.is_none() {
                self.cursor.place = Some(Place {
                    offset: file.data_start,
                    line: 1 + lines_before(&mut window, file.data_start)?,
                    row: 0,
                });
            }
            self.window = Some(window);
        }
        Ok(SourceEnd::Reached)
    }

    /// Cuts the next slice from the file in the window; `None` if there is no such file.
    fn next_slice(&mut self) -> Result<Option<Slice>, SourceError> {
        let (Some(window), Some(place)) = (&mut self.window, &mut self.cursor.place) else {
            return Ok(None);
        };
        let quote = self.dialect.quote;
        let (stop, counts_rows) = match self.batching {
            Batching::WholeInput => {
                let whole = Mark {
                    at: window.end(),
                    lines: 0,
                    rows: 0,
                };
                (Stop::End(whole), false)
            }
            Batching::Bounded { rows: None, bytes } => {
                (bulk::find_end(window, place.offset, bytes.get(), quote)?, false)
            }
            Batching::Bounded {
                rows: Some(rows),
                bytes,
            } => {
                let bounds = Bounds {
                    rows: u64::from(rows.get()),
                    bytes: bytes.get(),
                };
                (blocks::find_end(window, place.offset, bounds, quote)?, true)
            }
        };
        let end = refusal::end_of(stop, window, place.line, &self.dialect)?;
        let slice = ByteSlice {
            file: FileId(self.cursor.file),
            start: place.offset,
            end: end.at,
            first_line: place.line,
            first_row: counts_rows.then_some(place.row),
            rows: counts_rows.then_some(end.rows),
            rows_before: 0,
        };
        place.offset = end.at;
        place.line += end.lines;
        place.row += end.rows;
        self.cursor.slices += 1;
        Ok(Some(Slice::Bytes(slice)))
    }
}

fn lines_before(window: &mut Window, end: u64) -> Result<u64, SourceError> {
    let (mut at, mut lines) = (0, 0);
    while at < end {
        let data = window.from(at)?;
        let length = data.len().min((end - at) as usize);
        lines += memchr_iter(b'\n', &data[..length]).count() as u64;
        at += length as u64;
    }
    Ok(lines)
}
