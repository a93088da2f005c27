//! The sink that forgets: for measuring a chain without its output.

use common::failure::Failure;
use common::ids::{BatchId, LeaseId};
use common::part::Part;

use super::{Finish, Sink};
use crate::batch::Batch;
use crate::ops::OpContext;

pub(super) struct DiscardSink;

impl Sink for DiscardSink {
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
