//! The fast way: RFC 4180, split with memchr, fields left where they are.

use arrow_buffer::Buffer;
use common::job::CsvDialect;
use memchr::{memchr, memchr3};

use super::columns::{Columns, Field};
use super::problem::{Problem, Stop};
use crate::ops::CancelToken;

/// How many records are read between two looks at the cancel token.
const CHECK_EVERY: usize = 4_096;

/// Reads all records, or stops with [`Stop::Irregular`] where the text is not RFC 4180.
pub(super) fn read(
    bytes: &Buffer,
    dialect: &CsvDialect,
    columns: &mut Columns<'_>,
    cancel: &CancelToken,
) -> Result<(), Stop> {
    let mut splitter = Splitter {
        bytes,
        delimiter: dialect.delimiter,
        quote: dialect.quote,
        returns: Returns::of(bytes),
        at: 0,
        unescaped: Vec::new(),
    };
    loop {
        splitter.skip_empty_lines();
        if splitter.at == bytes.len() {
            return Ok(());
        }
        if columns.rows().is_multiple_of(CHECK_EVERY) {
            cancel.check().map_err(Stop::Cancelled)?;
        }
        splitter.record(columns)?;
    }
}

/// Whether the slice has carriage returns at all; most have none, and then no field is searched for them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Returns {
    None,
    Some,
}

impl Returns {
    fn of(bytes: &[u8]) -> Returns {
        match memchr(b'\r', bytes) {
            None => Returns::None,
            Some(_) => Returns::Some,
        }
    }
}

/// What follows a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Field,
    EndOfRecord,
}

struct Splitter<'b> {
    bytes: &'b [u8],
    delimiter: u8,
    quote: u8,
    returns: Returns,
    /// The first byte that is not read yet.
    at: usize,
    /// A field without its escapes; kept to be used again.
    unescaped: Vec<u8>,
}

impl Splitter<'_> {
    fn skip_empty_lines(&mut self) {
        while let Some(b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn record(&mut self, columns: &mut Columns<'_>) -> Result<(), Stop> {
        let start = self.at;
        loop {
            let after = match self.bytes.get(self.at) {
                Some(&byte) if byte == self.quote => self.quoted(columns)?,
                Some(_) | None => self.plain(columns)?,
            };
            match after {
                After::Field => {}
                After::EndOfRecord => return columns.end_record(start..self.at),
            }
        }
    }

    /// Reads a field without quotes.
    fn plain(&mut self, columns: &mut Columns<'_>) -> Result<After, Stop> {
        let start = self.at;
        let found = memchr3(self.delimiter, b'\n', self.quote, &self.bytes[start..]);
        let stop = found.map_or(self.bytes.len(), |length| start + length);
        let mut end = stop;
        let after = match self.bytes.get(stop) {
            Some(&byte) if byte == self.quote => return Err(Stop::Irregular),
            Some(&byte) if byte == self.delimiter => After::Field,
            Some(_) | None => After::EndOfRecord,
        };
        if self.returns == Returns::Some {
            let ends_record = after == After::EndOfRecord && stop < self.bytes.len();
            if ends_record && self.bytes[start..end].last() == Some(&b'\r') {
                end -= 1;
            }
            if memchr(b'\r', &self.bytes[start..end]).is_some() {
                return Err(Stop::Irregular);
            }
        }
        self.at = (stop + 1).min(self.bytes.len());
        columns.field(Field::InSlice(start..end))?;
        Ok(after)
    }

    /// Reads a field in quotes.
    fn quoted(&mut self, columns: &mut Columns<'_>) -> Result<After, Stop> {
        let open = self.at;
        let start = open + 1;
        let mut at = start;
        self.unescaped.clear();
        // What of the field is in `unescaped` ends here.
        let mut copied = start;
        let end = loop {
            let Some(length) = memchr(self.quote, &self.bytes[at..]) else {
                return Err(Stop::Bad(Problem::OpenQuote, open));
            };
            let close = at + length;
            if self.bytes.get(close + 1) != Some(&self.quote) {
                break close;
            }
            self.unescaped.extend_from_slice(&self.bytes[copied..=close]);
            at = close + 2;
            copied = at;
        };
        let rest = &self.bytes[end + 1..];
        let (after, length) = match rest {
            [] => (After::EndOfRecord, 0),
            [byte, ..] if *byte == self.delimiter => (After::Field, 1),
            [b'\n', ..] => (After::EndOfRecord, 1),
            [b'\r', b'\n', ..] => (After::EndOfRecord, 2),
            [_, ..] => return Err(Stop::Irregular),
        };
        self.at = end + 1 + length;
        if copied == start {
            columns.field(Field::InSlice(start..end))?;
        } else {
            self.unescaped.extend_from_slice(&self.bytes[copied..end]);
            columns.field(Field::Copied(&self.unescaped, open))?;
        }
        Ok(after)
    }
}
