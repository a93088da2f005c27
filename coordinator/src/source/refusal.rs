//! Turns a scan that found no end into an error that says where to look.
//!
//! A quote that never closes is noticed late: at the end of the file, or when the record has grown too large. Meanwhile
//! every later quote closes or opens for the wrong reason. So the record is read once more, slowly, for the first
//! closing quote that nothing a field may end with follows: the quote before it is the one to look at.

use common::job::CsvDialect;

use super::error::SourceError;
use super::scan::{MAX_RECORD, Mark, Stop};
use super::window::Window;

/// Returns the end of a slice, or the error of a scan that found none. `line` is the line of the slice's start.
pub(super) fn end_of(stop: Stop, window: &mut Window, line: u64, dialect: &CsvDialect) -> Result<Mark, SourceError> {
    match stop {
        Stop::End(mark) => Ok(mark),
        Stop::TooLarge(record) => {
            let file = window.path().to_owned();
            let line = line + record.lines;
            Err(match suspicious_quote(window, record.at, line, dialect)? {
                Some(opened) => SourceError::QuoteTooLong { file, line, opened },
                None => SourceError::RecordTooLarge { file, line },
            })
        }
        Stop::OpenQuote(record) => {
            let first = line + record.lines;
            let opened = suspicious_quote(window, record.at, first, dialect)?;
            Err(SourceError::QuoteNeverCloses {
                file: window.path().to_owned(),
                line: opened.unwrap_or(first),
            })
        }
    }
}

/// Where a byte-wise reading of a record is.
enum Place {
    /// Outside quotes.
    Outside,
    /// In quotes that opened on a line.
    Inside(u64),
    /// Behind a quote that closes those that opened on a line, unless another quote follows.
    Closed(u64),
}

/// Returns the line of the quote of a record that is not closed as it should be.
fn suspicious_quote(
    window: &mut Window,
    record: u64,
    line: u64,
    dialect: &CsvDialect,
) -> Result<Option<u64>, SourceError> {
    let end = window.end().min(record + MAX_RECORD + 1);
    let mut at = record;
    let mut line = line;
    let mut place = Place::Outside;
    while at < end {
        let data = window.from(at)?;
        let length = data.len().min((end - at) as usize);
        for &byte in &data[..length] {
            place = match (place, byte == dialect.quote) {
                (Place::Outside, true) => Place::Inside(line),
                (Place::Outside, false) => Place::Outside,
                (Place::Inside(opened), true) => Place::Closed(opened),
                (Place::Inside(opened), false) => Place::Inside(opened),
                (Place::Closed(opened), true) => Place::Inside(opened),
                (Place::Closed(_), false) if byte == dialect.delimiter || matches!(byte, b'\n' | b'\r') => {
                    Place::Outside
                }
                (Place::Closed(opened), false) => return Ok(Some(opened)),
            };
            line += u64::from(byte == b'\n');
        }
        at += length as u64;
    }
    Ok(match place {
        Place::Inside(opened) => Some(opened),
        Place::Outside | Place::Closed(_) => None,
    })
}
