//! Reads the beginning of a file: byte order mark and header.
//!
//! Owns the checks of the header; the bounds on its size are those of any record, and it is found by the scanner that
//! finds all records. Empty lines before and after it belong to it.

use std::collections::HashMap;

use common::job::{CsvDialect, Header};
use common::limits::{MAX_COLUMNS, MAX_FIELD_BYTES};

use super::error::SourceError;
use super::scan::{Bounds, MAX_RECORD};
use super::window::Window;
use super::{blocks, refusal};

const UTF8_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
const UTF16_MARKS: [&[u8]; 2] = [&[0xff, 0xfe], &[0xfe, 0xff]];

/// What stands before the data of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The line of the header, from 1.
    pub line: u64,
    /// The offset of the data.
    pub data_start: u64,
}

/// Reads the beginning of a file.
pub(super) fn read(window: &mut Window, dialect: &CsvDialect) -> Result<Beginning, SourceError> {
    let file = window.path().to_owned();
    let first = window.from(0)?;
    if UTF16_MARKS.iter().any(|mark| first.starts_with(mark)) {
        return Err(SourceError::Utf16 { file });
    }
    let start = if first.starts_with(UTF8_MARK) {
        UTF8_MARK.len()
    } else {
        0
    } as u64;
    match dialect.header {
        Header::None => Ok(Beginning {
            columns: dialect.columns.clone(),
            line: 1,
            data_start: start,
        }),
        Header::FirstRow if start == window.end() => Err(SourceError::Empty { file }),
        Header::FirstRow => read_header(window, start, dialect),
    }
}

fn read_header(window: &mut Window, start: u64, dialect: &CsvDialect) -> Result<Beginning, SourceError> {
    let file = window.path().to_owned();
    let one_record = Bounds {
        rows: 1,
        bytes: MAX_RECORD,
    };
    let stop = blocks::find_end(window, start, one_record, dialect.quote)?;
    let end = refusal::end_of(stop, window, 1, dialect)?;
    if end.rows == 0 {
        return Err(SourceError::BlankHeader { file });
    }
    let text = read_range(window, start, end.at)?;
    let blank = text.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
    let line = 1 + blank.filter(|byte| **byte == b'\n').count() as u64;

    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(dialect.delimiter)
        .quote(dialect.quote)
        .from_reader(text.as_slice());
    let mut records = reader.byte_records().map_while(Result::ok);
    let (Some(header), None) = (records.next(), records.next()) else {
        return Err(SourceError::BareQuote { file, line });
    };
    let columns = check_header(&file, line, &header)?;
    Ok(Beginning {
        columns,
        line,
        data_start: end.at,
    })
}

fn read_range(window: &mut Window, start: u64, end: u64) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::with_capacity((end - start) as usize);
    while start + (bytes.len() as u64) < end {
        let at = start + bytes.len() as u64;
        let data = window.from(at)?;
        bytes.extend_from_slice(&data[..data.len().min((end - at) as usize)]);
    }
    Ok(bytes)
}

fn check_header(file: &str, line: u64, header: &csv::ByteRecord) -> Result<Vec<String>, SourceError> {
    let file = || file.to_owned();
    if header.len() > MAX_COLUMNS {
        return Err(SourceError::TooManyColumns {
            file: file(),
            line,
            columns: header.len(),
        });
    }
    let mut columns: Vec<String> = Vec::with_capacity(header.len());
    let mut seen = HashMap::with_capacity(header.len());
    let mut line = line;
    for (place, name) in header.iter().enumerate() {
        let column = place + 1;
        if name.len() > MAX_FIELD_BYTES {
            return Err(SourceError::FieldTooLarge {
                file: file(),
                line,
                column,
            });
        }
        let Ok(text) = std::str::from_utf8(name) else {
            return Err(SourceError::HeaderNotUtf8 {
                file: file(),
                line,
                column,
            });
        };
        if text.is_empty() {
            return Err(SourceError::UnnamedColumn {
                file: file(),
                line,
                column,
            });
        }
        if let Some(first) = seen.insert(text.to_owned(), column) {
            return Err(SourceError::DuplicateColumn {
                file: file(),
                line,
                column,
                first,
                name: text.to_owned(),
            });
        }
        columns.push(text.to_owned());
        // A name in quotes may go over several lines.
        line += name.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    Ok(columns)
}
