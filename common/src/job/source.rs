//! Where the rows come from, and how they are cut into batches.

use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

/// The files of a run, read one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Paths; a `*` or `?` in the last segment matches names, sorted.
    pub uris: Vec<String>,
    /// How the files are written.
    pub csv: CsvDialect,
}

/// How a CSV file is written. The default is RFC 4180 with a header, in UTF-8, and never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvDialect {
    /// What separates fields.
    pub delimiter: u8,
    /// What encloses fields that hold a delimiter, a quote or a newline; doubled inside.
    pub quote: u8,
    /// Whether the first record names the columns.
    pub header: Header,
    /// The names of the columns when no record names them.
    pub columns: Vec<String>,
}

impl Default for CsvDialect {
    fn default() -> Self {
        CsvDialect {
            delimiter: b',',
            quote: b'"',
            header: Header::FirstRow,
            columns: Vec::new(),
        }
    }
}

/// Where a file's column names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Header {
    /// In its first record.
    FirstRow,
    /// Nowhere: the spec names them.
    None,
}

/// How the source is cut into batches: the first bound reached closes a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Batching {
    /// So many rows, so many bytes, or whichever is reached first. A single larger record is a batch of its own.
    Bounded {
        /// The most rows of a batch.
        rows: Option<NonZeroU32>,
        /// The most bytes of a batch.
        bytes: NonZeroU64,
    },
    /// The whole input is one batch per file.
    WholeInput,
}

impl Batching {
    /// The bound that applies unless the spec names one.
    pub const DEFAULT_BYTES: NonZeroU64 = NonZeroU64::new(8 << 20).expect("is not zero");
}

impl Default for Batching {
    fn default() -> Self {
        Batching::Bounded {
            rows: NonZeroU32::new(10_000),
            bytes: Self::DEFAULT_BYTES,
        }
    }
}
