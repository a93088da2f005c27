//! DEPTH-FIRST and admission: what is granted goes to the highest op that could have had the slot.
//!
//! A batch that waits in flight goes before every op of a lower priority. A batch that comes back after a failure is not in
//! flight: it needs room like a new one, so it is not eligible where there is none; but it goes before every new batch, and
//! takes the first room that it fits in. That a batch is new follows from what was sent and reported: nobody has had a
//! permit for it since the coordinator was started, or since it failed for good.

use std::collections::BTreeSet;

use common::holdings::HeldState;
use common::ids::{BatchId, LeaseId, OpId, RunId, SessionId};
use common::message::{Grant, Input, PermitFate, Report, Start, ToWorker};
use common::state::BatchState;
use scheduler::{ComesBack, Event, Record, WorkerState};

use crate::jobs::{self, ROW_BYTES};
use crate::plan::{Exchange, WorkerPlan};
use crate::world::World;

/// What is known of the begin of batches.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    /// Batches that a worker has had a permit for, by the generation of the coordinator.
    batches: BTreeSet<(u64, RunId, BatchId)>,
    /// New batches that were begun in this step.
    now: Vec<(RunId, BatchId)>,
    /// The batches that the coordinator had behind the last step.
    before: BTreeSet<(RunId, BatchId)>,
}

impl Begun {
    /// Forgets which batches there were: the coordinator was started again.
    pub(crate) fn forget_batches(&mut self) {
        self.before.clear();
    }
}

impl World {
    /// Notes what a message to a worker begins.
    pub(crate) fn note_begin(&mut self, session: SessionId, message: &ToWorker) {
        match message {
            ToWorker::Grant(grant) => {
                // What goes on behind a checkpoint of before was begun when it took its place in flight.
                if let (Some(batch), Input::Checkpoint(_)) = (grant.batch, &grant.input) {
                    self.note_begun(grant.run, batch);
                }
                match grant.start {
                    Start::Now => self.note_permit(session, grant.lease),
                    Start::OnFreedPermit => {}
                }
            }
            ToWorker::Permit { lease } => self.note_permit(session, *lease),
            ToWorker::Recall { lease } => {
                if let Some((run, _)) = self.oracle.first_ops.get(lease) {
                    self.oracle.shares.recall(*lease, session, *run);
                }
            }
            ToWorker::OpenRun(_)
            | ToWorker::CloseRun { .. }
            | ToWorker::Truncate { .. }
            | ToWorker::Revoke { .. }
            | ToWorker::Publish(_)
            | ToWorker::Discard { .. }
            | ToWorker::Settled { .. }
            | ToWorker::Drain => {}
        }
    }

    fn note_permit(&mut self, session: SessionId, lease: LeaseId) {
        if let Some((run, op)) = self.oracle.first_ops.get(&lease).copied() {
            self.check_not_paused(run);
            self.oracle.out.add(lease, session, run, Some(op));
            self.oracle.shares.give(run);
        }
        if let Some((run, Some(batch), None)) = self.oracle.work_of.get(&lease).copied()
            && self.note_begun(run, batch)
        {
            self.oracle.begun.now.push((run, batch));
        }
    }

    /// Notes that a batch is begun; tells whether it was not.
    pub(crate) fn note_begun(&mut self, run: RunId, batch: BatchId) -> bool {
        self.oracle.begun.batches.insert((self.incarnation, run, batch))
    }

