//! Failed batches that are tried again because somebody asked for it.
//!
//! Of a run that goes on they wait like slices that were just found, with fresh budgets. A run that has ended with
//! failures is reopened: what it committed stays committed, the source is sharded anew, and all that is neither
//! committed nor failed is begun, so that also a run that failed early comes to its end. For that the scheduler keeps
//! what such runs add up to until they are forgotten.

use common::ids::{BatchId, RunId};
use common::state::RunState;
use common::steering::{Activity, Asker, RunCommand};
use common::time::Time;

use crate::interface::command::Command;
use crate::journal::record::Record;
use crate::journal::run_ledger::RunLedger;
use crate::scheduler::Scheduler;
use crate::state::bucket::Filling;
use crate::state::durability::AfterDurable;
use crate::state::lease::Permit;
use crate::state::publication::Publication;
use crate::state::run::{Run, RunPhase};

impl Scheduler {
    pub(crate) fn on_retry_requested(&mut self, id: RunId, batches: Vec<BatchId>, by: Asker, now: Time) {
        let activity = |batches: &[BatchId]| Activity {
            at: now,
            by,
            command: RunCommand::RetryFailed {
                batches: batches.len() as u64,
            },
        };
        if let Some(run) = self.runs.get_mut(&id) {
            let failed: Vec<BatchId> = batches
                .into_iter()
                .filter(|batch| run.failed.contains_key(batch) && !run.retrying.contains(batch))
                .collect();
            let goes_on = matches!(run.phase, RunPhase::Accepting | RunPhase::Active);
            if goes_on && !failed.is_empty() {
                let record = Record::FailedRetried {
                    run: id,
                    activity: activity(&failed),
                    batches: failed.clone(),
                };
                run.retrying.extend(&failed);
                self.append_then(record, AfterDurable::FailedRetried(id, failed));
            }
            return;
        }
        let Some(ended) = self.ended.get(&id) else { return };
        if self.reopening.insert(id) {
            let activity = activity(&batches);
            let ledger = Box::new(ended.clone().reopened(&batches, activity.clone()));
            let record = Record::RunReopened {
                run: id,
                ledger: ledger.clone(),
                batches,
                activity,
            };
            self.append_then(record, AfterDurable::RunReopened(id, ledger));
        }
    }

    /// Lets failed batches of a run that goes on wait to be begun, now that this cannot be lost any more.
    pub(crate) fn on_failed_retried(&mut self, id: RunId, batches: &[BatchId], now: Time) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.retrying.retain(|batch| !batches.contains(batch));
        run.take_back_failed(batches);
        if run.phase != RunPhase::Active {
            run.slices.clear();
        }
        self.advance(id, now);
    }

    /// Goes on with a run that had ended.
    pub(crate) fn on_run_reopened(&mut self, id: RunId, ledger: &RunLedger, now: Time) {
        self.reopening.remove(&id);
        self.ended.remove(&id);
        self.command(Command::ReopenSource { run: id });
        let mut run = Run::from_ledger(id, ledger);
        self.count_what_is_held(&mut run);
        self.runs.insert(id, run);
        self.fill_buckets(id, Filling::Unknown, now);
        self.go_on(id, ledger.cancelled, now);
    }

    /// Counts what lost workers hold of a run since before it ended: it is theirs until their leases are over.
    fn count_what_is_held(&self, run: &mut Run) {
        for lease in self.leases.values().filter(|lease| lease.run == run.id) {
            if lease.permit == Permit::Held {
                run.units += 1;
            }
            if let Some(op) = lease.limited_op {
                run.op_units[op.index()] += 1;
            }
            if lease.running.is_some() {
                run.gauges.running.add(1);
            }
        }
    }

    /// Keeps what a run that ended with failures could be reopened with, and of others what their checkpoints are
    /// deleted with.
    pub(crate) fn keep_ended(&mut self, id: RunId, state: RunState) {
        if let Some(run) = self.runs.remove(&id) {
            if state.keeps_for_reopening(self.config.reopening) {
                self.ended.insert(id, run.into_ledger());
            } else if run.job.checkpoints().next().is_some() {
                self.checkpointed.insert(id, run.context);
            }
        }
        self.forget_lost_processes();
    }

    /// Forgets what a run could be reopened with, here and where its sinks keep it, and its checkpoints.
    pub(crate) fn on_run_forgotten(&mut self, run: RunId) {
        let ended = self.ended.remove(&run).map(|ledger| ledger.context(run));
        let Some(context) = ended.or_else(|| self.checkpointed.remove(&run)) else {
            return;
        };
        let keeps_files = context.job.file_sinks().next().is_some() || context.job.checkpoints().next().is_some();
        if keeps_files {
            let lease = self.next_lease();
            self.publish(lease, Publication::sweep(context), None);
        }
    }
}
