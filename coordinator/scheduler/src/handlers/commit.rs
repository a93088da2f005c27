//! Batches that end: prepared, committed, done; failed, given up; or back to wait for another lease.

use common::failure::Failure;
use common::ids::{Attempt, AttemptId, BatchId, LeaseId, OpId, RunId, SessionId, TaskId};
use common::job::{OnFailure, OpKind, SingleFile, Sink};
use common::message::ToWorker;
use common::part::Part;
use common::slice::BadRow;
use common::time::Time;

use crate::handlers::bisect::Halving;
use crate::journal::ending::Ending;
use crate::journal::failed::Tolerance;
use crate::journal::intervals::Insertion;
use crate::journal::record::Record;
use crate::rules::backoff::backoff;
use crate::scheduler::Scheduler;
use crate::state::batch::{Batch, BatchPhase, Place};
use crate::state::durability::AfterDurable;
use crate::state::publication::{Publication, Published};
use crate::state::run::{Run, RunPhase};
use crate::state::timers::Timer;

impl Scheduler {
    /// Records the commit of a batch that came through the whole chain: its data is out of memory.
    pub(crate) fn on_batch_prepared(
        &mut self,
        run_id: RunId,
        id: BatchId,
        lease: LeaseId,
        session: SessionId,
        now: Time,
    ) {
        self.place_batch(run_id, id, Place::Source);
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let ran = run.ran_up_to(id, run.job.last_op());
        let Some(batch) = run.batches.get_mut(&id) else { return };
        let rows = batch.rows_when_committed();
        let parts = batch.take_parts();
        batch.phase = BatchPhase::Committing { lease, session };
        batch.ops = Vec::new();
        batch.rows = rows;
        batch.to_publish = parts
            .iter()
            .filter(|part| is_published_alone(&run.job.op(part.op).kind))
            .cloned()
            .collect();
        let charged = batch.charged;
        run.leave_flight(charged);
        run.gauges.committing.add(1);
        let record = Record::BatchCommitted {
            run: run_id,
            batch: id,
            lease,
            rows,
            parts,
            ran,
            at: now,
        };
        self.append_then(record, AfterDurable::BatchCommitted(run_id, id));
    }

