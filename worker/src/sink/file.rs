//! The sink that writes files. Not built yet.

use arrow_schema::SchemaRef;
use common::failure::Failure;
use common::ids::{BatchId, LeaseId, OpId};
use common::job::FileSink as FileSpec;
use common::part::Part;
use common::slice::RunContext;

use super::{Finish, Sink};
use crate::batch::Batch;
use crate::ops::OpContext;

pub(super) struct FileSink;

impl FileSink {
    pub(super) fn new(_run: &RunContext, _op: OpId, _spec: &FileSpec, _input: &SchemaRef) -> Result<FileSink, Failure> {
        Err(Failure::permanent("not built yet"))
    }
}

impl Sink for FileSink {
    fn stage(&self, _batch: &Batch, _context: &OpContext) -> Result<Vec<Part>, Failure> {
        Ok(Vec::new())
    }

    fn publish(&self, _batch: Option<BatchId>, _parts: &[Part]) -> Result<(), Failure> {
        Ok(())
    }

    fn abandon(&self, _batch: Option<BatchId>, _lease: LeaseId) -> Result<(), Failure> {
        Ok(())
    }

    fn finish(&self, _finish: Finish<'_>) -> Result<Vec<Part>, Failure> {
        Ok(Vec::new())
    }
}
