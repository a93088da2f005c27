//! The careful way: the csv crate's state machine, for text that is not RFC 4180.

use std::io::Read;

use common::job::CsvDialect;
use csv::{ByteRecord, ReaderBuilder};

use super::columns::Columns;
use super::problem::{Problem, Stop};
use crate::ops::CancelToken;

/// A record that is read after the slice: it comes out as it is exactly if the slice ends outside quotes.
const SENTINEL: &[u8] = b"\nend\n";

/// Reads all records.
pub(super) fn read(
    bytes: &[u8],
    dialect: &CsvDialect,
    columns: &mut Columns<'_>,
    cancel: &CancelToken,
) -> Result<(), Stop> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(dialect.delimiter)
        .quote(dialect.quote)
        .from_reader(bytes.chain(SENTINEL));
    let mut record = ByteRecord::new();
    let mut next = ByteRecord::new();
    // One record behind, because the last one is the sentinel.
    let mut start = read_record(&mut reader, &mut record)?;
    loop {
        cancel.check().map_err(Stop::Cancelled)?;
        let end = reader.position().byte() as usize;
        let next_start = read_record(&mut reader, &mut next)?;
        if next_start.is_none() {
            let is_sentinel = record.len() == 1 && record.get(0) == Some(b"end".as_slice());
            let at = start.unwrap_or(0);
            return if is_sentinel {
                Ok(())
            } else {
                Err(Stop::Bad(Problem::OpenQuote, at))
            };
        }
        let at = skip_empty_lines(bytes, start.unwrap_or(0));
        for field in &record {
            columns.field(field, at)?;
        }
        columns.end_record(at..end.min(bytes.len()).max(at))?;
        std::mem::swap(&mut record, &mut next);
        start = next_start;
    }
}

/// Reads the next record and returns where it begins, or `None` after the last one.
fn read_record<R: Read>(reader: &mut csv::Reader<R>, record: &mut ByteRecord) -> Result<Option<usize>, Stop> {
    let start = reader.position().byte() as usize;
    // Reading memory cannot fail, and records may have any number of fields.
    let found = reader.read_byte_record(record).unwrap_or(false);
    Ok(found.then_some(start))
}

/// The csv crate counts the empty lines before a record to the record.
fn skip_empty_lines(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    start + empty
}
