//! `noop`: hands the batch on as it is. With a `delay` it stands for work.

use arrow_schema::SchemaRef;
use common::failure::Failure;
use common::job::OpKind;

use super::{ColumnNames, Op, OpContext, OpFactory, OpInput, OpOutput, OpenOp};

pub(super) struct NoopFactory;

impl OpFactory for NoopFactory {
    fn kind(&self) -> &'static str {
        "noop"
    }

    fn needs(&self, _kind: &OpKind, _input: &[String], later: ColumnNames) -> ColumnNames {
        later
    }

    fn output(&self, _kind: &OpKind, input: &SchemaRef) -> Result<SchemaRef, Failure> {
        Ok(input.clone())
    }

    fn open(&self, _open: &OpenOp<'_>) -> Result<Box<dyn Op>, Failure> {
        Ok(Box::new(Noop))
    }
}

struct Noop;

impl Op for Noop {
    fn run(&mut self, input: OpInput, _context: &OpContext) -> Result<OpOutput, Failure> {
        let batch = input.into_batch()?;
        let rows = batch.rows();
        Ok(OpOutput::of(batch, rows))
    }
}
