//! Batches whose workers are lost: a budget of their own, because such a batch may be what kills them.
//!
//! What counts is processes: those that were lost while they ran the batch. A process that is only frozen, or cut off
//! for longer than its leases live, cannot be told from a dead one until it is back; when it is, no batch has killed it,
//! and it counts no more. So every batch keeps which processes it has lost, and not how many.
//!
//! Known weakness: a batch that was given up stays so when one of its processes comes back after that.

use common::failure::{Failure, FailureKind};
use common::ids::{BatchId, RunId, SessionId};
use common::message::Step;
use common::time::Time;

use crate::journal::record::Record;
use crate::rules::backoff::CRASH_BUDGET;
use crate::scheduler::Scheduler;
use crate::state::batch::BatchPhase;
use crate::state::run::Run;
use crate::state::worker::Session;

impl Scheduler {
    /// Counts a worker process that was lost while it ran a batch; one that loses too many is given up.
    pub(super) fn on_batch_crashed(
        &mut self,
        session: SessionId,
        (run_id, id): (RunId, BatchId),
        step: Step,
        now: Time,
    ) {
        let Some(instance) = self.sessions.get(&session).map(|session| session.instance.clone()) else {
            return;
        };
        let is_another = |other: &Session| other.id != session && other.instance == instance;
        let is_back = self.sessions.values().any(is_another);
        let Some(batch) = self.runs.get_mut(&run_id).and_then(|run| run.batches.get_mut(&id)) else {
            return;
        };
        batch.lost.insert(instance.clone());
        let (crashes, phase) = (batch.crashes(), batch.phase);
        batch.failure = Some(lost_worker());
        self.lost_processes.insert(instance.clone());
        self.append(Record::WorkerCrashed {
            run: run_id,
            batch: id,
            op: step.op,
            attempt: step.attempt,
            instance: instance.clone(),
        });
        if is_back {
            return self.on_process_seen(&instance);
        }
        if crashes >= CRASH_BUDGET && phase == BatchPhase::Ready {
            self.fail_batch(run_id, id, step.op, lost_worker(), None, now);
        }
    }

    /// Takes back that a process counts as lost: it has connected again.
    pub(super) fn on_process_seen(&mut self, instance: &str) {
        if !self.lost_processes.remove(instance) {
            return;
        }
        for run in self.runs.values_mut() {
            run.lost_of_batches_mut().for_each(|lost| {
                lost.remove(instance);
            });
        }
        self.append(Record::WorkerReturned {
            instance: instance.to_owned(),
        });
    }

    /// Forgets processes that no batch of a run that goes on has lost.
    pub(crate) fn forget_lost_processes(&mut self) {
        if !self.lost_processes.is_empty() {
            self.find_lost_processes();
        }
    }

    /// Knows as lost what batches of runs that go on have lost.
    pub(super) fn find_lost_processes(&mut self) {
        let lost = self.runs.values().flat_map(Run::lost_of_batches).flatten();
        self.lost_processes = lost.cloned().collect();
    }
}

/// The failure of an attempt whose worker was lost.
pub(super) fn lost_worker() -> Failure {
    Failure::new(FailureKind::LostWorker, "the worker was lost while it ran the op")
}
