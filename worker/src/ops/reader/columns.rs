//! The columns of a slice while it is read: views into the slice's bytes, copies where a field had escapes.
//!
//! Owns the checks that both ways of reading share: the number of fields, their sizes, UTF-8 of what is kept. The fast
//! way hands over many records at once, which are taken column by column; the careful way hands over field by field.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow_buffer::Buffer;
use arrow_schema::SchemaRef;
use common::failure::Failure;
use common::limits::{MAX_COLUMNS, MAX_FIELD_BYTES, MAX_RECORD_BYTES};
use memchr::memchr;
use scan::TextViews;

use super::index::Index;
use super::problem::{Problem, Stop};

/// A slice is let go of, and what is used of it copied, when no more than one byte in so many is used.
const COMPACT_BELOW: usize = 4;

/// The columns that are kept, growing record by record.
pub(super) struct Columns<'a> {
    bytes: &'a [u8],
    quote: u8,
    header: &'a [String],
    wanted: &'a SchemaRef,
    columns: Vec<Column>,
    /// Which of `columns` each field of a record goes to; `None` for fields that nobody needs.
    targets: Vec<Option<usize>>,
    rows: usize,
    /// Fields of the open record so far.
    fields: usize,
    /// Where the next record begins in the slice.
    next_record: usize,
    /// The records of a piece; kept to be used again.
    records: Vec<Record>,
    /// A field without its escapes; kept to be used again.
    unescaped: Vec<u8>,
}

/// A column that is kept.
struct Column {
    /// Its place in a record.
    place: usize,
    views: TextViews,
}

/// A record whose fields were counted.
struct Record {
    /// Where it begins in the slice.
    start: usize,
    /// The place of its first field's end among the ends.
    first_end: usize,
}

