//! The ops that a slot has open: opened when first needed, kept for the batches that follow, closed with their run.

use std::sync::Arc;

use common::failure::Failure;
use common::ids::OpId;

use super::OpenRun;
use crate::ops::Op;
use crate::ops::plan::Plan;

/// The open ops of one slot.
#[derive(Default)]
pub(super) struct OpenOps {
    runs: Vec<OpsOfRun>,
}

struct OpsOfRun {
    run: Arc<OpenRun>,
    /// By the op's place in the chain.
    ops: Vec<Option<Box<dyn Op>>>,
}

impl OpenOps {
    /// Closes the ops of runs that have ended.
    pub(super) fn close_ended_runs(&mut self) {
        for of_run in self.runs.extract_if(.., |of_run| of_run.run.is_closed()) {
            for mut op in of_run.ops.into_iter().flatten() {
                close(op.as_mut());
            }
        }
    }

    /// Takes an op out to run it, opened if it is not. It is put back unless it panicked.
    pub(super) fn take(&mut self, run: &Arc<OpenRun>, plan: &Plan, op: OpId) -> Result<Box<dyn Op>, Failure> {
        let open = self.of_run(run).ops.get_mut(op.index()).and_then(Option::take);
        open.map_or_else(|| plan.open(op), Ok)
    }

    /// Keeps an op for the next batch.
    pub(super) fn put_back(&mut self, run: &Arc<OpenRun>, id: OpId, op: Box<dyn Op>) {
        let ops = &mut self.of_run(run).ops;
        if ops.len() <= id.index() {
            ops.resize_with(id.index() + 1, || None);
        }
        ops[id.index()] = Some(op);
    }

    fn of_run(&mut self, run: &Arc<OpenRun>) -> &mut OpsOfRun {
        let place = self.runs.iter().position(|of_run| Arc::ptr_eq(&of_run.run, run));
        let place = place.unwrap_or_else(|| {
            self.runs.push(OpsOfRun {
                run: Arc::clone(run),
                ops: Vec::new(),
            });
            self.runs.len() - 1
        });
        &mut self.runs[place]
    }
}

fn close(op: &mut dyn Op) {
    if let Err(failure) = op.close() {
        tracing::warn!(%failure, "an op did not close");
    }
}
