//! What workers report: ops started and ended, leases ended.
//!
//! A lease that was fenced is still followed, because its permit and its running op are real; but nothing that comes
//! of it changes its batch.

use common::done::OpDone;
use common::failure::{Failure, FailureKind};
use common::ids::{LeaseId, OpId, SessionId};
use common::message::{LeaseEnd, OpOutcome, PermitFate, Report, ToWorker};
use common::state::TaskState;
use common::time::Time;
use common::timeline::{Moved, TimelineEntry};

use crate::interface::command::{Command, EndReason};
use crate::scheduler::Scheduler;
use crate::state::batch::Place;
use crate::state::lease::{Lease, Permit, RunningStep, Standing, Truncation};

/// A report that does not fit what the worker was told.
#[derive(Debug)]
pub(super) struct Impossible;

impl Scheduler {
    pub(crate) fn on_reported(&mut self, session: SessionId, report: Report, now: Time) {
        if !self.sessions.contains_key(&session) {
            return;
        }
        self.count_report(session, &report);
        let fits = match report {
            Report::OpStarted { lease, op, slot, at } => self.on_op_started(session, lease, op, slot, at),
            Report::OpEnded { lease, op, at, outcome } => self.on_op_ended(session, lease, op, at, outcome),
            Report::FetchStarted { lease, at } => {
                self.on_fetch_started(session, lease, at);
                Ok(())
            }
            Report::Truncated { lease, last } => self.on_truncated(session, lease, last),
            Report::LeaseEnded { lease, end, permit } => self.on_lease_ended(session, lease, end, permit, now),
            Report::ChainRan(ran) => self.on_chain_ran(session, ran, now),
            Report::Published { lease } => {
                self.on_published(session, lease, now);
                Ok(())
            }
            Report::PublishFailed { lease, failure } => {
                self.on_publish_failed(session, lease, &failure, now);
                Ok(())
            }
            Report::Draining => {
                self.on_session_draining(session);
                Ok(())
            }
        };
        if let Err(Impossible) = fits {
            self.on_session_disconnected(session, now);
            self.command(Command::EndSession {
                session,
                reason: EndReason::Protocol,
            });
        }
        self.settle_reports(session);
    }

    /// Notes when the input of a lease was begun to be fetched; that says nothing of what runs.
    fn on_fetch_started(&mut self, session: SessionId, id: LeaseId, at: Time) {
        let lease = self.lease_of_session(session, id);
        if let Some(lease) = lease.filter(|lease| lease.started == 0) {
            lease.fetch_started = Some(at);
        }
    }

    pub(super) fn on_op_started(
        &mut self,
        session: SessionId,
        id: LeaseId,
        op: OpId,
        slot: u32,
        at: Time,
    ) -> Result<(), Impossible> {
        let Some(lease) = self.lease_of_session(session, id) else {
            return Ok(());
        };
        let step = lease.next_step().filter(|step| step.op == op).ok_or(Impossible)?;
        if lease.running.is_some() || lease.permit != Permit::Held {
            return Err(Impossible);
        }
        let running = RunningStep {
            step,
            slot,
            fetch_started: lease.fetch_started.take(),
            started: at,
        };
        lease.running = Some(running);
        lease.started += 1;
        let (run, batch, limited) = (lease.run, lease.batch, lease.limited_op);
        self.keep_to_limits(id, op, limited);
        let Some(run) = self.runs.get_mut(&run) else {
            return Ok(());
        };
        run.gauges.running.add(1);
        run.task_counts.retried += u64::from(step.attempt.0 > 1);
        if let Some(batch) = batch.and_then(|batch| run.batches.get_mut(&batch)) {
            batch.note_attempt(step);
        } else if batch.is_none()
            && let Some(finish) = run.finish_op(op)
        {
            finish.attempts = finish.attempts.max(step.attempt.0);
        }
        Ok(())
    }

