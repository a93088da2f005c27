//! The sink that prints: rows as CSV without a header on the worker's standard output, at least once.
//!
//! A batch is written under one lock, so the rows of batches that run at the same time do not mix.

use std::io::Write;

use common::failure::Failure;
use common::ids::{BatchId, LeaseId};
use common::job::FileFormat;
use common::part::Part;

use super::text::{RowWriter, WriteError};
use super::{Finish, Sink};
use crate::batch::Batch;
use crate::ops::OpContext;

pub(super) struct StdoutSink;

impl Sink for StdoutSink {
    fn stage(&self, batch: &Batch, context: &OpContext) -> Result<Vec<Part>, Failure> {
        let mut out = std::io::stdout().lock();
        RowWriter::new(FileFormat::Csv, batch)?
            .write_rows(&mut Vec::new(), &context.cancel, |bytes| out.write_all(bytes))
            .and_then(|()| out.flush().map_err(WriteError::Io))
            .map_err(|error| {
                error.into_failure(|error| Failure::retryable(format!("cannot write to standard output: {error}")))
            })?;
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
