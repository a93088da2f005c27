//! The columns of a slice while it is read: views into the slice's bytes, copies where a field had escapes.
//!
//! Owns the checks that both ways of reading share: the number of fields, their sizes, UTF-8 of what is kept.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;
use arrow_schema::SchemaRef;
use common::failure::Failure;
use common::limits::{MAX_COLUMNS, MAX_FIELD_BYTES, MAX_RECORD_BYTES};

use super::problem::{Problem, Stop};
use crate::batch::compact;

/// A slice is let go of, and what is used of it copied, when no more than one byte in so many is used.
const COMPACT_BELOW: usize = 4;

/// The columns that are kept, growing record by record.
pub(super) struct Columns<'a> {
    bytes: Buffer,
    header: &'a [String],
    wanted: &'a SchemaRef,
    /// Where in `builders` each field of a record goes; `None` for fields that nobody needs.
    targets: Vec<Option<usize>>,
    builders: Vec<StringViewBuilder>,
    rows: usize,
    /// Fields of the open record so far.
    fields: usize,
}

/// A field as a reader found it.
pub(super) enum Field<'f> {
    /// A range of the slice's bytes.
    InSlice(Range<usize>),
    /// Bytes that are nowhere in the slice as they are, and the place of the field in the slice.
    Copied(&'f [u8], usize),
}

impl<'a> Columns<'a> {
    /// Prepares the columns of `wanted`, which are some of those of the header.
    pub(super) fn new(bytes: Buffer, header: &'a [String], wanted: &'a SchemaRef) -> Result<Columns<'a>, Failure> {
        if header.len() > MAX_COLUMNS {
            return Err(Failure::bad_input(format!(
                "the source has {} columns, at most {MAX_COLUMNS} are allowed",
                header.len()
            )));
        }
        let targets: Vec<Option<usize>> = header.iter().map(|name| wanted.index_of(name).ok()).collect();
        let builders = wanted.fields().iter().map(|_| {
            let mut builder = StringViewBuilder::new();
            let block = builder.append_block(bytes.clone());
            debug_assert_eq!(block, SLICE_BLOCK, "the slice is the first block");
            builder
        });
        Ok(Columns {
            builders: builders.collect(),
            bytes,
            header,
            wanted,
            targets,
            rows: 0,
            fields: 0,
        })
    }

    /// Takes the next field of the open record.
    pub(super) fn field(&mut self, field: Field<'_>) -> Result<(), Stop> {
        let place = self.fields;
        self.fields += 1;
        let (length, at) = match &field {
            Field::InSlice(range) => (range.len(), range.start),
            Field::Copied(bytes, at) => (bytes.len(), *at),
        };
        if length > MAX_FIELD_BYTES {
            let column = self.header.get(place).cloned().unwrap_or_default();
            return Err(Stop::Bad(Problem::LongField { column, bytes: length }, at));
        }
        let Some(&Some(target)) = self.targets.get(place) else {
            return Ok(());
        };
        let builder = &mut self.builders[target];
        let taken = match field {
            // Within the slice, so it fails for one reason only: the bytes are not UTF-8.
            Field::InSlice(range) => builder
                .try_append_view(SLICE_BLOCK, range.start as u32, range.len() as u32)
                .is_ok(),
            Field::Copied(bytes, _) => std::str::from_utf8(bytes).is_ok_and(|text| {
                builder.append_value(text);
                true
            }),
        };
        if taken {
            return Ok(());
        }
        let column = self.header[place].clone();
        Err(Stop::Bad(Problem::NotUtf8 { column }, at))
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

    /// Returns how many records are complete.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Makes the record batch.
    pub(super) fn finish(self) -> Result<RecordBatch, Failure> {
        let arrays: Vec<_> = self.builders.into_iter().map(|mut builder| builder.finish()).collect();
        let used: usize = arrays.iter().map(|array| array.total_buffer_bytes_used()).sum();
        let mut columns: Vec<ArrayRef> = arrays.into_iter().map(|array| Arc::new(array) as ArrayRef).collect();
        if used < self.bytes.len() / COMPACT_BELOW {
            columns = columns.iter().map(compact).collect();
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(self.wanted.clone(), columns, &options)
            .map_err(|error| Failure::permanent(format!("the slice does not fit its header: {error}")))
    }
}

/// The number of the slice among the blocks of every builder.
const SLICE_BLOCK: u32 = 0;
