//! The source as a run sees it: a frozen listing of files, and the slices that batches are made of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The place of a file in a run's frozen listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId(pub u32);

/// One file of the listing, as it was when the run was accepted. A file that changed since is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Where it is: an absolute path.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What changes when its content does: inode, size and time of change, opaque to everyone but the reader.
    pub etag: String,
    /// Bytes before the first record: byte order mark and header.
    pub data_start: u64,
}

impl SourceFile {
    /// Spells the etag of a file, from what the file system tells about it. The sharder and every reader of a slice
    /// compare by it; a change that keeps the inode, the size and the time of change goes unseen.
    pub fn etag_of(inode: u64, bytes: u64, modified_seconds: i64, modified_nanoseconds: i64) -> String {
        format!("{inode:x}-{bytes:x}-{modified_seconds:x}.{modified_nanoseconds:09}")
    }
}

/// The listing and the header, frozen when the run is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenSource {
    /// The files in the order in which they are read.
    pub files: Vec<SourceFile>,
    /// The columns that all of them have.
    pub columns: Vec<String>,
}

impl FrozenSource {
    /// Returns the bytes of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// A contiguous piece of the source that makes up a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slice {
    /// A range of bytes that holds whole records of one file.
    Bytes(ByteSlice),
}

impl Slice {
    /// Returns the size of the slice in bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Slice::Bytes(slice) => slice.end - slice.start,
        }
    }

    /// Returns how many rows the slice holds, where the sharding counted them.
    pub fn rows(&self) -> Option<u64> {
        match self {
            Slice::Bytes(slice) => slice.rows,
        }
    }
}

/// Whole records of one file, by their byte range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteSlice {
    /// The file it is cut from.
    pub file: FileId,
    /// The first byte of its first record.
    pub start: u64,
    /// The byte after its last record.
    pub end: u64,
    /// The line of its first byte in the file, from 1.
    pub first_line: u64,
    /// The place of its first row in the file, from 0, where the sharding counted rows.
    pub first_row: Option<u64>,
    /// How many rows it holds, where the sharding counted them.
    pub rows: Option<u64>,
    /// How many rows of its batch come before it: none unless the batch was halved.
    pub rows_before: u64,
}

impl ByteSlice {
    /// Returns the first of two slices of the same batch that this one is cut into, and the second: `end` and
    /// `first_line` say where, and `rows` how many rows come before it.
    pub fn cut_at(&self, end: u64, first_line: u64, rows: Halved) -> (ByteSlice, ByteSlice) {
        let first = ByteSlice {
            end,
            rows: Some(rows.first),
            ..self.clone()
        };
        let second = ByteSlice {
            start: end,
            first_line,
            first_row: self.first_row.map(|row| row + rows.first),
            rows: Some(rows.second),
            rows_before: self.rows_before + rows.first,
            ..self.clone()
        };
        (first, second)
    }
}

/// How many rows two halves of a slice have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halved {
    /// The first one.
    pub first: u64,
    /// The second one.
    pub second: u64,
}

/// A single row that no op could use: kept with its place in the source, so that somebody can mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadRow {
    /// The line that it begins in, from 1.
    pub line: u64,
    /// Its first byte in the file.
    pub byte: u64,
    /// Its text, without the line break behind it, cut to [`BadRow::MAX_TEXT`] bytes; what is no UTF-8 is replaced.
    pub text: String,
}

impl BadRow {
    /// The most bytes of a bad row's text that are kept.
    pub const MAX_TEXT: usize = 1_024;
}

/// Everything about a run that a worker needs before its first lease of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunContext {
    /// The run.
    pub run: crate::ids::RunId,
    /// Its job, every default filled in and every path absolute.
    pub job: Arc<crate::job::Job>,
    /// Its listing and header.
    pub source: Arc<FrozenSource>,
    /// What generated values (uuids) are derived from, so that every attempt makes the same ones.
    pub seed: u64,
}
