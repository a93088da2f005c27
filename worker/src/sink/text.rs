//! Rows as text: CSV records and JSON lines, written into one reused buffer.
//!
//! CSV is RFC 4180 with `\n` between records and quotes only where they are needed: around a delimiter, a quote, a
//! carriage return or a newline, and around the only field of a record if it is empty (an empty line is no record).

use std::io;

use arrow_schema::Schema;
use common::failure::Failure;
use common::job::FileFormat;

use crate::batch::Batch;
use crate::column::TextColumn;
use crate::ops::CancelToken;

/// How many bytes of text are collected before they are handed on.
const CHUNK: usize = 256 << 10;

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

    /// Writes every row, handing on the text in pieces that end with a row.
    pub(crate) fn write_rows(
        &self,
        cancel: &CancelToken,
        mut hand_on: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), WriteError> {
        let mut text = Vec::with_capacity(CHUNK + CHUNK / 4);
        for row in 0..self.rows {
            match self.format {
                FileFormat::Csv => self.append_csv_row(row, &mut text),
                FileFormat::Jsonl => self.append_json_row(row, &mut text),
            }
            if text.len() >= CHUNK {
                cancel.check().map_err(WriteError::Stopped)?;
                hand_on(&text).map_err(WriteError::Io)?;
                text.clear();
            }
        }
        if text.is_empty() {
            return Ok(());
        }
        hand_on(&text).map_err(WriteError::Io)
    }

    fn append_csv_row(&self, row: usize, text: &mut Vec<u8>) {
        let start = text.len();
        for (place, column) in self.columns.iter().enumerate() {
            if place > 0 {
                text.push(b',');
            }
            match column {
                TextColumn::Text(values) => append_csv_field(values.value(row), text),
                TextColumn::Integer(_) => column.append(row, text),
            }
        }
        end_csv_record(start, text);
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

fn end_csv_record(start: usize, out: &mut Vec<u8>) {
    if out.len() == start {
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
}

fn append_csv_field(value: &str, out: &mut Vec<u8>) {
    let bytes = value.as_bytes();
    let needs_quotes = bytes.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'));
    if !needs_quotes {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    let mut rest = bytes;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        out.extend_from_slice(&rest[..=quote]);
        out.push(b'"');
        rest = &rest[quote + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
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
            first_line: 2,
            first_row: None,
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
            .write_rows(&CancelToken::default(), |text| {
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
