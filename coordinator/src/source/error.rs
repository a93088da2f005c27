//! What can be wrong with a source, each with the file and line where there is one.

use std::io;

use common::failure::Failure;
use common::job::FieldProblem;
use common::limits;
use common::units::ByteSize;

/// The most files that a run may read.
pub const MAX_FILES: usize = 100_000;

/// Why a source cannot be listed or sharded.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// An uri has a scheme that is not read.
    #[error("{uri}: {scheme}:// is not supported; give a path or a file:// uri")]
    UnknownScheme {
        /// The uri.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// A `file://` uri that names another machine, is not absolute, or has a bad escape.
    #[error("{uri}: is no file uri of this machine; write file:///folder/file.csv, with %20 for a space")]
    BadFileUri {
        /// The uri.
        uri: String,
    },
    /// There is no such file.
    #[error("{path}: does not exist; check the path (relative ones start at {base})")]
    Missing {
        /// The path.
        path: String,
        /// What relative paths are relative to.
        base: String,
    },
    /// A pattern matches nothing.
    #[error("{pattern}: matches no file")]
    NoMatch {
        /// The pattern.
        pattern: String,
    },
    /// More files than a run may have.
    #[error("{pattern}: there are more than {MAX_FILES} files; name fewer or split the job")]
    TooManyFiles {
        /// The pattern or path with which there were too many.
        pattern: String,
    },
    /// A path leads outside the allowed roots.
    #[error("{path}: is outside the allowed roots; move it below one, or start the coordinator with --allow-root")]
    OutsideRoots {
        /// The path, as it was given.
        path: String,
    },
    /// A path names something that is not a regular file.
    #[error("{path}: is {what}; name a regular file")]
    NotAFile {
        /// The path.
        path: String,
        /// What it is instead.
        what: &'static str,
    },
    /// A path is not UTF-8.
    #[error("{path}: the path is not UTF-8; rename the file")]
    PathNotUtf8 {
        /// The path, as far as it can be shown.
        path: String,
    },
    /// A file or folder cannot be opened or read.
    #[error("{file}: cannot be read: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// A file has no bytes.
    #[error("{file}: the file is empty: it has no header")]
    Empty {
        /// The file.
        file: String,
    },
    /// A file has line breaks where its header should be.
    #[error("{file}: the file has no header: it begins with empty lines only")]
    BlankHeader {
        /// The file.
        file: String,
    },
    /// A file begins with the byte order mark of UTF-16.
    #[error("{file}: line 1: the file is UTF-16; convert it to UTF-8")]
    Utf16 {
        /// The file.
        file: String,
    },
    /// A column's name is not UTF-8.
    #[error("{file}: line {line}: the name of column {column} is not UTF-8; convert the file to UTF-8")]
    HeaderNotUtf8 {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: usize,
    },
    /// A column has no name.
    #[error("{file}: line {line}: column {column} has no name; give it one")]
    UnnamedColumn {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: usize,
    },
    /// Two columns have the same name.
    #[error("{file}: line {line}: column {column} has the name {name:?} of column {first}; rename one")]
    DuplicateColumn {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The later column, from 1.
        column: usize,
        /// The earlier column, from 1.
        first: usize,
        /// Their name.
        name: String,
    },
    /// A header with more columns than are allowed.
    #[error(
        "{file}: line {line}: the header has {columns} columns, at most {} are allowed",
        limits::MAX_COLUMNS
    )]
    TooManyColumns {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// How many there are.
        columns: usize,
    },
    /// A name in the header is larger than a field may be.
    #[error("{file}: line {line}: the name of column {column} is larger than {}", ByteSize(limits::MAX_FIELD_BYTES as u64))]
    FieldTooLarge {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: usize,
    },
    /// A header that reads differently with and without its quotes.
    #[error("{file}: line {line}: the header has a quote inside an unquoted name; quote the name and double the quote")]
    BareQuote {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
    },
    /// A file whose header is not that of the run's first file.
    #[error(
        "{file}: line {line}: the header differs from that of {other}: {difference}; a run's files share one header"
    )]
    HeaderDiffers {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The run's first file.
        other: String,
        /// What differs.
        difference: String,
    },
    /// A record that is larger than is allowed.
    #[error("{file}: line {line}: the record that begins here is larger than {}", ByteSize(limits::MAX_RECORD_BYTES as u64))]
    RecordTooLarge {
        /// The file.
        file: String,
        /// The line where it begins, from 1.
        line: u64,
    },
    /// A record that is larger than is allowed, it seems because of a quote.
    #[error(
        "{file}: line {line}: the record that begins here is larger than {}; the quote opened on line {opened} seems never to close",
        ByteSize(limits::MAX_RECORD_BYTES as u64)
    )]
    QuoteTooLong {
        /// The file.
        file: String,
        /// The line where the record begins, from 1.
        line: u64,
        /// The line of the quote, from 1.
        opened: u64,
    },
    /// The file ends inside quotes.
    #[error(
        "{file}: line {line}: the quote opened here never closes; close it, or double it where it is meant literally"
    )]
    QuoteNeverCloses {
        /// The file.
        file: String,
        /// The line of the quote, from 1.
        line: u64,
    },
    /// A file is not what it was when the run was accepted.
    #[error("{file}: the file changed since the run was submitted; submit a new run")]
    Changed {
        /// The file.
        file: String,
    },
    /// A cursor of another version or another source.
    #[error("the shard cursor cannot be resumed from: {problem}")]
    BadCursor {
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Failure {
        let message = error.to_string();
        if matches!(error, SourceError::Unreadable { .. } | SourceError::BadCursor { .. }) {
            Failure::permanent(message)
        } else {
            Failure::bad_input(message)
        }
    }
}

/// A source that cannot be listed: which uri of the spec, and why.
#[derive(Debug, thiserror::Error)]
#[error("source.uris[{uri}]: {error}")]
pub struct InvalidSource {
    /// The place of the uri in the spec, from 0.
    pub uri: usize,
    /// What is wrong with it.
    pub error: SourceError,
}

impl From<InvalidSource> for FieldProblem {
    fn from(invalid: InvalidSource) -> FieldProblem {
        FieldProblem::new(format!("source.uris[{}]", invalid.uri), invalid.error.to_string())
    }
}
