//! Reading CSV: a slice's bytes become columns of views.
//!
//! There are two ways with one result. The fast one ([`fast`]) finds the structure of RFC 4180 with bit masks
//! ([`index`]) and points into the slice. Where the text is not RFC 4180 (a bare quote in a field without quotes, text
//! after a closing quote, a lone carriage return), and where a record is longer than a field may be, the slice is read
//! again by the state machine of the csv crate ([`careful`]), which says what such text means, and whose fields are
//! copied. An empty line is no record.
//!
//! Both feed [`columns::Columns`], which keeps the needed columns and checks each record. What is wrong with the rows
//! is a [`problem::Problem`]; it names the file, the line and the column.
//!
//! Known weakness: one field that is not RFC 4180 makes the whole slice take the careful way.

mod careful;
mod columns;
mod fast;
mod index;
mod problem;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_schema::SchemaRef;
use common::failure::Failure;
use common::job::CsvDialect;

use columns::Columns;
use problem::Stop;

use super::CancelToken;

/// The text of a slice, and where it comes from.
#[derive(Debug)]
pub(super) struct SliceText<'a> {
    /// The file's path, for messages.
    pub(super) path: &'a str,
    /// The line of the first byte in the file, from 1.
    pub(super) first_line: u64,
    /// The bytes: whole records, and behind them anything. A tail of 16 bytes or more makes reading quicker.
    pub(super) bytes: Buffer,
    /// How many of the bytes are the slice.
    pub(super) length: usize,
}

/// Reads the wanted columns of a slice whose records have the fields that `header` names.
pub(super) fn read(
    text: SliceText<'_>,
    dialect: &CsvDialect,
    header: &[String],
    wanted: &SchemaRef,
    cancel: &CancelToken,
) -> Result<RecordBatch, Failure> {
    let SliceText {
        path,
        first_line,
        bytes: text,
        length,
    } = text;
    let prepare = || Columns::new(&text, length, dialect.quote, header, wanted);
    let bytes = &text.as_slice()[..length];
    let mut columns = prepare()?;
    let mut read = fast::read(bytes, fast::PIECE, dialect, &mut columns, cancel);
    if matches!(read, Err(Stop::Irregular)) {
        columns = prepare()?;
        read = careful::read(bytes, dialect, &mut columns, cancel);
    }
    match read {
        Ok(()) => columns.finish(),
        Err(Stop::Irregular) => Err(Failure::permanent("the careful way takes every text")),
        Err(Stop::Cancelled(failure)) => Err(failure),
        Err(Stop::Bad(problem, place)) => {
            let before = &bytes[..place.min(bytes.len())];
            let line = first_line + memchr::memchr_iter(b'\n', before).count() as u64;
            Err(Failure::bad_input(format!("{path}, line {line}: {problem}")))
        }
    }
}

#[cfg(test)]
mod tests;