    /// Counts an op that starts against its limits; one that got its first limit after the lease was granted, too.
    fn keep_to_limits(&mut self, id: LeaseId, op: OpId, limited: Option<OpId>) {
        let run = self.leases.get(&id).and_then(|lease| self.runs.get(&lease.run));
        let has_limit = run.is_some_and(|run| run.job.op(op).has_own_limit());
        if !has_limit && limited.is_none() {
            return;
        }
        if has_limit && limited.is_none() {
            self.count_limited_op(id, op);
        }
        self.take_tokens(id, op, self.now);
    }

    pub(super) fn on_op_ended(
        &mut self,
        session: SessionId,
        id: LeaseId,
        op: OpId,
        at: Time,
        outcome: OpOutcome,
    ) -> Result<(), Impossible> {
        let Some(lease) = self.lease_of_session(session, id) else {
            return Ok(());
        };
        let running = lease
            .running
            .filter(|running| running.step.op == op)
            .ok_or(Impossible)?;
        let state = match &outcome {
            OpOutcome::Done(_) => TaskState::Succeeded,
            OpOutcome::Failed(failure) if failure.kind == FailureKind::Cancelled => TaskState::Cancelled,
            OpOutcome::Failed(_) => TaskState::Failed,
        };
        let failure = match &outcome {
            OpOutcome::Done(_) => None,
            OpOutcome::Failed(failure) => Some(failure.clone()),
        };
        let moved = match &outcome {
            OpOutcome::Done(done) => self.moved(id, op, done),
            OpOutcome::Failed(_) => Moved::default(),
        };
        self.record_attempt(id, running, Ended { state, at, moved }, failure);
        let Some(lease) = self.leases.get_mut(&id) else {
            return Ok(());
        };
        lease.running = None;
        lease.queued = at;
        let (run, standing) = (lease.run, lease.standing);
        if lease.limited_op == Some(op) {
            self.release_op_unit(id);
        }
        let Some(run) = self.runs.get_mut(&run) else {
            return Ok(());
        };
        run.gauges.running.subtract(1);
        match state {
            TaskState::Succeeded => run.task_counts.succeeded += 1,
            TaskState::Failed => run.task_counts.failed += 1,
            TaskState::Cancelled
            | TaskState::Blocked
            | TaskState::Ready
            | TaskState::Leased
            | TaskState::Running
            | TaskState::Backoff
            | TaskState::Lost => {}
        }
        match outcome {
            OpOutcome::Done(done) if standing == Standing::Valid => self.on_op_done(id, op, done),
            OpOutcome::Failed(failure) if standing == Standing::Valid => self.on_op_failed(id, failure),
            OpOutcome::Done(_) | OpOutcome::Failed(_) => {}
        }
        Ok(())
    }

    fn on_op_done(&mut self, lease: LeaseId, op: OpId, done: OpDone) {
        let Some((run, batch)) = self.leases.get(&lease).map(|lease| (lease.run, lease.batch)) else {
            return;
        };
        let Some(batch) = batch else {
            self.on_finish_op_done(run, op, done);
            return;
        };
        let Some(run) = self.runs.get_mut(&run) else { return };
        run.recharge(batch, done.bytes_held);
        if let Some(batch) = run.batches.get_mut(&batch) {
            batch.ops[op.index()].done = Some(done);
        }
    }

    fn on_op_failed(&mut self, lease: LeaseId, failure: Failure) {
        if let Some(lease) = self.leases.get_mut(&lease) {
            lease.failure = Some(failure);
        }
    }

    fn on_truncated(&mut self, session: SessionId, id: LeaseId, last: OpId) -> Result<(), Impossible> {
        let Some(lease) = self.lease_of_session(session, id) else {
            return Ok(());
        };
        let end = lease.steps.iter().position(|step| step.op == last).ok_or(Impossible)? + 1;
        if end < lease.started {
            return Err(Impossible);
        }
        lease.steps = lease.steps[..end].into();
        lease.truncation = Truncation::Confirmed;
        Ok(())
    }

