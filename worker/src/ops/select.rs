//! `select`: keeps some columns, in a given order, perhaps renamed. Copies nothing.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use common::failure::Failure;
use common::job::{OpKind, Select};

use super::{ColumnNames, Op, OpContext, OpFactory, OpInput, OpOutput, OpenOp, place_of, wrong_kind};

pub(super) struct SelectFactory;

impl SelectFactory {
    fn config<'a>(&self, kind: &'a OpKind) -> Result<&'a Select, Failure> {
        match kind {
            OpKind::Select(select) => Ok(select),
            OpKind::Extract
            | OpKind::Add(_)
            | OpKind::Filter(_)
            | OpKind::Require(_)
            | OpKind::Exec(_)
            | OpKind::Noop
            | OpKind::Write(_) => Err(wrong_kind(self, kind)),
        }
    }
}

impl OpFactory for SelectFactory {
    fn kind(&self) -> &'static str {
        "select"
    }

    fn needs(&self, kind: &OpKind, _input: &[String], _later: ColumnNames) -> ColumnNames {
        self.config(kind).map_or_else(
            |_| ColumnNames::new(),
            |select| select.columns.iter().map(|column| column.source.clone()).collect(),
        )
    }

    fn output(&self, kind: &OpKind, input: &SchemaRef) -> Result<SchemaRef, Failure> {
        let mut fields = Vec::new();
        for column in &self.config(kind)?.columns {
            let field = input.field(place_of(input, &column.source)?);
            fields.push(field.clone().with_name(&column.name));
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    fn open(&self, open: &OpenOp<'_>) -> Result<Box<dyn Op>, Failure> {
        let columns = &self.config(open.kind())?.columns;
        let places = columns
            .iter()
            .map(|column| place_of(open.input, &column.source))
            .collect::<Result<_, _>>()?;
        Ok(Box::new(SelectOp {
            places,
            output: open.output.clone(),
        }))
    }
}

struct SelectOp {
    /// Where the kept columns are in the batches that come in.
    places: Vec<usize>,
    output: SchemaRef,
}

impl Op for SelectOp {
    fn run(&mut self, input: OpInput, _context: &OpContext) -> Result<OpOutput, Failure> {
        let batch = input.into_batch()?;
        let rows = batch.rows();
        let columns = self
            .places
            .iter()
            .map(|&place| Arc::clone(batch.records().column(place)))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.records().num_rows()));
        let records = RecordBatch::try_new_with_options(self.output.clone(), columns, &options)
            .map_err(|error| Failure::permanent(format!("the batch has other columns than planned: {error}")))?;
        Ok(OpOutput::of(batch.with_records(records), rows))
    }
}
