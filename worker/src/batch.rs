//! A batch as a worker holds it: one Arrow record batch, and where its rows come from.
//!
//! Owns the count of the bytes that a batch keeps in memory, and its form on the wire and on disk (an Arrow IPC
//! stream). Text columns are string views, usually into the bytes of the slice that was read, so most ops hand on a
//! batch without copying a byte; numbers that an op made are `Int64`.
//!
//! Data flows from `extract` through the ops of a chain as a [`Batch`]; a batch that has to wait or to move is turned
//! into bytes by [`Batch::to_ipc`] and comes back by [`Batch::from_ipc`].
//!
//! Known weakness: views into a slice keep the whole slice; `extract` copies what is used when that is little.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use common::slice::FileId;

/// The hidden column that carries the places of the rows while a filtered batch is bytes.
const PLACES_COLUMN: &str = "\0places";
/// Where the schema's metadata keeps the provenance.
const PROVENANCE_KEY: &str = "plumbline.provenance";

/// Some rows of a run, in memory.
#[derive(Clone, Debug)]
pub struct Batch {
    records: RecordBatch,
    provenance: Provenance,
}

/// Where the rows of a batch come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// The file.
    pub file: FileId,
    /// The first byte of the slice in the file.
    pub start: u64,
    /// The line of that byte, from 1.
    pub first_line: u64,
    /// The place in the file of the slice's first row, from 0, where the sharding counted rows.
    pub first_row: Option<u64>,
    /// How many rows of the batch come before the slice: none unless the batch was halved.
    pub rows_before: u64,
    /// The place in the slice of each row that is left; `None` while every row is there.
    pub places: Option<UInt32Array>,
}

impl Provenance {
    /// Returns the place in the slice of a row of the batch, from 0.
    pub fn place(&self, row: usize) -> u64 {
        match &self.places {
            Some(places) => u64::from(places.value(row)),
            None => row as u64,
        }
    }

    /// Returns the place of a row in its batch, from 0: it is the same whether or not the batch was halved.
    pub fn place_in_batch(&self, row: usize) -> u64 {
        self.rows_before + self.place(row)
    }
}

/// A batch could not be turned into bytes, or bytes are no batch.
#[derive(Debug, thiserror::Error)]
pub enum BatchBytesError {
    /// Arrow refused them.
    #[error("arrow: {0}")]
    Arrow(#[from] ArrowError),
    /// They are an Arrow stream, and not one that a worker made.
    #[error("the bytes are an arrow stream without {missing}; they were not made by a worker of this version")]
    Foreign {
        /// What a worker would have put there.
        missing: &'static str,
    },
}

impl Batch {
    /// Puts rows and their provenance together.
    pub fn new(records: RecordBatch, provenance: Provenance) -> Batch {
        Batch { records, provenance }
    }

    /// Returns the rows.
    pub fn records(&self) -> &RecordBatch {
        &self.records
    }

    /// Returns the names and types of the columns.
    pub fn schema(&self) -> SchemaRef {
        self.records.schema()
    }

    /// Returns where the rows come from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Returns how many rows there are.
    pub fn rows(&self) -> u64 {
        self.records.num_rows() as u64
    }

    /// Returns the same provenance with other columns for the same rows.
    pub fn with_records(self, records: RecordBatch) -> Batch {
        debug_assert_eq!(self.records.num_rows(), records.num_rows(), "the rows stay the same");
        Batch { records, ..self }
    }

