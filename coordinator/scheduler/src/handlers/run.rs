//! Runs: submitted, sharded, stopped, ended.

use std::sync::Arc;

use common::failure::{Failure, FailureKind};
use common::ids::{BatchId, LeaseId, RunId};
use common::slice::Slice;
use common::time::Time;

use crate::interface::command::Command;
use crate::interface::event::{NewRun, SourceEnd};
use crate::journal::ending::Ending;
use crate::journal::record::Record;
use crate::rules::rates::owe_for;
use crate::scheduler::Scheduler;
use crate::state::batch::BatchPhase;
use crate::state::bucket::Filling;
use crate::state::durability::AfterDurable;
use crate::state::run::{Run, RunPhase, Sharding};
use crate::state::timers::Timer;

impl Scheduler {
    pub(crate) fn on_run_submitted(&mut self, new: NewRun, now: Time) {
        let id = new.run;
        let record = Record::RunAccepted {
            run: id,
            job: Arc::clone(&new.job),
            source: Arc::clone(&new.source),
            seed: new.seed,
            request_id: new.request_id.clone(),
            rerun: new.rerun.clone(),
            at: now,
        };
        self.runs.insert(id, Run::new(new, now));
        self.append_then(record, AfterDurable::RunAccepted(id));
    }

    pub(crate) fn on_run_accepted(&mut self, id: RunId, now: Time) {
        self.command(Command::RunAccepted { run: id });
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.phase == RunPhase::Accepting {
            run.phase = RunPhase::Active;
        }
        self.fill_buckets(id, Filling::One, now);
        self.add_turn(id);
        self.set_deadline(id);
        self.ask_for_slices(id);
        self.advance(id, now);
    }

    /// Lets a run with a deadline be stopped at it.
    pub(crate) fn set_deadline(&mut self, id: RunId) {
        let Some(run) = self.runs.get(&id) else { return };
        if let Some(deadline) = run.job.deadline {
            let at = run.reopened.unwrap_or(run.accepted) + deadline;
            self.timers.set(at, Timer::RunDeadline(id));
        }
    }