    /// Notes what a worker began by itself, with the permit of a chain that ended.
    pub(crate) fn note_heirs(&mut self, event: &Event) {
        match event {
            Event::Reported { session, report } => {
                self.oracle.shares.report(report);
                let first_ops = &self.oracle.first_ops;
                self.oracle
                    .out
                    .report(*session, report, |heir| first_ops.get(&heir).copied());
                let heir = match report {
                    Report::LeaseEnded {
                        permit: PermitFate::PassedTo(heir),
                        ..
                    } => Some(*heir),
                    Report::ChainRan(ran) => ran.heir,
                    Report::LeaseEnded { .. }
                    | Report::FetchStarted { .. }
                    | Report::OpStarted { .. }
                    | Report::OpEnded { .. }
                    | Report::Truncated { .. }
                    | Report::Published { .. }
                    | Report::PublishFailed { .. }
                    | Report::Draining => None,
                };
                if let Some((run, Some(batch), _)) = heir.and_then(|heir| self.oracle.work_of.get(&heir).copied()) {
                    self.note_begun(run, batch);
                }
            }
            Event::SessionOpened(new) => {
                let held = new.reattached.iter().flat_map(|reattached| &reattached.holdings.leases);
                for held in held.filter(|held| matches!(held.state, HeldState::Running { .. })) {
                    let at = held.steps.get((held.started as usize).saturating_sub(1));
                    let at = at.map(|step| step.op);
                    self.oracle.out.add(held.lease, new.session, held.run, at);
                }
                let outputs = new
                    .reattached
                    .iter()
                    .flat_map(|reattached| &reattached.holdings.outputs);
                for held in outputs.map(|held| (held.run, held.output.batch)).collect::<Vec<_>>() {
                    self.note_begun(held.0, held.1);
                }
            }
            Event::RunSubmitted(_)
            | Event::Asked(_)
            | Event::SlicesFound { .. }
            | Event::SourceFailed { .. }
            | Event::SliceCut { .. }
            | Event::RetryRequested { .. }
            | Event::RunForgotten { .. }
            | Event::SessionDisconnected { .. }
            | Event::SessionResumed { .. }
            | Event::SessionHeard { .. }
            | Event::SessionClosed { .. }
            | Event::DrainRequested { .. }
            | Event::DurableUpTo { .. }
            | Event::TimeoutReached => {}
        }
    }

    /// Notes that a batch has failed for good: it is new if it is tried again.
    pub(crate) fn note_given_up(&mut self, record: &Record) {
        match record {
            Record::BatchFailed { run, batch, .. } => {
                self.oracle.begun.batches.remove(&(self.incarnation, *run, *batch));
            }
            Record::SessionClosed { session } => {
                self.oracle.out.close(*session);
                self.oracle.shares.close(*session);
            }
            Record::RunEnded { summary, .. } => {
                let ended = summary.run;
                self.oracle.begun.batches.retain(|(_, run, _)| *run != ended);
            }
            Record::RunAccepted { .. }
            | Record::SessionOpened { .. }
            | Record::BatchCommitted { .. }
            | Record::AttemptFailed { .. }
            | Record::WorkerCrashed { .. }
            | Record::WorkerReturned { .. }
            | Record::RunStarted { .. }
            | Record::MarksRisen { .. }
            | Record::BatchHalved { .. }
            | Record::FailedRetried { .. }
            | Record::RunReopened { .. }
            | Record::RunFailing { .. }
            | Record::RunFinishing { .. }
            | Record::RunOpCommitted { .. }
            | Record::RunCommanded { .. }
            | Record::PoolSet { .. }
            | Record::BatchCheckpointed { .. }
            | Record::CheckpointLost { .. }
            | Record::CapSet { .. } => {}
        }
    }

