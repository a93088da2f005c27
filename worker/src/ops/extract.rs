//! `extract`: not built yet.

use arrow_schema::SchemaRef;
use common::failure::Failure;
use common::job::OpKind;

use super::{ColumnNames, Op, OpFactory, OpenOp};

pub(super) struct ExtractFactory;

impl OpFactory for ExtractFactory {
    fn kind(&self) -> &'static str {
        "extract"
    }

    fn needs(&self, _kind: &OpKind, input: &[String], _later: ColumnNames) -> ColumnNames {
        input.iter().cloned().collect()
    }

    fn output(&self, _kind: &OpKind, input: &SchemaRef) -> Result<SchemaRef, Failure> {
        Ok(input.clone())
    }

    fn open(&self, _open: &OpenOp<'_>) -> Result<Box<dyn Op>, Failure> {
        Err(Failure::permanent("not built yet"))
    }
}