    pub(super) fn on_lease_ended(
        &mut self,
        session: SessionId,
        id: LeaseId,
        end: LeaseEnd,
        permit: PermitFate,
        now: Time,
    ) -> Result<(), Impossible> {
        let Some(lease) = self.lease_of_session(session, id) else {
            return Ok(());
        };
        if lease.running.is_some() {
            return Err(Impossible);
        }
        let (run, standing) = (lease.run, lease.standing);
        self.give_tokens_back(id);
        let heir = match permit {
            PermitFate::PassedTo(next) => Some(next),
            PermitFate::Returned | PermitFate::None => None,
        };
        if heir.is_some_and(|next| !self.is_heir(id, next)) {
            return Err(Impossible);
        }
        match standing {
            Standing::Valid => self.settle_lease(id, end, now)?,
            Standing::Fenced => self.send(session, ToWorker::Revoke { lease: id }),
        }
        if let Some(next) = heir {
            self.pass_permit(id, next, now);
        }
        self.drop_lease(id, now);
        self.advance(run, now);
        Ok(())
    }

    /// Lets a batch, or an op over the whole run, go on from how its lease ended.
    pub(super) fn settle_lease(&mut self, id: LeaseId, end: LeaseEnd, now: Time) -> Result<(), Impossible> {
        let Some(lease) = self.leases.get(&id) else {
            return Ok(());
        };
        let (run, session) = (lease.run, lease.session);
        let failure = || lease.failure.clone().ok_or(Impossible);
        let Some(batch) = lease.batch else {
            let op = lease.steps[0].op;
            match end {
                LeaseEnd::Prepared => self.on_finish_op_prepared(run, op, id, session, now),
                LeaseEnd::Failed { .. } => {
                    let failure = failure()?;
                    self.on_finish_op_failed(run, op, &failure, now);
                }
                LeaseEnd::InputLost { failure } => self.on_finish_op_failed(run, op, &failure, now),
                LeaseEnd::Parked { .. } | LeaseEnd::Checkpointed => return Err(Impossible),
                LeaseEnd::Stopped | LeaseEnd::Recalled => self.requeue_finish_op(run, op, now),
            }
            return Ok(());
        };
        match end {
            LeaseEnd::Prepared => {
                let came_through = !lease.has_more_steps()
                    && self
                        .runs
                        .get(&run)
                        .is_some_and(|run| lease.steps.last().is_some_and(|step| step.op == run.job.last_op()));
                if !came_through {
                    return Err(Impossible);
                }
                self.on_batch_prepared(run, batch, id, session, now);
            }
            LeaseEnd::Parked { output, bytes } => {
                let last = lease.started.checked_sub(1).map(|last| lease.steps[last].op);
                if output.batch != batch || last != Some(output.op) {
                    return Err(Impossible);
                }
                self.place_batch(run, batch, Place::Parked { session, output });
                if let Some(run) = self.runs.get_mut(&run) {
                    run.recharge(batch, bytes);
                }
                self.return_batch(run, batch, now);
            }
            LeaseEnd::Checkpointed => {
                let last = lease.started.checked_sub(1).map(|last| lease.steps[last].op);
                let written = last.and_then(|last| self.written_checkpoint(run, batch, last));
                let checkpoint = written.ok_or(Impossible)?;
                self.on_checkpoint_written(run, batch, id, checkpoint, now);
            }
            LeaseEnd::Failed { op, kept } => {
                let failure = failure()?;
                match kept {
                    Some(output) => self.place_batch(run, batch, Place::Parked { session, output }),
                    None => self.place_at_its_begin(run, batch),
                }
                self.on_batch_failed(run, batch, op, failure, now);
            }
            LeaseEnd::InputLost { failure } => {
                let place = self.runs.get(&run).and_then(|run| run.batches.get(&batch));
                if place.is_some_and(|batch| matches!(batch.place, Place::Checkpoint(_))) {
                    self.on_checkpoint_unread(run, batch, failure, now);
                } else {
                    self.place_at_its_begin(run, batch);
                    self.return_batch(run, batch, now);
                }
            }
            LeaseEnd::Stopped | LeaseEnd::Recalled => self.return_batch(run, batch, now),
        }
        Ok(())
    }

    /// Tells whether a worker may start a lease with the permit of another one that ended there.
    fn is_heir(&self, ended: LeaseId, next: LeaseId) -> bool {
        let (Some(ended), Some(next)) = (self.leases.get(&ended), self.leases.get(&next)) else {
            return false;
        };
        ended.id != next.id && (ended.run, ended.session) == (next.run, next.session)
    }