    /// Returns the bytes that the batch keeps in memory: each buffer once, however many columns point into it.
    pub fn bytes_held(&self) -> u64 {
        let mut buffers = Vec::with_capacity(4 * self.records.num_columns());
        let mut count = |buffer: &Buffer| buffers.push((buffer.data_ptr(), buffer.capacity() as u64));
        for column in self.records.columns() {
            for_each_buffer(column, &mut count);
        }
        if let Some(places) = &self.provenance.places {
            count(places.values().inner());
        }
        buffers.sort_unstable();
        buffers.dedup_by_key(|(place, _)| *place);
        buffers.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Writes the batch as an Arrow IPC stream, with only the bytes that its rows use.
    pub fn to_ipc(&self) -> Result<Vec<u8>, BatchBytesError> {
        let schema = self.records.schema();
        let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
        let mut columns: Vec<ArrayRef> = self.records.columns().iter().map(compact).collect();
        // The places also carry the number of rows of a batch without columns.
        let places = match &self.provenance.places {
            Some(places) => Some(places.clone()),
            None if columns.is_empty() => Some(UInt32Array::from_iter_values(0..self.records.num_rows() as u32)),
            None => None,
        };
        if let Some(places) = places {
            fields.push(Arc::new(Field::new(PLACES_COLUMN, DataType::UInt32, false)));
            columns.push(Arc::new(places));
        }
        let Provenance {
            file,
            start,
            first_line,
            first_row,
            rows_before,
            places: _,
        } = &self.provenance;
        let first_row = first_row.map_or_else(String::new, |row| row.to_string());
        let metadata = HashMap::from([(
            PROVENANCE_KEY.to_owned(),
            format!("{},{start},{first_line},{first_row},{rows_before}", file.0),
        )]);
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        let records = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
        writer.write(&records)?;
        Ok(writer.into_inner()?)
    }

    /// Keeps only the columns of a schema, in its order; `None` when one of them is not there as it says.
    pub fn with_columns_of(self, schema: &Schema) -> Option<Batch> {
        let there = self.records.schema();
        let place_of = |wanted: &Arc<Field>| {
            let (place, field) = there.column_with_name(wanted.name())?;
            (field.data_type() == wanted.data_type()).then_some(place)
        };
        let places: Vec<usize> = schema.fields().iter().map(place_of).collect::<Option<_>>()?;
        let records = self.records.project(&places).ok()?;
        Some(self.with_records(records))
    }

    /// Reads back what [`Batch::to_ipc`] wrote.
    pub fn from_ipc(bytes: &[u8]) -> Result<Batch, BatchBytesError> {
        let foreign = |missing| BatchBytesError::Foreign { missing };
        let mut reader = StreamReader::try_new(bytes, None)?;
        let records = reader.next().ok_or_else(|| foreign("a record batch"))??;
        let schema = records.schema();
        let mut provenance = schema
            .metadata()
            .get(PROVENANCE_KEY)
            .and_then(|text| parse_provenance(text))
            .ok_or_else(|| foreign("the provenance of its rows"))?;
        let mut kept: Vec<usize> = (0..records.num_columns()).collect();
        if let Some((place, _)) = schema.column_with_name(PLACES_COLUMN) {
            let places = records
                .column(place)
                .as_primitive_opt::<arrow_array::types::UInt32Type>()
                .ok_or_else(|| foreign("the places of its rows"))?;
            provenance.places = Some(places.clone());
            kept.remove(place);
        }
        let fields: Vec<Arc<Field>> = kept.iter().map(|&place| Arc::clone(&schema.fields()[place])).collect();
        let columns = kept.iter().map(|&place| Arc::clone(records.column(place))).collect();
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(records.num_rows()));
        let records = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        Ok(Batch { records, provenance })
    }
}

/// Copies what a text column uses into a buffer of its own, so that nothing else is kept or sent with it.
pub(crate) fn compact(column: &ArrayRef) -> ArrayRef {
    match column.as_string_view_opt() {
        Some(text) => Arc::new(text.gc()),
        None => Arc::clone(column),
    }
}

fn for_each_buffer(column: &ArrayRef, visit: &mut impl FnMut(&Buffer)) {
    match column.as_string_view_opt() {
        Some(text) => {
            visit(text.views().inner());
            text.data_buffers().iter().for_each(&mut *visit);
        }
        None => column.to_data().buffers().iter().for_each(&mut *visit),
    }
    if let Some(nulls) = column.nulls() {
        visit(nulls.buffer());
    }
}

fn parse_provenance(text: &str) -> Option<Provenance> {
    let mut numbers = text.split(',');
    let file = FileId(numbers.next()?.parse().ok()?);
    let start = numbers.next()?.parse().ok()?;
    let first_line = numbers.next()?.parse().ok()?;
    let first_row = match numbers.next()? {
        "" => None,
        digits => Some(digits.parse().ok()?),
    };
    let rows_before = numbers.next()?.parse().ok()?;
    Some(Provenance {
        file,
        start,
        first_line,
        first_row,
        rows_before,
        places: None,
    })
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int64Array, StringViewArray};

