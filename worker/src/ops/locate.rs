//! Where a row of a batch stands in its file: looked up only when something is wrong with it.
//!
//! A batch knows where its slice begins and each row's place in it. Lines are counted by reading the slice again up to
//! the row, because fields may hold line breaks. If the file cannot be read any more, the place in the slice has to do.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use common::slice::RunContext;
use csv::{ByteRecord, ReaderBuilder};

use crate::batch::Provenance;

/// Says where a row of a batch stands, as messages begin: the file and the line.
pub(super) fn row(run: &RunContext, provenance: &Provenance, row: usize) -> String {
    let place = provenance.place(row);
    let Some(file) = run.source.files.get(provenance.file.0 as usize) else {
        return format!("row {}", place + 1);
    };
    match line(run, &file.path, provenance, place) {
        Some(line) => format!("{}, line {line}", file.path),
        None => format!(
            "{}, row {} from line {} on",
            file.path,
            place + 1,
            provenance.first_line
        ),
    }
}

fn line(run: &RunContext, path: &str, provenance: &Provenance, place: u64) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(provenance.start)).ok()?;
    let dialect = &run.job.source.csv;
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(dialect.delimiter)
        .quote(dialect.quote)
        .from_reader(BufReader::new(file));
    let mut record = ByteRecord::new();
    for _ in 0..=place {
        if !reader.read_byte_record(&mut record).ok()? {
            return None;
        }
    }
    let position = record.position()?;
    // Empty lines are no records, and the reader counts them to the record behind them.
    let empty = lines_before_text(path, provenance.start + position.byte())?;
    Some(provenance.first_line + position.line() - 1 + empty)
}

/// Counts the empty lines at a place in a file.
fn lines_before_text(path: &str, at: u64) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(at)).ok()?;
    let mut lines = 0;
    for byte in BufReader::new(file).bytes() {
        match byte.ok()? {
            b'\n' => lines += 1,
            b'\r' => {}
            _ => break,
        }
    }
    Some(lines)
}
