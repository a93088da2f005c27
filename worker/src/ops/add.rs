//! `add`: adds columns at the end: uuids, literals, row numbers.
//!
//! Generated uuids depend on the run's seed, the op, the column's place, the batch and the row, and on nothing else,
//! so every attempt at a batch makes the same ones, on every worker. They have the form of version 4; their bits come
//! from a counter run through the finalizer of SplitMix64 (Steele, Lea, Flood: *Fast splittable pseudorandom number
//! generators*, 2014), keyed by the seed. They are unique, not unguessable; `random: true` asks the system instead.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow_buffer::Buffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use common::failure::Failure;
use common::ids::{BatchId, OpId};
use common::job::{Add, AddedColumn, ColumnKind, OpKind};
use uuid::{Builder, Uuid};

use super::{ColumnNames, Op, OpContext, OpFactory, OpInput, OpOutput, OpenOp, wrong_kind};
use crate::batch::Batch;

pub(super) struct AddFactory;

impl AddFactory {
    fn config<'a>(&self, kind: &'a OpKind) -> Result<&'a Add, Failure> {
        match kind {
            OpKind::Add(add) => Ok(add),
            OpKind::Extract
            | OpKind::Select(_)
            | OpKind::Filter(_)
            | OpKind::Require(_)
            | OpKind::Exec(_)
            | OpKind::Noop
            | OpKind::Write(_) => Err(wrong_kind(self, kind)),
        }
    }
}

