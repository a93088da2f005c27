//! Cutting the slice of a failed batch in two, between two records and with half of them on each side.
//!
//! Works by the same rules as the sharder, on the same file, so that the halves hold the records that the slice held.
//! A slice of a single record is not cut: the record is read, so that it can be named.
//!
//! Known weakness: a slice that the rules cannot read (see [`super`]) is not cut, and its batch fails as a whole.

use common::job::CsvDialect;
use common::slice::{BadRow, ByteSlice, FrozenSource, Halved, Slice};
use scheduler::SliceCut;

use super::blocks;
use super::error::SourceError;
use super::scan::{Bounds, Mark, Stop};
use super::window::{BUFFER, Window};

/// Cuts a slice of a source; blocks on the file.
pub fn halve(source: &FrozenSource, dialect: &CsvDialect, slice: &Slice) -> SliceCut {
    let Slice::Bytes(bytes) = slice;
    cut(source, dialect, bytes).unwrap_or_else(|error| {
        tracing::warn!(%error, "a failed batch cannot be halved");
        SliceCut::Unreadable
    })
}

fn cut(source: &FrozenSource, dialect: &CsvDialect, slice: &ByteSlice) -> Result<SliceCut, SourceError> {
    let Some(file) = source.files.get(slice.file.0 as usize) else {
        return Ok(SliceCut::Unreadable);
    };
    let mut window = Window::open(file, BUFFER)?;
    let whole = Bounds {
        rows: u64::MAX,
        bytes: slice.end - slice.start,
    };
    let rows = match blocks::find_end(&mut window, slice.start, whole, dialect.quote)? {
        Stop::End(Mark { at, rows, .. }) if at == slice.end => rows,
        Stop::End(_) | Stop::TooLarge(_) | Stop::OpenQuote(_) => return Ok(SliceCut::Unreadable),
    };
    match rows {
        0 => Ok(SliceCut::Unreadable),
        1 => Ok(SliceCut::Single(read_row(&mut window, slice)?)),
        2.. => {
            let first = rows.div_ceil(2);
            let half = Bounds {
                rows: first,
                bytes: u64::MAX,
            };
            let Stop::End(middle) = blocks::find_end(&mut window, slice.start, half, dialect.quote)? else {
                return Ok(SliceCut::Unreadable);
            };
            let halved = Halved {
                first,
                second: rows - first,
            };
            let (first, second) = slice.cut_at(middle.at, slice.first_line + middle.lines, halved);
            Ok(SliceCut::Halves {
                first: Slice::Bytes(first),
                second: Slice::Bytes(second),
            })
        }
    }
}

/// Reads the only record of a slice, without the empty lines around it.
fn read_row(window: &mut Window, slice: &ByteSlice) -> Result<BadRow, SourceError> {
    let (mut byte, mut line) = (slice.start, slice.first_line);
    while byte < slice.end {
        match window.from(byte)? {
            [b'\n', ..] => line += 1,
            [b'\r', ..] => {}
            [..] => break,
        }
        byte += 1;
    }
    let mut text = Vec::new();
    let wanted = (slice.end - byte).min(BadRow::MAX_TEXT as u64) as usize;
    while text.len() < wanted {
        let found = window.from(byte + text.len() as u64)?;
        let taken = found.len().min(wanted - text.len());
        text.extend_from_slice(&found[..taken]);
    }
    let text = String::from_utf8_lossy(&text).trim_end_matches(['\r', '\n']).to_owned();
    Ok(BadRow { line, byte, text })
}
