//! Rows as text: CSV records and JSON lines, written into one reused buffer.
//!
//! CSV is RFC 4180 with `\n` between records and quotes only where they are needed: around a delimiter, a quote, a
//! carriage return or a newline, and around the only field of a record if it is empty (an empty line is no record).
//! [`records`] writes it.

mod records;

use std::io;

use arrow_schema::Schema;
use common::failure::Failure;
use common::job::FileFormat;

use crate::batch::Batch;
use crate::column::TextColumn;
use crate::ops::CancelToken;

use self::records::{CsvRows, append_csv_field, end_csv_record};

/// How many bytes of text are collected before they are handed on: most batches are written at once.
const CHUNK: usize = 4 << 20;
/// How many rows are written between two looks at the cancel token and at the size of the text.
const ROWS_AT_ONCE: usize = 256;

/// Returns the header line of a CSV file.
pub(crate) fn csv_header(schema: &Schema) -> Vec<u8> {
    let mut line = Vec::new();
    for (place, field) in schema.fields().iter().enumerate() {
        if place > 0 {
            line.push(b',');
        }
        append_csv_field(field.name(), &mut line);
    }
    end_csv_record(0, &mut line);
    line
}

/// Rows could not be written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The system refused.
    Io(io::Error),
    /// Somebody asked for a stop.
    Stopped(Failure),
}

impl WriteError {
    /// Turns the error into an attempt's failure, with words for what the system refused.
    pub(crate) fn into_failure(self, refused: impl FnOnce(&io::Error) -> Failure) -> Failure {
        match self {
            WriteError::Io(error) => refused(&error),
            WriteError::Stopped(failure) => failure,
        }
    }
}

/// Writes the rows of a batch in a format.
pub(crate) struct RowWriter<'a> {
    format: FileFormat,
    columns: Vec<TextColumn<'a>>,
    /// For JSON, what stands before each value: `{"name":` or `,"name":`.
    keys: Vec<Vec<u8>>,
    rows: usize,
}

impl<'a> RowWriter<'a> {
    /// Looks at the columns of a batch.
    pub(crate) fn new(format: FileFormat, batch: &'a Batch) -> Result<RowWriter<'a>, Failure> {
        let mut columns = Vec::new();
        let mut keys = Vec::new();
        for (field, column) in batch
            .records()
            .schema_ref()
            .fields()
            .iter()
            .zip(batch.records().columns())
        {
            let mut key = vec![if keys.is_empty() { b'{' } else { b',' }];
            append_json_string(field.name(), &mut key);
            key.push(b':');
            keys.push(key);
            columns.push(TextColumn::of(field.name(), column)?);
        }
        Ok(RowWriter {
            format,
            columns,
            keys,
            rows: batch.records().num_rows(),
        })
    }

    /// Writes every row behind what stands in `text`, handing on the text in large pieces that end with a row. The
    /// text is empty afterwards, and may be used again.
    pub(crate) fn write_rows(
        &self,
        text: &mut Vec<u8>,
        cancel: &CancelToken,
        mut hand_on: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), WriteError> {
        let mut csv = CsvRows::new(&self.columns);
        if self.format == FileFormat::Csv {
            // Room for all of it at once: memory that grows step by step is touched several times.
            text.reserve(csv.most_bytes(0..self.rows).min(CHUNK + CHUNK / 8));
        }
        for first in (0..self.rows).step_by(ROWS_AT_ONCE) {
            let rows = first..(first + ROWS_AT_ONCE).min(self.rows);
            cancel.check().map_err(WriteError::Stopped)?;
            match self.format {
                FileFormat::Csv => csv.append(rows, text),
                FileFormat::Jsonl => rows.for_each(|row| self.append_json_row(row, text)),
            }
            if text.len() >= CHUNK {
                hand_on(text).map_err(WriteError::Io)?;
                text.clear();
            }
        }
        if !text.is_empty() {
            hand_on(text).map_err(WriteError::Io)?;
            text.clear();
        }
        Ok(())
    }

    fn append_json_row(&self, row: usize, text: &mut Vec<u8>) {
        if self.columns.is_empty() {
            text.push(b'{');
        }
        for (key, column) in self.keys.iter().zip(&self.columns) {
            text.extend_from_slice(key);
            match column {
                TextColumn::Text(values) => append_json_string(values.value(row), text),
                TextColumn::Integer(_) => column.append(row, text),
            }
        }
        text.extend_from_slice(b"}\n");
    }
}

fn append_json_string(value: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a string always has a JSON form, and a Vec takes all bytes");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, StringViewArray};
    use common::slice::FileId;
    use proptest::prelude::*;

    use super::*;
    use crate::batch::Provenance;

    fn batch(rows: &[[String; 2]]) -> Batch {
        let column = |place: usize| {
            Arc::new(StringViewArray::from_iter_values(
                rows.iter().map(|row| row[place].as_str()),
            )) as ArrayRef
        };
        let provenance = Provenance {
            file: FileId(0),
            start: 0,
            first_line: 2,
            first_row: None,
            rows_before: 0,
            places: None,
        };
        let records = RecordBatch::try_from_iter([("a", column(0)), ("b \"b\"", column(1))]).expect("columns fit");
        Batch::new(records, provenance)
    }

    fn written(format: FileFormat, rows: &[[String; 2]]) -> Vec<u8> {
        let batch = batch(rows);
        let mut bytes = Vec::new();
        RowWriter::new(format, &batch)
            .expect("columns are text")
            .write_rows(&mut Vec::new(), &CancelToken::default(), |text| {
                bytes.extend_from_slice(text);
                Ok(())
            })
            .expect("is memory");
        bytes
    }

    #[test]
    fn a_record_of_one_empty_field_is_not_an_empty_line() {
        let schema = Schema::new(vec![arrow_schema::Field::new(
            "",
            arrow_schema::DataType::Utf8View,
            false,
        )]);
        assert_eq!(csv_header(&schema), b"\"\"\n");
    }

    proptest! {
        #[test]
        fn the_csv_crate_reads_what_is_written(rows in prop::collection::vec(any::<[String; 2]>(), 0..8)) {
            let bytes = written(FileFormat::Csv, &rows);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
            let found: Vec<[String; 2]> =
                reader.deserialize().collect::<Result<_, _>>().expect("is RFC 4180");
            prop_assert_eq!(found, rows);
        }

        #[test]
        fn json_lines_are_json(rows in prop::collection::vec(any::<[String; 2]>(), 0..8)) {
            let text = String::from_utf8(written(FileFormat::Jsonl, &rows)).expect("is UTF-8");
            prop_assert_eq!(text.lines().count(), rows.len());
            for (line, row) in text.lines().zip(&rows) {
                let value: serde_json::Value = serde_json::from_str(line).expect("is JSON");
                prop_assert_eq!(value, serde_json::json!({"a": row[0], "b \"b\"": row[1]}));
            }
        }
    }
}