impl OpFactory for AddFactory {
    fn kind(&self) -> &'static str {
        "add"
    }

    fn needs(&self, kind: &OpKind, _input: &[String], mut later: ColumnNames) -> ColumnNames {
        if let Ok(add) = self.config(kind) {
            for column in &add.columns {
                later.remove(&column.name);
            }
        }
        later
    }

    fn output(&self, kind: &OpKind, input: &SchemaRef) -> Result<SchemaRef, Failure> {
        let mut fields: Vec<Arc<Field>> = input.fields().iter().cloned().collect();
        for column in &self.config(kind)?.columns {
            let data_type = match column.kind {
                ColumnKind::Uuid | ColumnKind::RandomUuid | ColumnKind::Literal(_) => DataType::Utf8View,
                ColumnKind::RowNumber => DataType::Int64,
            };
            fields.push(Arc::new(Field::new(&column.name, data_type, false)));
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    fn open(&self, open: &OpenOp<'_>) -> Result<Box<dyn Op>, Failure> {
        Ok(Box::new(AddOp {
            columns: self.config(open.kind())?.columns.clone(),
            output: open.output.clone(),
        }))
    }
}

struct AddOp {
    columns: Vec<AddedColumn>,
    output: SchemaRef,
}

impl Op for AddOp {
    fn run(&mut self, input: OpInput, context: &OpContext) -> Result<OpOutput, Failure> {
        let batch = input.into_batch()?;
        let rows = batch.rows();
        let mut columns = batch.records().columns().to_vec();
        for (place, column) in self.columns.iter().enumerate() {
            context.cancel.check()?;
            columns.push(make_column(&column.kind, place, &batch, context)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.records().num_rows()));
        let records = RecordBatch::try_new_with_options(self.output.clone(), columns, &options)
            .map_err(|error| Failure::permanent(format!("the batch has other columns than planned: {error}")))?;
        Ok(OpOutput::of(batch.with_records(records), rows))
    }
}

fn make_column(kind: &ColumnKind, place: usize, batch: &Batch, context: &OpContext) -> Result<ArrayRef, Failure> {
    let rows = batch.records().num_rows();
    Ok(match kind {
        ColumnKind::Uuid => {
            let generator = UuidGenerator::new(context.seed, context.op, place, context.batch);
            // By the row's place in its batch, so that a row keeps its id when a filter before this op changes, and when
            // the batch is halved.
            let before = batch.provenance().rows_before;
            match &batch.provenance().places {
                None => uuid_column(rows, |row| generator.uuid(before + row as u64))?,
                Some(places) => uuid_column(rows, |row| generator.uuid(before + u64::from(places.value(row))))?,
            }
        }
        ColumnKind::RandomUuid => uuid_column(rows, |_| Uuid::new_v4())?,
        ColumnKind::Literal(text) => {
            // One value, and views of it: a long literal is kept once.
            let one = StringViewArray::from_iter_values([text.as_str()]);
            let views = vec![one.views()[0]; rows];
            Arc::new(StringViewArray::new(views.into(), one.data_buffers().to_vec(), None))
        }
        ColumnKind::RowNumber => {
            let provenance = batch.provenance();
            let first = provenance.first_row.unwrap_or(provenance.rows_before) + 1;
            let numbers = (0..rows).map(|row| i64::try_from(first + provenance.place(row)).unwrap_or(i64::MAX));
            Arc::new(Int64Array::from_iter_values(numbers))
        }
    })
}

/// The length of a uuid's text.
const UUID: usize = uuid::fmt::Hyphenated::LENGTH;
/// The most rows whose uuids views can point to.
const MAX_UUIDS: usize = i32::MAX as usize / UUID;

fn uuid_column(rows: usize, mut uuid: impl FnMut(usize) -> Uuid) -> Result<ArrayRef, Failure> {
    if rows > MAX_UUIDS {
        return Err(Failure::permanent(format!(
            "a batch of {rows} rows is too large for a uuid column, at most {MAX_UUIDS} rows are possible; \
             set batch.rows or batch.bytes"
        )));
    }
    let mut text = vec![0; rows * UUID];
    for (row, place) in text.as_chunks_mut::<UUID>().0.iter_mut().enumerate() {
        spell(uuid(row).as_bytes(), place);
    }
    let column = scan::ascii_column(Buffer::from_vec(text), UUID);
    column.map_or_else(
        || Err(Failure::permanent("a uuid is not spelled in ASCII")),
        |column| Ok(Arc::new(column) as ArrayRef),
    )
}

/// Writes a uuid in its usual form.
fn spell(uuid: &[u8; 16], text: &mut [u8; UUID]) {
    /// The hexadecimal digits of every byte.
    const DIGITS: [[u8; 2]; 256] = {
        let digits = b"0123456789abcdef";
        let mut all = [[0; 2]; 256];
        let mut byte = 0;
        while byte < 256 {
            all[byte] = [digits[byte >> 4], digits[byte & 15]];
            byte += 1;
        }
        all
    };
    /// Where the digits of each byte stand.
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

    for (byte, place) in uuid.iter().zip(PLACES) {
        [text[place], text[place + 1]] = DIGITS[*byte as usize];
    }
    for hyphen in [8, 13, 18, 23] {
        text[hyphen] = b'-';
    }
}

/// Makes the uuids of one column of one batch.
struct UuidGenerator {
    key: u64,
}

impl UuidGenerator {
    fn new(seed: u64, op: OpId, column: usize, batch: BatchId) -> UuidGenerator {
        let mut key = mix(seed);
        key = mix(key ^ u64::from(op.0));
        key = mix(key ^ column as u64);
        // Of a half, the whole batch: its rows keep the ids that they would have had.
        key = mix(key ^ batch.index);
        UuidGenerator { key }
    }

    fn uuid(&self, row: u64) -> Uuid {
        let high = mix(self.key.wrapping_add((2 * row).wrapping_mul(GOLDEN_GAMMA)));
        let low = mix(self.key.wrapping_add((2 * row + 1).wrapping_mul(GOLDEN_GAMMA)));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// The odd number nearest to 2^64 divided by the golden ratio.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Advances and scrambles: a bijection in which every bit of the input changes half of the output's.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(GOLDEN_GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn uuids_are_spelled_as_the_uuid_crate_spells_them(bytes: [u8; 16]) {
            let mut text = [0; UUID];
            spell(&bytes, &mut text);
            let expected = Uuid::from_bytes(bytes).hyphenated().to_string();
            prop_assert_eq!(std::str::from_utf8(&text), Ok(expected.as_str()));
        }
    }
}
