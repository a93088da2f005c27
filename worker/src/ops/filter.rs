//! `filter`: keeps the rows for which a comparison holds.
//!
//! When the value to compare with reads as a number, values are compared as numbers, and one that is no number never
//! matches, not even as unequal; otherwise values are compared as text, byte by byte. `IsNull` finds empty fields.

use std::cmp::Ordering;

use arrow_array::{BooleanArray, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use common::failure::Failure;
use common::job::{Comparison, Filter, OpKind};

use super::{ColumnNames, Op, OpContext, OpFactory, OpInput, OpOutput, OpenOp, place_of, wrong_kind};
use crate::batch::{Batch, Provenance};
use crate::column::TextColumn;

pub(super) struct FilterFactory;

impl FilterFactory {
    fn config<'a>(&self, kind: &'a OpKind) -> Result<&'a Filter, Failure> {
        match kind {
            OpKind::Filter(filter) => Ok(filter),
            OpKind::Extract | OpKind::Select(_) | OpKind::Add(_) | OpKind::Noop | OpKind::Write(_) => {
                Err(wrong_kind(self, kind))
            }
        }
    }
}

impl OpFactory for FilterFactory {
    fn kind(&self) -> &'static str {
        "filter"
    }

    fn needs(&self, kind: &OpKind, _input: &[String], mut later: ColumnNames) -> ColumnNames {
        if let Ok(filter) = self.config(kind) {
            later.insert(filter.column.clone());
        }
        later
    }

    fn output(&self, _kind: &OpKind, input: &SchemaRef) -> Result<SchemaRef, Failure> {
        Ok(input.clone())
    }

    fn open(&self, open: &OpenOp<'_>) -> Result<Box<dyn Op>, Failure> {
        let filter = self.config(open.kind())?;
        Ok(Box::new(FilterOp {
            column: place_of(open.input, &filter.column)?,
            comparison: filter.comparison,
            number: as_number(&filter.value),
            value: filter.value.clone(),
        }))
    }
}

struct FilterOp {
    /// Where the compared column is.
    column: usize,
    comparison: Comparison,
    value: String,
    /// The value, if it reads as a number.
    number: Option<f64>,
}

impl FilterOp {
    fn keeps(&self, text: &str) -> bool {
        let ordering = match self.number {
            Some(number) => as_number(text).and_then(|found| found.partial_cmp(&number)),
            None => Some(text.cmp(&self.value)),
        };
        match self.comparison {
            Comparison::IsNull => text.is_empty(),
            Comparison::IsNotNull => !text.is_empty(),
            Comparison::Eq => ordering.is_some_and(Ordering::is_eq),
            Comparison::Ne => ordering.is_some_and(Ordering::is_ne),
            Comparison::Lt => ordering.is_some_and(Ordering::is_lt),
            Comparison::Le => ordering.is_some_and(Ordering::is_le),
            Comparison::Gt => ordering.is_some_and(Ordering::is_gt),
            Comparison::Ge => ordering.is_some_and(Ordering::is_ge),
        }
    }
}

impl Op for FilterOp {
    fn run(&mut self, input: OpInput, _context: &OpContext) -> Result<OpOutput, Failure> {
        let batch = input.into_batch()?;
        let rows = batch.rows();
        let schema = batch.schema();
        let column = TextColumn::of(schema.field(self.column).name(), batch.records().column(self.column))?;
        let kept: Vec<bool> = match column {
            TextColumn::Text(text) => (0..rows as usize).map(|row| self.keeps(text.value(row))).collect(),
            TextColumn::Integer(_) => {
                let mut text = Vec::new();
                let keeps = |row| {
                    text.clear();
                    column.append(row, &mut text);
                    self.keeps(&String::from_utf8_lossy(&text))
                };
                (0..rows as usize).map(keeps).collect()
            }
        };
        if kept.iter().all(|kept| *kept) {
            return Ok(OpOutput::of(batch, rows));
        }
        let places = UInt32Array::from_iter_values(
            kept.iter()
                .enumerate()
                .filter(|(_, kept)| **kept)
                .map(|(row, _)| batch.provenance().place(row) as u32),
        );
        let records = filter_record_batch(batch.records(), &BooleanArray::from(kept))
            .map_err(|error| Failure::permanent(format!("arrow cannot filter the batch: {error}")))?;
        let provenance = Provenance {
            places: Some(places),
            ..batch.provenance().clone()
        };
        Ok(OpOutput::of(Batch::new(records, provenance), rows))
    }
}

fn as_number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| !number.is_nan())
}