    /// Moves a permit from a lease that ended to one that waited behind it. If that one got a permit of its own, which
    /// crossed the report on its way, the other permit comes back with the ended lease.
    fn pass_permit(&mut self, from: LeaseId, to: LeaseId, now: Time) {
        let Some(next) = self.leases.get_mut(&to) else { return };
        if next.permit == Permit::Held {
            return;
        }
        next.permit = Permit::Held;
        if let Some(ended) = self.leases.get_mut(&from) {
            ended.permit = Permit::Waiting;
        }
        self.begin_queued(to, now);
    }

    /// Forgets a lease whose end is reported or certain, and frees what it held.
    pub(crate) fn drop_lease(&mut self, id: LeaseId, now: Time) {
        self.lose_tokens(id, now);
        self.release_permit(id);
        let Some(lease) = self.leases.remove(&id) else { return };
        if lease.standing == Standing::Fenced {
            self.fenced -= 1;
        }
        if let Some(session) = self.sessions.get_mut(&lease.session) {
            session.leases.remove(&id);
        }
        self.reindex_session(lease.session);
        self.advance(lease.run, now);
    }

    /// Lets what comes of a lease count no more, and its batch go on elsewhere. Its permit stays taken.
    pub(crate) fn fence_lease(&mut self, id: LeaseId, now: Time) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if lease.standing == Standing::Fenced {
            return;
        }
        lease.standing = Standing::Fenced;
        self.fenced += 1;
        let (run_id, batch) = (lease.run, lease.batch);
        let unused = lease.steps[lease.started..].to_vec();
        let first = lease.steps[0].op;
        match batch {
            Some(batch) => {
                if let Some(batch) = self.runs.get_mut(&run_id).and_then(|run| run.batches.get_mut(&batch)) {
                    batch.take_attempts(&unused);
                }
                self.return_batch(run_id, batch, now);
            }
            None => {
                if let Some(finish) = self.runs.get_mut(&run_id).and_then(|run| run.finish_op(first)) {
                    let given_out = unused.iter().map(|step| step.attempt.0).max();
                    finish.attempts = finish.attempts.max(given_out.unwrap_or(0));
                }
                self.requeue_finish_op(run_id, first, now);
            }
        }
    }

    /// Returns a lease that a session holds; to one that it does not hold the worker is told to let go.
    pub(super) fn lease_of_session(&mut self, session: SessionId, id: LeaseId) -> Option<&mut Lease> {
        let is_its_own = self.leases.get(&id).is_some_and(|lease| lease.session == session);
        if !is_its_own {
            self.send(session, ToWorker::Revoke { lease: id });
            return None;
        }
        self.leases.get_mut(&id).map(Box::as_mut)
    }

    /// Adds up what went through an op that ended well.
    fn moved(&self, id: LeaseId, op: OpId, done: &OpDone) -> Moved {
        let lease = self.leases.get(&id);
        let batch = lease.and_then(|lease| self.runs.get(&lease.run)?.batches.get(&lease.batch?));
        let bytes_in = batch.map_or(0, |batch| batch.bytes_into(op));
        Moved {
            rows_in: done.rows_in,
            rows_out: done.rows_out,
            bytes_in,
            bytes_out: done.bytes_held,
        }
    }

    /// Hands out the row of an attempt that has ended.
    pub(crate) fn record_attempt(&mut self, id: LeaseId, running: RunningStep, ended: Ended, failure: Option<Failure>) {
        let Some(lease) = self.leases.get(&id) else { return };
        let Some(session) = self.sessions.get(&lease.session) else {
            return;
        };
        let entry = TimelineEntry {
            state: ended.state,
            finished: Some(ended.at),
            moved: ended.moved,
            ..lease.running_entry(running, &session.worker)
        };
        self.command(Command::RecordAttempt {
            run: lease.run,
            entry,
            failure,
        });
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) state: TaskState,
    pub(crate) at: Time,
    pub(crate) moved: Moved,
}
