//! What is due: waits that are over, sessions that were not heard, effects whose record is durable.

use common::time::Time;

use crate::durability::AfterDurable;
use crate::run::FinishPhase;
use crate::scheduler::Scheduler;
use crate::timers::Timer;

impl Scheduler {
    pub(crate) fn on_durable(&mut self, effect: AfterDurable, now: Time) {
        match effect {
            AfterDurable::RunAccepted(run) => self.on_run_accepted(run, now),
            AfterDurable::SessionOpened(session) => self.on_session_durable(session),
            AfterDurable::ReportsTaken(session, reports) => self.on_reports_settled(session, reports),
            AfterDurable::BatchCommitted(run, batch) => self.on_batch_committed(run, batch, now),
            AfterDurable::BatchCheckpointed(run, batch, checkpoint) => {
                self.on_batch_checkpointed(run, batch, *checkpoint, now);
            }
            AfterDurable::BatchHalved(run, batch, halves) => self.on_batch_halved(run, batch, halves, now),
            AfterDurable::FailedRetried(run, batches) => self.on_failed_retried(run, &batches, now),
            AfterDurable::RunReopened(run, ledger) => self.on_run_reopened(run, &ledger, now),
            AfterDurable::RunOpCommitted(run, op) => self.on_finish_op_committed(run, op, now),
            AfterDurable::RunEnded(summary) => self.on_run_ended(summary),
            AfterDurable::Asked(asked) => self.on_ask_durable(*asked, now),
            AfterDurable::AskedAgain(asked) => self.answer_when_settled(&asked),
        }
    }

    pub(crate) fn on_timer(&mut self, timer: Timer, now: Time) {
        match timer {
            Timer::SessionDeadline(session) => self.on_session_deadline(session, now),
            Timer::Patience(session) => self.on_patience_over(session, now),
            Timer::BatchBackoff(run, batch) => {
                self.on_backoff_over(run, batch, now);
            }
            Timer::Tokens(run, op) => self.on_tokens(run, op),
            Timer::RunOpBackoff(run, op) => {
                let finish = self.runs.get_mut(&run).and_then(|run| run.finish_op(op));
                if finish.is_some_and(|finish| finish.phase == FinishPhase::Backoff) {
                    self.requeue_finish_op(run, op, now);
                }
            }
            Timer::RunDeadline(run) => self.on_run_deadline(run, now),
            Timer::ReattachPatience => self.stop_awaiting(now),
            Timer::FormerSessions => self.on_former_sessions_over(now),
            Timer::Republish(lease) => self.publish_again(lease),
        }
    }
}