    /// Counts a batch whose commit is durable, and lets its parts be put in place.
    pub(crate) fn on_batch_committed(&mut self, run_id: RunId, id: BatchId, now: Time) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let Some(batch) = run.batches.get_mut(&id) else { return };
        let BatchPhase::Committing { lease, session } = batch.phase else {
            return;
        };
        let inserted = run.committed.insert(id);
        debug_assert_eq!(inserted, Insertion::New, "a batch is committed once");
        run.halves.remove(&id);
        run.checkpoints.remove(&id);
        run.inherited.remove(&id);
        run.given_up.remove(&id);
        run.batch_counts.committed += 1;
        run.rows += batch.rows;
        run.first_loaded.get_or_insert(now);
        let parts: Vec<Part> = std::mem::take(&mut batch.to_publish);
        if parts.is_empty() {
            self.on_batch_done(run_id, id, now);
            return;
        }
        batch.phase = BatchPhase::Publishing;
        self.publish(
            lease,
            Publication::new(Published::Batch(run_id, id), parts),
            Some(session),
        );
    }

    /// Forgets a batch whose result is durable and in place.
    pub(crate) fn on_batch_done(&mut self, run_id: RunId, id: BatchId, now: Time) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        if run.batches.remove(&id).is_some() {
            run.gauges.committing.subtract(1);
        }
        self.advance(run_id, now);
    }

    /// Fails the run of a committed batch whose parts cannot be put in place.
    pub(crate) fn fail_committed_batch(&mut self, run_id: RunId, id: BatchId, failure: &Failure, now: Time) {
        if let Some(run) = self.runs.get_mut(&run_id) {
            run.note_failure(failure, None, Some(id));
        }
        self.begin_no_more(run_id, RunPhase::Draining(Ending::Failed), now);
        self.on_batch_done(run_id, id, now);
    }

    /// Tries a batch again after a failure, or gives it up for good.
    pub(crate) fn on_batch_failed(&mut self, run_id: RunId, id: BatchId, op: OpId, failure: Failure, now: Time) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        if let RunPhase::Stopping(_) = run.phase {
            self.give_up_batch(run_id, id);
            return;
        }
        let retry = run.job.op(op).retry;
        let seed = run.context.seed;
        let Some(batch) = run.batches.get_mut(&id) else { return };
        batch.failure = Some(failure.clone());
        let progress = &mut batch.ops[op.index()];
        progress.failures += 1;
        let failures = progress.failures;
        let number = Attempt(progress.attempts);
        let failed = Record::AttemptFailed {
            run: run_id,
            batch: Some(id),
            op,
            attempt: number,
        };
        if !failure.kind.may_be_retried() || failures >= retry.max_attempts.get() {
            match self.begin_halving(run_id, id, op, &failure) {
                Halving::Begun => self.append(failed),
                Halving::No => self.fail_batch(run_id, id, op, failure, None, now),
            }
            return;
        }
        let task = TaskId {
            run: run_id,
            op,
            batch: Some(id),
        };
        let attempt = AttemptId { task, attempt: number };
        let until = now + backoff(&retry, failures, attempt, seed);
        run.back_off(id, until);
        self.append(failed);
        self.timers.set(until, Timer::BatchBackoff(run_id, id));
    }

    /// Fails a batch for good, and lets its run do what its policy says.
    pub(crate) fn fail_batch(
        &mut self,
        run_id: RunId,
        id: BatchId,
        op: OpId,
        failure: Failure,
        row: Option<BadRow>,
        now: Time,
    ) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let Some(batch) = run.batches.get(&id) else { return };
        let failed = batch.failed_for_good(op, failure, row);
        run.note_failure(&failed.failure, Some(op), Some(id));
        run.failed.insert(id, failed.clone());
        run.halves.remove(&id);
        run.batch_counts.failed += 1;
        run.tolerance = run.judge_failures();
        let (policy, tolerance) = (run.job.failure.on_failure, run.tolerance);
        self.append(Record::BatchFailed {
            run: run_id,
            batch: id,
            failed: Box::new(failed),
            tolerance,
        });
        self.forget_batch(run_id, id);
        match (tolerance, policy) {
            (Tolerance::Exceeded, OnFailure::Drain) => {
                self.begin_no_more(run_id, RunPhase::Draining(Ending::Failed), now);
            }
            (Tolerance::Exceeded, OnFailure::Cancel) => self.stop_run(run_id, Ending::Failed, now),
            (Tolerance::Exceeded, OnFailure::Pause) => {
                let failed = self.runs.get(&run_id).map_or(0, |run| run.batch_counts.failed);
                let reason = format!("{failed} batches have failed, more than are tolerated; the last is {id}");
                self.pause_by_policy(run_id, reason, now);
                self.advance(run_id, now);
            }
            (Tolerance::Exceeded, OnFailure::Continue)
            | (Tolerance::Within, OnFailure::Drain | OnFailure::Cancel | OnFailure::Continue | OnFailure::Pause) => {
                self.advance(run_id, now);
            }
        }
    }

    /// Gives up a batch of a run that was stopped; if the run is reopened, it is begun anew.
    pub(crate) fn give_up_batch(&mut self, run_id: RunId, id: BatchId) {
        let Some(batch) = self.forget_batch(run_id, id) else {
            return;
        };
        if let Some(run) = self.runs.get_mut(&run_id) {
            run.rows_given_up += batch.rows_when_given_up();
            run.budgets.insert(id, batch.attempts_begun());
        }
    }

    /// Takes a batch in flight out of the books; its rows have failed.
    fn forget_batch(&mut self, run_id: RunId, id: BatchId) -> Option<Box<Batch>> {
        self.place_batch(run_id, id, Place::Source);
        let run = self.runs.get_mut(&run_id)?;
        let batch = run.batches.remove(&id)?;
        if batch.phase == BatchPhase::Ready {
            run.ready.remove(batch.next_op(), id);
        }
        run.rows += batch.rows_when_given_up();
        run.checkpointing -= u64::from(batch.phase == BatchPhase::Checkpointing);
        if batch.phase.is_set_aside() {
            run.returning.remove(&id);
            run.gauges.backoff.subtract(1);
        } else {
            run.leave_flight(batch.charged);
        }
        Some(batch)
    }

    /// Lets a batch whose lease ended wait for another one, or gives it up if its run was stopped.
    pub(crate) fn return_batch(&mut self, run_id: RunId, id: BatchId, now: Time) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        if let Some(BatchPhase::Queued(lease)) = run.batches.get(&id).map(|batch| batch.phase) {
            run.unqueue(id, lease);
            self.advance(run_id, now);
            return;
        }
        match run.phase {
            RunPhase::Stopping(_) => self.give_up_batch(run_id, id),
            RunPhase::Accepting
            | RunPhase::Active
            | RunPhase::Draining(_)
            | RunPhase::Finishing(_)
            | RunPhase::Ending => run.make_ready(id, now),
        }
    }

    /// Moves a batch's data in the books, and lets the worker that held the former copy delete it.
    pub(crate) fn place_batch(&mut self, run_id: RunId, id: BatchId, place: Place) {
        let Some(batch) = self.runs.get_mut(&run_id).and_then(|run| run.batches.get_mut(&id)) else {
            return;
        };
        let requeue = batch.phase == BatchPhase::Ready && batch.place != place;
        let op_before = batch.next_op();
        let before = std::mem::replace(&mut batch.place, place.clone());
        let op_after = batch.next_op();
        if requeue && let Some(run) = self.runs.get_mut(&run_id) {
            run.ready.remove(op_before, id);
            run.ready.insert(op_after, id);
        }
        if let Place::Parked { session, output } = &before
            && before != place
        {
            if let Some(holder) = self.sessions.get_mut(session) {
                holder.parked.remove(&(run_id, id));
            }
            if self.sessions.contains_key(session) {
                self.send(
                    *session,
                    ToWorker::Discard {
                        run: run_id,
                        output: *output,
                    },
                );
            }
        }
        if let Place::Parked { session, .. } = &place
            && let Some(holder) = self.sessions.get_mut(session)
        {
            holder.parked.insert((run_id, id));
        }
    }

    /// Lets a batch begin at its last checkpoint or in its source, because its data is lost or was not kept.
    pub(crate) fn place_at_its_begin(&mut self, run_id: RunId, id: BatchId) {
        if let Some(place) = self.runs.get(&run_id).map(|run| run.place_to_begin(id)) {
            self.place_batch(run_id, id, place);
        }
    }

    /// Starts a batch anew whose data was lost with its worker.
    pub(crate) fn lose_parked(&mut self, run_id: RunId, id: BatchId, session: SessionId) {
        let Some(batch) = self.runs.get(&run_id).and_then(|run: &Run| run.batches.get(&id)) else {
            return;
        };
        if matches!(batch.place, Place::Parked { session: holder, .. } if holder == session) {
            self.place_at_its_begin(run_id, id);
        }
    }
}

/// Tells whether a sink's parts are put in place one by one, and not joined at the run's end.
fn is_published_alone(kind: &OpKind) -> bool {
    match kind {
        OpKind::Write(Sink::File(file)) => file.single_file == SingleFile::Parts,
        OpKind::Write(Sink::Log(_) | Sink::Stdout | Sink::Discard)
        | OpKind::Extract
        | OpKind::Select(_)
        | OpKind::Add(_)
        | OpKind::Filter(_)
        | OpKind::Require(_)
        | OpKind::Exec(_)
        | OpKind::Noop => false,
    }
}
