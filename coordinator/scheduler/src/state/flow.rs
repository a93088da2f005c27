//! Flow: whether a run's chain goes through in one lease, which is what lets new batches wait at workers.

use common::ids::OpId;
use common::job::Job;

use crate::journal::checkpoint::Rerun;

/// Whether a chain is run in one lease or in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// In one, from its first op to its last, on a worker that can do them all.
    ToTheEnd,
    /// In several: it is cut before some op.
    Cut,
}

impl Flow {
    /// Tells how a run's chain goes through; one that begins in several places is cut.
    pub(crate) fn of(job: &Job, rerun: Option<&Rerun>) -> Flow {
        let is_cut = |op: OpId| {
            let limited = job.op(op).has_own_limit();
            limited
                || job.is_checkpoint(op)
                || job
                    .predecessors(op)
                    .any(|before| job.priority(op) < job.priority(before))
        };
        if rerun.is_some() || job.op_ids().any(is_cut) {
            Flow::Cut
        } else {
            Flow::ToTheEnd
        }
    }
}
