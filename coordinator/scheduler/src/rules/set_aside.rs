//! Batches set aside: one that waits after a failure leaves the batches in flight, up to a second bound.
//!
//! Its data is not in memory meanwhile: its worker spills what it keeps of it. When its wait is over it comes back as soon
//! as the batches in flight and their bytes have room, later ops first, and before any new batch is begun. Beyond the bound
//! (`max_in_backoff`) batches wait in flight, so that a run of which everything fails comes to a halt.

use common::ids::{BatchId, RunId};
use common::time::Time;

use crate::rules::admission::may_return;
use crate::scheduler::Scheduler;
use crate::state::batch::{Aside, BatchPhase};

impl Scheduler {
    /// Lets a batch go on whose wait is over, or wait for room if it was set aside.
    pub(crate) fn end_backoff(&mut self, id: RunId, batch: BatchId, now: Time) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let Some(waiting) = run.batches.get_mut(&batch) else {
            return;
        };
        match waiting.phase {
            BatchPhase::Backoff {
                until,
                aside: Aside::No,
            } if until <= now => run.make_ready(batch, now),
            BatchPhase::Backoff {
                until,
                aside: Aside::Yes,
            } if until <= now => {
                waiting.phase = BatchPhase::Returning;
                waiting.ready_since = now;
                run.returning.insert(batch);
                self.returning.insert(id);
            }
            BatchPhase::Backoff { .. }
            | BatchPhase::Returning
            | BatchPhase::Ready
            | BatchPhase::Checkpointing
            | BatchPhase::Halving { .. }
            | BatchPhase::Halved
            | BatchPhase::Queued(_)
            | BatchPhase::Leased(_)
            | BatchPhase::Committing { .. }
            | BatchPhase::Publishing => {}
        }
    }

    /// Takes batches back into flight that were set aside, wherever there is room.
    pub(crate) fn take_back_into_flight(&mut self, now: Time) {
        if self.returning.is_empty() {
            return;
        }
        let runs: Vec<RunId> = self.returning.iter().copied().collect();
        for id in runs {
            let cap = self.runs.get(&id).map(|run| self.cap_in_force(run));
            let (Some(run), Some(cap)) = (self.runs.get_mut(&id), cap) else {
                self.returning.remove(&id);
                continue;
            };
            while let Some(batch) = run.first_to_return() {
                let bytes = run.batches.get(&batch).map_or(0, |batch| batch.slice.bytes());
                if !may_return(run, cap, bytes) {
                    break;
                }
                run.return_to_flight(batch, now);
            }
            if run.returning.is_empty() {
                self.returning.remove(&id);
            }
        }
    }
}