    use super::*;

    fn provenance() -> Provenance {
        Provenance {
            file: FileId(3),
            start: 1_024,
            first_line: 17,
            first_row: Some(15),
            rows_before: 4,
            places: None,
        }
    }

    fn batch() -> Batch {
        let names = StringViewArray::from_iter_values(["a", "a name too long to be inlined", ""]);
        let numbers = Int64Array::from_iter_values([1, -2, 3]);
        let records = RecordBatch::try_from_iter([
            ("name", Arc::new(names) as ArrayRef),
            ("number", Arc::new(numbers) as ArrayRef),
        ]);
        Batch::new(records.expect("columns fit"), provenance())
    }

    #[test]
    fn a_batch_comes_back_from_its_bytes() {
        let places = Some(UInt32Array::from_iter_values([0, 4, 9]));
        let filtered = Batch {
            provenance: Provenance { places, ..provenance() },
            ..batch()
        };
        for batch in [batch(), filtered] {
            let back = Batch::from_ipc(&batch.to_ipc().expect("is written")).expect("is read");
            assert_eq!(back.records(), batch.records());
            assert_eq!(back.provenance(), batch.provenance());
        }
    }

    #[test]
    fn a_batch_without_columns_keeps_its_number_of_rows() {
        let batch = batch();
        let none = Batch::new(batch.records().project(&[]).expect("projects"), provenance());
        let back = Batch::from_ipc(&none.to_ipc().expect("is written")).expect("is read");
        assert_eq!((back.rows(), back.records().num_columns()), (3, 0));
        assert_eq!(back.provenance().place(2), 2);
    }

    #[test]
    fn columns_that_are_not_wanted_go_and_ones_that_are_not_there_are_told() {
        let batch = batch();
        let all = batch.schema();
        let first = Schema::new(vec![Arc::clone(&all.fields()[0])]);
        let one = batch.clone().with_columns_of(&first).expect("is there");
        assert_eq!((one.rows(), one.records().num_columns()), (3, 1));
        assert_eq!(one.records().column(0), batch.records().column(0));
        assert_eq!(one.provenance(), batch.provenance());
        let turned: Vec<Arc<Field>> = all.fields().iter().rev().cloned().collect();
        let turned = batch.clone().with_columns_of(&Schema::new(turned)).expect("are there");
        assert_eq!(
            turned.records().schema().field(0),
            all.fields().last().expect("has one").as_ref()
        );
        assert!(one.with_columns_of(&all).is_none());
    }

    #[test]
    fn bytes_that_no_worker_made_are_refused() {
        assert!(matches!(
            Batch::from_ipc(b"name\nbulbasaur\n"),
            Err(BatchBytesError::Arrow(_))
        ));
        let records = batch().records().clone();
        let mut writer = StreamWriter::try_new(Vec::new(), &records.schema()).expect("starts");
        writer.write(&records).expect("is written");
        let bytes = writer.into_inner().expect("ends");
        assert!(matches!(Batch::from_ipc(&bytes), Err(BatchBytesError::Foreign { .. })));
    }

    #[test]
    fn a_buffer_that_two_columns_share_is_counted_once() {
        let text = Arc::new(StringViewArray::from_iter_values(["a name too long to be inlined"])) as ArrayRef;
        let once = RecordBatch::try_from_iter([("a", Arc::clone(&text))]).expect("columns fit");
        let twice = RecordBatch::try_from_iter([("a", Arc::clone(&text)), ("b", text)]).expect("columns fit");
        let bytes = |records| Batch::new(records, provenance()).bytes_held();
        assert_eq!(bytes(once), bytes(twice));
    }

    #[test]
    fn only_the_bytes_that_are_used_are_written() {
        let long = "x".repeat(100_000);
        let text = StringViewArray::from_iter_values([long.as_str(), "a name too long to be inlined"]);
        let records = RecordBatch::try_from_iter([("a", Arc::new(text) as ArrayRef)]).expect("columns fit");
        let batch = Batch::new(records.slice(1, 1), provenance());
        assert!(batch.bytes_held() > 100_000);
        assert!(batch.to_ipc().expect("is written").len() < 2_000);
    }
}