    /// Stops a run that has taken as long as it may. It is recorded when what it leaves is put in place.
    pub(crate) fn on_run_deadline(&mut self, id: RunId, now: Time) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        match run.phase {
            RunPhase::Accepting | RunPhase::Active | RunPhase::Draining(_) => {
                let deadline = run.job.deadline.unwrap_or_default();
                let message = format!("the run took longer than its deadline of {deadline:?}");
                let failure = Failure::new(FailureKind::TimedOut, message);
                run.note_failure(&failure, None, None);
                self.stop_run(id, Ending::Failed, now);
            }
            RunPhase::Stopping(_) | RunPhase::Finishing(_) | RunPhase::Ending => {}
        }
    }

    pub(crate) fn on_slices_found(
        &mut self,
        id: RunId,
        slices: Vec<Slice>,
        bytes_sharded: u64,
        end: SourceEnd,
        now: Time,
    ) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.sharding != Sharding::Asked {
            return;
        }
        run.batch_counts.total += slices.len() as u64;
        owe_for(run, &slices);
        let mut cut_differently = None;
        for slice in slices {
            let id = BatchId::whole(run.found);
            run.found += 1;
            if !run.has_begun(id) {
                run.add_slice(id, slice);
            } else if run.batches.get(&id).is_some_and(|held| held.slice != slice) {
                cut_differently = Some(id);
            }
        }
        run.bytes_sharded = bytes_sharded;
        run.sharding = match end {
            SourceEnd::More => Sharding::Idle,
            SourceEnd::Reached => Sharding::Over,
        };
        if end == SourceEnd::Reached {
            self.command(Command::CloseSource { run: id });
        }
        if let Some(batch) = cut_differently {
            let failure = Failure::permanent(format!(
                "the source was cut differently before the coordinator was started again: batch {batch} has another piece of it"
            ));
            return self.on_source_failed(id, failure, now);
        }
        self.ask_for_slices(id);
        self.advance(id, now);
    }

    pub(crate) fn on_source_failed(&mut self, id: RunId, failure: Failure, now: Time) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.note_failure(&failure, None, None);
        run.sharding = Sharding::Over;
        self.command(Command::CloseSource { run: id });
        self.begin_no_more(id, RunPhase::Draining(Ending::Failed), now);
    }

    /// Lets a run begin no more batches; those begun go on.
    pub(crate) fn begin_no_more(&mut self, id: RunId, phase: RunPhase, now: Time) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        match run.phase {
            RunPhase::Accepting | RunPhase::Active => run.phase = phase,
            RunPhase::Draining(_) | RunPhase::Stopping(_) | RunPhase::Finishing(_) | RunPhase::Ending => {}
        }
        self.let_source_go(id);
        self.advance(id, now);
    }

    /// Stops a run at once: waiting batches are given up, leases are revoked, and their ends are waited for.
    pub(crate) fn stop_run(&mut self, id: RunId, ending: Ending, now: Time) {
        let leased = self.begin_to_stop(id, ending);
        for lease in leased {
            self.revoke(lease);
        }
        self.advance(id, now);
    }

    /// Stops a run after the ops that run: waiting batches are given up, leases are cut, and their ends are waited for.
    pub(crate) fn stop_run_after_running(&mut self, id: RunId, ending: Ending, now: Time) {
        self.begin_to_stop(id, ending);
        self.cut_off(id);
        self.advance(id, now);
    }

    /// Gives up what waits of a run, and returns the leases that are out.
    fn begin_to_stop(&mut self, id: RunId, ending: Ending) -> Vec<LeaseId> {
        let Some(run) = self.runs.get_mut(&id) else {
            return Vec::new();
        };
        run.phase = RunPhase::Stopping(ending);
        self.let_source_go(id);
        let Some(run) = self.runs.get(&id) else {
            return Vec::new();
        };
        let leased = run.batches.values().filter_map(|batch| lease_of(batch.phase)).collect();
        let waiting: Vec<BatchId> = run
            .batches
            .values()
            .filter(|batch| is_nowhere(batch.phase))
            .map(|batch| batch.id)
            .collect();
        for batch in waiting {
            self.give_up_batch(id, batch);
        }
        leased
    }

    fn let_source_go(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.slices.clear();
        for (id, batch) in std::mem::take(&mut run.put_back) {
            run.budgets.insert(id, batch.attempts_begun());
        }
        if run.sharding != Sharding::Over {
            run.sharding = Sharding::Over;
            self.command(Command::CloseSource { run: id });
        }
    }

    /// Moves a run on when nothing of its phase is left to do.
    pub(crate) fn advance(&mut self, id: RunId, now: Time) {
        let Some(run) = self.runs.get(&id) else { return };
        if !run.has_no_open_batch() {
            return;
        }
        match run.phase {
            RunPhase::Active
                if run.sharding == Sharding::Over
                    && run.slices.is_empty()
                    && run.retrying.is_empty()
                    && !run.waits_for_somebody() =>
            {
                let (failed, total) = (run.batch_counts.failed, run.batch_counts.total);
                let ending = if run.job.failure.fails_at_the_end(failed, total) {
                    Ending::Failed
                } else {
                    Ending::Complete
                };
                self.begin_finish(id, ending, now);
            }
            // A worker may come back with a batch that was begun, and finish it.
            RunPhase::Draining(ending) if !self.former.awaits(id) => self.begin_finish(id, ending, now),
            RunPhase::Stopping(ending) => self.begin_finish(id, ending, now),
            RunPhase::Finishing(ending) => self.end_when_finished(id, ending, now),
            RunPhase::Accepting | RunPhase::Active | RunPhase::Draining(_) | RunPhase::Ending => {}
        }
    }
}

/// Tells whether a batch in flight is on no worker, so that it can be given up at once.
fn is_nowhere(phase: BatchPhase) -> bool {
    match phase {
        BatchPhase::Ready
        | BatchPhase::Returning
        | BatchPhase::Backoff { .. }
        | BatchPhase::Checkpointing
        | BatchPhase::Halving { .. }
        | BatchPhase::Halved => true,
        BatchPhase::Queued(_) | BatchPhase::Leased(_) | BatchPhase::Committing { .. } | BatchPhase::Publishing => false,
    }
}

fn lease_of(phase: BatchPhase) -> Option<LeaseId> {
    match phase {
        BatchPhase::Leased(lease) | BatchPhase::Queued(lease) => Some(lease),
        BatchPhase::Ready
        | BatchPhase::Backoff { .. }
        | BatchPhase::Checkpointing
        | BatchPhase::Halving { .. }
        | BatchPhase::Halved
        | BatchPhase::Returning
        | BatchPhase::Committing { .. }
        | BatchPhase::Publishing => None,
    }
}