impl<'a> Columns<'a> {
    /// Prepares the columns of `wanted`, which are some of those of the header, for a slice: the text up to a length.
    pub(super) fn new(
        text: &'a Buffer,
        length: usize,
        quote: u8,
        header: &'a [String],
        wanted: &'a SchemaRef,
    ) -> Result<Columns<'a>, Failure> {
        if header.len() > MAX_COLUMNS {
            return Err(Failure::bad_input(format!(
                "the source has {} columns, at most {MAX_COLUMNS} are allowed",
                header.len()
            )));
        }
        let targets: Vec<Option<usize>> = header.iter().map(|name| wanted.index_of(name).ok()).collect();
        let place_of = |name: &String| header.iter().position(|column| column == name);
        let columns = wanted.fields().iter().filter_map(|field| {
            Some(Column {
                place: place_of(field.name())?,
                views: TextViews::new(text.clone()),
            })
        });
        Ok(Columns {
            bytes: &text.as_slice()[..length],
            quote,
            header,
            wanted,
            columns: columns.collect(),
            targets,
            rows: 0,
            fields: 0,
            next_record: 0,
            records: Vec::new(),
            unescaped: Vec::new(),
        })
    }

    /// Takes the records that are complete in an index of RFC 4180 text, and lets the index forget them.
    pub(super) fn take_records(&mut self, index: &mut Index) -> Result<(), Stop> {
        let mut records = std::mem::take(&mut self.records);
        records.clear();
        let counted = self.count_fields(index, &mut records);
        if self.rows == 0 {
            self.expect_rows(records.len());
        }
        let taken = counted.and_then(|()| self.take_columns(index.ends(), &records));
        self.rows += records.len();
        self.records = records;
        index.drop_lines();
        taken
    }

    /// Finds the records, and whether each has the fields of the header.
    fn count_fields(&mut self, index: &Index, records: &mut Vec<Record>) -> Result<(), Stop> {
        let ends = index.ends();
        let expected = self.header.len();
        let mut first_end = 0;
        for &line in index.lines() {
            let line = line as usize;
            let found = line + 1 - first_end;
            let start = self.next_record;
            let end = ends[line] as usize;
            let is_empty_line = found == 1 && matches!(&self.bytes[start..end], [] | [b'\r']);
            if !is_empty_line {
                if found != expected {
                    return Err(Stop::Bad(Problem::Ragged { expected, found }, start));
                }
                // One of its fields may be too long; that is for the careful way to find.
                if end - start > MAX_FIELD_BYTES {
                    return Err(Stop::Irregular);
                }
                records.push(Record { start, first_end });
            }
            self.next_record = end + 1;
            first_end = line + 1;
        }
        Ok(())
    }

    fn take_columns(&mut self, ends: &[u32], records: &[Record]) -> Result<(), Stop> {
        let bytes = self.bytes;
        for column in &mut self.columns {
            let place = column.place;
            let is_last = place + 1 == self.header.len();
            for record in records {
                let start = match place {
                    0 => record.start,
                    later => ends[record.first_end + later - 1] as usize + 1,
                };
                let mut end = ends[record.first_end + place] as usize;
                if is_last && start < end && bytes[end - 1] == b'\r' {
                    end -= 1;
                }
                let taken = if start < end && bytes[start] == self.quote {
                    take_quoted(column, bytes, start + 1..end - 1, self.quote, &mut self.unescaped)
                } else {
                    column.views.push(start..end)
                };
                if taken.is_err() {
                    let column = self.header[place].clone();
                    return Err(Stop::Bad(Problem::NotUtf8 { column }, start));
                }
            }
        }
        Ok(())
    }

    /// Makes room for the rows of the whole slice, judging by those of its first piece.
    fn expect_rows(&mut self, rows: usize) {
        let Some(whole) = (rows * self.bytes.len()).checked_div(self.next_record) else {
            return;
        };
        for column in &mut self.columns {
            column.views.reserve(whole + whole / 16);
        }
    }

    /// Takes the next field of the open record, and its place in the slice.
    pub(super) fn field(&mut self, field: &[u8], at: usize) -> Result<(), Stop> {
        let place = self.fields;
        self.fields += 1;
        if field.len() > MAX_FIELD_BYTES {
            let column = self.header.get(place).cloned().unwrap_or_default();
            let bytes = field.len();
            return Err(Stop::Bad(Problem::LongField { column, bytes }, at));
        }
        let Some(&Some(target)) = self.targets.get(place) else {
            return Ok(());
        };
        self.columns[target].views.push_copied(field).map_err(|_| {
            let column = self.header[place].clone();
            Stop::Bad(Problem::NotUtf8 { column }, at)
        })
    }

    /// Closes the open record, which lies at `record` in the slice.
    pub(super) fn end_record(&mut self, record: Range<usize>) -> Result<(), Stop> {
        let found = std::mem::take(&mut self.fields);
        let expected = self.header.len();
        if found != expected {
            return Err(Stop::Bad(Problem::Ragged { expected, found }, record.start));
        }
        let bytes = record.len();
        if bytes > MAX_RECORD_BYTES {
            return Err(Stop::Bad(Problem::LongRecord { bytes }, record.start));
        }
        self.rows += 1;
        Ok(())
    }

    /// Makes the record batch.
    pub(super) fn finish(self) -> Result<RecordBatch, Failure> {
        let used: usize = self.columns.iter().map(|column| column.views.used()).sum();
        let compacts = used > 0 && used < self.bytes.len() / COMPACT_BELOW;
        let array = |column: Column| -> ArrayRef {
            let array: StringViewArray = column.views.finish();
            if compacts && !array.data_buffers().is_empty() {
                return Arc::new(array.gc());
            }
            Arc::new(array)
        };
        let arrays = self.columns.into_iter().map(array).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(self.wanted.clone(), arrays, &options)
            .map_err(|error| Failure::permanent(format!("the slice does not fit its header: {error}")))
    }
}

/// Takes what is between the quotes of a field.
fn take_quoted(
    column: &mut Column,
    bytes: &[u8],
    inner: Range<usize>,
    quote: u8,
    unescaped: &mut Vec<u8>,
) -> Result<(), scan::NotUtf8> {
    let mut rest = &bytes[inner.clone()];
    let Some(mut escape) = memchr(quote, rest) else {
        return column.views.push(inner);
    };
    unescaped.clear();
    loop {
        // Of the two quotes the first is kept.
        unescaped.extend_from_slice(&rest[..=escape]);
        rest = &rest[escape + 2..];
        match memchr(quote, rest) {
            Some(next) => escape = next,
            None => break,
        }
    }
    unescaped.extend_from_slice(rest);
    column.views.push_copied(unescaped)
}