    /// DEPTH-FIRST: no batch was begun while one of its run waits to come back, and none waits where it has room.
    pub(crate) fn check_returns(&mut self) {
        let begun = std::mem::take(&mut self.oracle.begun.now);
        let Some(coordinator) = &self.coordinator else {
            return;
        };
        let mut found = None;
        for run in coordinator.scheduler.runs() {
            let mut back = coordinator
                .scheduler
                .batches(run)
                .filter(|batch| batch.comes_back == ComesBack::WhenThereIsRoom);
            let Some(first) = back.next() else { continue };
            if let Some((_, new)) = begun.iter().find(|(of, _)| *of == run) {
                found = Some(format!(
                    "{run} begins batch {new} while {} waits to come back",
                    first.id
                ));
            }
            let plan = &self.plan.jobs[self.oracle.job_of_run[&run]];
            let (Some(bound), Some(summary)) = (self.window_of(run).0, coordinator.scheduler.summary(run)) else {
                continue;
            };
            let (batches, bytes) = (summary.batches_in_flight.now, summary.bytes_in_flight.now);
            let most = plan.max_rows_in_flight.map(|rows| rows * ROW_BYTES);
            let fits = |batch: &scheduler::BatchView| {
                let slice = batch.slice.as_ref().map_or(0, common::slice::Slice::bytes);
                batches == 0 || most.is_none_or(|most| bytes + slice <= most)
            };
            let all_fit = fits(&first) && back.all(|batch| fits(&batch));
            if batches < u64::from(bound) && all_fit {
                found = Some(format!(
                    "{run} batch {} does not come back, and there is room",
                    first.id
                ));
            }
        }
        if let Some(found) = found {
            self.fail("DEPTH-FIRST", || found);
        }
    }

    /// Notes which batches there are behind a step.
    pub(crate) fn note_batches(&mut self) {
        let Some(scheduler) = self.coordinator.as_ref().map(|c| &c.scheduler) else {
            return;
        };
        let of_run = |run| scheduler.batches(run).map(move |batch| (run, batch.id));
        self.oracle.begun.before = scheduler.runs().flat_map(of_run).collect();
    }

    /// DEPTH-FIRST: the slot that was granted could not have gone to a waiting batch of a higher op.
    pub(crate) fn check_depth_first(&mut self, session: SessionId, grant: &Grant) {
        let Some(coordinator) = &self.coordinator else {
            return;
        };
        let plan = &self.plan.jobs[self.oracle.job_of_run[&grant.run]];
        if grant.batch.is_none() || plan.has_limits() {
            return;
        }
        let job = jobs::job(plan, 0, None);
        let granted = job.priority(grant.steps[0].op);
        let workers: Vec<_> = coordinator.scheduler.workers().collect();
        let Some(taker) = workers.iter().find(|worker| worker.session == session) else {
            return;
        };
        let serves = |worker: &common::ids::WorkerName| {
            let place = worker.as_str().trim_start_matches("worker-").parse().unwrap_or(0);
            let plan: Option<&WorkerPlan> = self.plan.workers.get::<usize>(place);
            plan.is_some_and(|plan| plan.exchange == Exchange::Listens)
        };
        let could_go = |op: OpId, holder: Option<&common::ids::WorkerName>| {
            let knows = |op: OpId| taker.ops.contains(job.op(op).kind.name());
            // What a worker without an exchange begins has to end there.
            let can_do = knows(op) && (serves(&taker.worker) || job.op_ids().skip(op.index()).all(knows));
            let can_fetch = holder.is_none_or(|holder| {
                let live = workers
                    .iter()
                    .any(|worker| worker.worker == *holder && worker.state == WorkerState::Live);
                *holder == taker.worker || live && serves(holder)
            });
            can_do && can_fetch
        };
        // One with a checkpoint of before a restart, or of another run, is begun like a new one, in its turn, and only then waits for
        // the op behind that.
        let was_begun = |batch: BatchId| {
            let key = (grant.run, batch);
            self.oracle.begun.before.contains(&key) || !self.oracle.checkpoints.begins_behind_one(grant.run, batch)
        };
        let passed_over = coordinator.scheduler.batches(grant.run).find(|batch| {
            batch.state == BatchState::Waiting
                && was_begun(batch.id)
                && !self.waits_for_checkpoint(grant.run, batch.id)
                && batch
                    .op
                    .is_some_and(|op| job.priority(op) > granted && could_go(op, batch.worker.as_ref()))
        });
        if let Some(batch) = passed_over {
            self.fail("DEPTH-FIRST", || {
                format!(
                    "{} of op {} was granted before batch {}, which waits for {:?}",
                    grant.run, grant.steps[0].op.0, batch.id, batch.op
                )
            });
        }
    }
}
