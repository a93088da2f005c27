//! The end of a run: the ops over the whole run that put its output in place, and the record of its end.

use std::sync::Arc;

use common::done::OpDone;
use common::failure::Failure;
use common::ids::{Attempt, AttemptId, LeaseId, OpId, RunId, SessionId, TaskId};
use common::job::{FileSink, SingleFile};
use common::message::ToWorker;
use common::summary::RunSummary;
use common::time::Time;

use crate::interface::command::Command;
use crate::journal::budgets::UsedUp;
use crate::journal::ending::Ending;
use crate::journal::ending::Finishing;
use crate::journal::failed::Tolerance;
use crate::journal::record::Record;
use crate::rules::backoff::backoff;
use crate::scheduler::Scheduler;
use crate::state::durability::AfterDurable;
use crate::state::publication::{Publication, Published};
use crate::state::run::RunPhase;
use crate::state::run::finish::{FinishOp, FinishPhase};
use crate::state::timers::Timer;
use crate::state::worker::{Session, SessionPhase};

impl Scheduler {
    /// Lets the ops over the whole run begin: every batch is done, or given up.
    pub(crate) fn begin_finish(&mut self, id: RunId, ending: Ending, now: Time) {
        let is_swept = ending == Ending::Complete || self.somebody_can_sweep();
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.phase = RunPhase::Finishing(ending);
        run.finish_after = LeaseId {
            generation: self.config.generation,
            sequence: self.last_lease,
        };
        let began_nothing = !run.has_started && ending != Ending::Complete;
        if is_swept && !began_nothing && run.job.file_sinks().next().is_some() {
            self.record_ending(id);
            self.put_finish_ops(id, now);
        } else {
            self.record_failing(id);
        }
        self.end_when_finished(id, ending, now);
    }

    /// Goes on with the ops over the whole run of one whose batches were all done before a restart.
    pub(crate) fn go_on_finishing(&mut self, id: RunId, ending: Ending, now: Time) {
        self.command(Command::CloseSource { run: id });
        self.put_finish_ops(id, now);
        if !self.former.awaits(id) {
            self.give_up_sweeps(id);
        }
        self.end_when_finished(id, ending, now);
    }

    /// Lets a run that has to be swept end without, if nobody is there who could.
    pub(crate) fn give_up_sweeps(&mut self, id: RunId) {
        let Some(RunPhase::Finishing(Ending::Failed | Ending::Cancelled)) = self.runs.get(&id).map(|run| run.phase)
        else {
            return;
        };
        if self.somebody_can_sweep() {
            return;
        }
        let Some(run) = self.runs.get_mut(&id) else { return };
        for finish in run
            .finish
            .iter_mut()
            .filter(|finish| finish.phase == FinishPhase::Ready)
        {
            finish.phase = FinishPhase::Done;
        }
    }

    /// Tells whether a worker is there, or about to be.
    fn somebody_can_sweep(&self) -> bool {
        let is_opening = |session: &Session| session.phase == SessionPhase::Opening;
        self.live_slots > 0 || self.sessions.values().any(is_opening)
    }

    /// Records how a run ends whose batches are all done. What its ops commit must not become the output of a run that a restart
    /// lets go on otherwise, and a worker that outlives the coordinator goes on with them if this is durable.
    fn record_ending(&mut self, id: RunId) {
        self.record_failing(id);
        let Some(run) = self.runs.get_mut(&id) else { return };
        let RunPhase::Finishing(ending) = run.phase else { return };
        run.endings_under_way += 1;
        let finishing = Finishing {
            ending,
            after: run.finish_after,
            batches: run.batch_counts.total,
            bytes_sharded: run.bytes_sharded,
        };
        let record = Record::RunFinishing { run: id, finishing };
        self.append_then(record, AfterDurable::RunFinishing(id));
    }

    /// Records why a run ends as failed, if that does not follow from its failed batches.
    fn record_failing(&mut self, id: RunId) {
        let Some(run) = self.runs.get(&id) else { return };
        let is_failing = run.phase == RunPhase::Finishing(Ending::Failed) && run.tolerance != Tolerance::Exceeded;
        if let Some(failure) = run.failure.clone().filter(|_| is_failing) {
            self.append(Record::RunFailing { run: id, failure });
        }
    }

