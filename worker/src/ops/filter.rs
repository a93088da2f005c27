//! `filter`: keeps the rows for which a comparison holds.
//!
//! How values are compared is said in [`super::condition`].

use arrow_array::{BooleanArray, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use common::failure::Failure;
use common::job::{Filter, OpKind};

use super::condition::Condition;
use super::{ColumnNames, Op, OpContext, OpFactory, OpInput, OpOutput, OpenOp, place_of, wrong_kind};
use crate::batch::{Batch, Provenance};
use crate::column::TextColumn;

pub(super) struct FilterFactory;

impl FilterFactory {
    fn config<'a>(&self, kind: &'a OpKind) -> Result<&'a Filter, Failure> {
        match kind {
            OpKind::Filter(filter) => Ok(filter),
            OpKind::Extract
            | OpKind::Select(_)
            | OpKind::Add(_)
            | OpKind::Require(_)
            | OpKind::Exec(_)
            | OpKind::Noop
            | OpKind::Write(_) => Err(wrong_kind(self, kind)),
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
            condition: Condition::new(filter.comparison, &filter.value),
        }))
    }
}

struct FilterOp {
    /// Where the compared column is.
    column: usize,
    condition: Condition,
}

impl Op for FilterOp {
    fn run(&mut self, input: OpInput, _context: &OpContext) -> Result<OpOutput, Failure> {
        let batch = input.into_batch()?;
        let rows = batch.rows();
        let schema = batch.schema();
        let column = TextColumn::of(schema.field(self.column).name(), batch.records().column(self.column))?;
        let kept: Vec<bool> = self.condition.of_rows(column, rows as usize).collect();
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