    /// Lets ops over the whole run begin that waited for how it ends to become durable.
    pub(crate) fn on_run_finishing(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.endings_under_way = run.endings_under_way.saturating_sub(1);
        }
    }

    /// Makes the ops over the whole run; what they have committed before a restart is put in place.
    fn put_finish_ops(&mut self, id: RunId, now: Time) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let committed = std::mem::take(&mut run.committed_ops);
        let used = run.finishing.clone();
        let finish = |op| FinishOp {
            attempts: used.attempts.get(&op).copied().unwrap_or(0),
            over_up_to: used.attempts.get(&op).copied().unwrap_or(0),
            failures: used.failures.get(&op).copied().unwrap_or(0),
            ..FinishOp::new(op, now, committed.get(&op).map(|(_, parts)| parts.clone()))
        };
        run.finish = run.job.file_sinks().map(|(op, _)| finish(op)).collect();
        for (op, (lease, parts)) in committed {
            self.publish(lease, Publication::new(Published::Op(id, op), parts), None);
        }
    }

    /// Records the end of a run whose output is in place.
    pub(crate) fn end_when_finished(&mut self, id: RunId, ending: Ending, now: Time) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.finish.iter().any(|finish| finish.phase != FinishPhase::Done) {
            return;
        }
        run.phase = RunPhase::Ending;
        let state = run.final_state(ending);
        self.remove_turn(id);
        let Some(run) = self.runs.get(&id) else { return };
        let summary = Arc::new(RunSummary {
            state,
            ended: Some(now),
            ..self.summarize(run)
        });
        let used = if state.may_be_reopened() {
            run.used_up()
        } else {
            UsedUp::default()
        };
        let record = Record::RunEnded {
            summary: Arc::clone(&summary),
            used,
        };
        self.append_then(record, AfterDurable::RunEnded(summary));
    }

    /// Forgets a run whose end is durable.
    pub(crate) fn on_run_ended(&mut self, summary: Arc<RunSummary>) {
        let id = summary.run;
        self.rated.remove(&id);
        self.returning.remove(&id);
        self.keep_ended(id, summary.state);
        let told: Vec<_> = self
            .sessions
            .values()
            .filter(|session| session.open_runs.contains(&id))
            .collect();
        let told: Vec<_> = told.iter().map(|session| session.id).collect();
        for session in told {
            self.send(session, ToWorker::CloseRun { run: id });
            if let Some(session) = self.sessions.get_mut(&session) {
                session.open_runs.remove(&id);
                session.parked.retain(|(run, _)| *run != id);
            }
        }
        self.command(Command::RunEnded { summary });
    }

    /// Keeps what an op over the whole run staged.
    pub(crate) fn on_finish_op_done(&mut self, run: RunId, op: OpId, done: OpDone) {
        if let Some(finish) = self.runs.get_mut(&run).and_then(|run| run.finish_op(op)) {
            finish.parts = done.parts;
        }
    }

    /// Records the commit of an op over the whole run. A sweep makes nothing, and is no commit: the ending that it was
    /// for may not be durable, and after a restart the op has to find out anew how the run ends.
    pub(crate) fn on_finish_op_prepared(
        &mut self,
        run: RunId,
        op: OpId,
        lease: LeaseId,
        session: SessionId,
        now: Time,
    ) {
        let Some(found) = self.runs.get_mut(&run) else { return };
        let is_complete = found.phase == RunPhase::Finishing(Ending::Complete);
        let Some(finish) = found.finish_op(op) else { return };
        if !is_complete && finish.parts.is_empty() {
            return self.on_finish_op_over(run, op, now);
        }
        finish.phase = FinishPhase::Committing { lease, session };
        let record = Record::RunOpCommitted {
            run,
            op,
            lease,
            parts: finish.parts.clone(),
        };
        self.append_then(record, AfterDurable::RunOpCommitted(run, op));
    }

    /// Lets a worker put in place what an op over the whole run made.
    pub(crate) fn on_finish_op_committed(&mut self, run: RunId, op: OpId, now: Time) {
        let Some(finish) = self.runs.get_mut(&run).and_then(|run| run.finish_op(op)) else {
            return;
        };
        let FinishPhase::Committing { lease, session } = finish.phase else {
            return;
        };
        if finish.parts.is_empty() {
            self.on_finish_op_over(run, op, now);
            return;
        }
        finish.phase = FinishPhase::Publishing;
        let parts = finish.parts.clone();
        self.publish(lease, Publication::new(Published::Op(run, op), parts), Some(session));
    }

    /// Notes that an op over the whole run is done for good.
    pub(crate) fn on_finish_op_over(&mut self, id: RunId, op: OpId, now: Time) {
        let Some(finish) = self.runs.get_mut(&id).and_then(|run| run.finish_op(op)) else {
            return;
        };
        finish.phase = FinishPhase::Done;
        self.advance(id, now);
    }

    /// Tries an op over the whole run again, or fails the run. A run that fails here runs the op of a single file once
    /// more under its new ending, so that somebody sweeps: a failed run leaves nothing of it.
    pub(crate) fn on_finish_op_failed(&mut self, id: RunId, op: OpId, failure: &Failure, now: Time) {
        let Some(finish) = self.runs.get_mut(&id).and_then(|run| run.finish_op(op)) else {
            return;
        };
        finish.failures += 1;
        finish.over_up_to = finish.attempts;
        let number = Attempt(finish.attempts);
        self.append(Record::AttemptFailed {
            run: id,
            batch: None,
            op,
            attempt: number,
        });
        let Some(run) = self.runs.get_mut(&id) else { return };
        let retry = run.job.op(op).retry;
        let seed = run.context.seed;
        let Some(finish) = run.finish_op(op) else { return };
        if failure.kind.may_be_retried() && finish.failures < retry.max_attempts.get() {
            finish.phase = FinishPhase::Backoff;
            let task = TaskId {
                run: id,
                op,
                batch: None,
            };
            let attempt = AttemptId { task, attempt: number };
            let at = now + backoff(&retry, finish.failures, attempt, seed);
            self.timers.set(at, Timer::RunOpBackoff(id, op));
            return;
        }
        let joins = |(sink, spec): (OpId, &FileSink)| sink == op && spec.single_file == SingleFile::Join;
        let sweeps = run.job.file_sinks().any(joins);
        if !sweeps || run.phase != RunPhase::Finishing(Ending::Complete) {
            return self.fail_finish_op(id, op, failure, now);
        }
        run.note_failure(failure, Some(op), None);
        run.phase = RunPhase::Finishing(Ending::Failed);
        if let Some(finish) = run.finish_op(op) {
            finish.failures = 0;
        }
        self.record_ending(id);
        self.requeue_finish_op(id, op, now);
    }

    /// Fails a run whose output cannot be put in place.
    pub(crate) fn fail_finish_op(&mut self, id: RunId, op: OpId, failure: &Failure, now: Time) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.note_failure(failure, Some(op), None);
        if let RunPhase::Finishing(Ending::Complete) = run.phase {
            run.phase = RunPhase::Finishing(Ending::Failed);
            self.record_ending(id);
        }
        self.on_finish_op_over(id, op, now);
    }

    /// Lets an op over the whole run be leased again.
    pub(crate) fn requeue_finish_op(&mut self, id: RunId, op: OpId, now: Time) {
        let Some(finish) = self.runs.get_mut(&id).and_then(|run| run.finish_op(op)) else {
            return;
        };
        match finish.phase {
            FinishPhase::Leased(_) | FinishPhase::Backoff => {
                finish.phase = FinishPhase::Ready;
                finish.ready_since = now;
            }
            FinishPhase::Ready | FinishPhase::Committing { .. } | FinishPhase::Publishing | FinishPhase::Done => {}
        }
    }
}
