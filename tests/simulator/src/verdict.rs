//! The oracles that look at the scheduler after every step, at the journal, and at how runs end.

use std::collections::{BTreeMap, BTreeSet};

use common::counts::RowCounts;
use common::ids::{BatchId, Generation, LeaseId, RunId};
use common::state::RunState;
use common::summary::RunSummary;
use scheduler::{Config, RecordSequence, Scheduler};

use crate::jobs::{self, ROW_BYTES};
use crate::plan::SinkPlan;
use crate::world::World;

impl World {
    /// The scheduler's own invariants, the window, the order of grants.
    pub(crate) fn check_scheduler(&mut self) {
        let Some(coordinator) = &self.coordinator else {
            return;
        };
        if let Some(violation) = coordinator.scheduler.check().into_iter().next() {
            self.fail("SCHEDULER", || violation.to_string());
        }
        self.settle_limits();
        let grants = std::mem::take(&mut self.oracle.grants);
        for (session, grant) in &grants {
            self.check_depth_first(*session, grant);
        }
        self.check_returns();
        self.check_shares();
        self.note_batches();
        if !grants.is_empty() {
            self.check_windows();
        }
    }

    /// WINDOW: batches in flight and their bytes are within the run's bounds.
    fn check_windows(&mut self) {
        let Some(coordinator) = &self.coordinator else {
            return;
        };
        let mut found = Vec::new();
        for run in coordinator.scheduler.runs() {
            let plan = &self.plan.jobs[self.oracle.job_of_run[&run]];
            let (_, allowed) = self.window_of(run);
            if allowed.is_none() && plan.max_rows_in_flight.is_none() {
                continue;
            }
            let Some(summary) = coordinator.scheduler.summary(run) else {
                continue;
            };
            // The scheduler's own check counts the batches behind these numbers.
            let (batches, bytes) = (summary.batches_in_flight.now, summary.bytes_in_flight.now);
            let within = allowed.is_none_or(|allowed| batches <= u64::from(allowed));
            let bound = plan.max_rows_in_flight.map(|rows| rows * ROW_BYTES);
            let fits = batches <= 1 || bound.is_none_or(|bound| bytes <= bound);
            if !within || !fits {
                found.push(format!("{run} has {batches} batches of {bytes} bytes in flight"));
            }
        }
        if let Some(found) = found.pop() {
            self.fail("WINDOW", || found);
        }
    }

    /// JOURNAL: what a coordinator reads is what became durable, and no more: a torn record is none.
    pub(crate) fn check_journal(&mut self) {
        let (read, durable) = (self.disk.durable_up_to().0, self.oracle.durable_records);
        self.require(read == durable, "JOURNAL", || {
            format!("{read} records are read, {durable} became durable")
        });
    }

    /// REPLAY = LIVE: the records, and a snapshot with the records behind it, add up to the same.
    pub(crate) fn check_replay(&mut self) {
        let (whole, from_snapshot) = self.disk.replay();
        let same = whole == from_snapshot && whole == *self.disk.ledger();
        self.require(same, "REPLAY=LIVE", || {
            "the ledger depends on where the replay begins".to_owned()
        });
        let config = Config {
            generation: Generation(self.incarnation + 1),
            global_cap: self.told_cap(self.plan.terms.global_cap),
            ..Config::default()
        };
        let restored = Scheduler::restore(config, &whole, self.now);
        if let Some(violation) = restored.check().into_iter().next() {
            self.fail("SCHEDULER", || format!("after a restore: {violation}"));
        }
        for (run, ledger) in &whole.runs {
            let counted = restored.summary(*run).map(|summary| summary.batches.committed);
            let run = *run;
            let recorded = ledger.committed_count;
            self.require(counted.is_none_or(|counted| counted == recorded), "REPLAY=LIVE", || {
                format!("{run} has {recorded} commits in the journal, {counted:?} after a restore")
            });
        }
    }

    /// REPLAY = LIVE: the scheduler knows as committed what the ledger knows.
    pub(crate) fn check_live(&mut self, told: RecordSequence) {
        let Some(coordinator) = &self.coordinator else {
            return;
        };
        if told != self.disk.durable_up_to() {
            return;
        }
        let mut found = None;
        for (run, ledger) in &self.disk.ledger().runs {
            let Some(summary) = coordinator.scheduler.summary(*run) else {
                found = Some(format!("{run} is in the journal, the scheduler does not know it"));
                break;
            };
            let batches = self.plan.jobs[self.oracle.job_of_run[run]].batches.len() as u64;
            let differs = (0..batches).find(|index| {
                coordinator.scheduler.is_committed(*run, BatchId::whole(*index))
                    != ledger.committed.contains(BatchId::whole(*index))
            });
            if let Some(index) = differs {
                found = Some(format!(
                    "{run} batch {index} is committed in the journal or in the scheduler, not in both"
                ));
            }
            if summary.batches.committed != ledger.committed_count {
                found = Some(format!(
                    "{run} counts {} commits, not {}",
                    summary.batches.committed, ledger.committed_count
                ));
            }
        }
        if let Some(found) = found {
            self.fail("REPLAY=LIVE", || found);
        }
    }

    /// EXACT COVER: at the end of a run every row is accounted for.
    pub(crate) fn check_outcome(&mut self, summary: &RunSummary) {
        let run = summary.run;
        let state = summary.state;
        self.oracle.ended_once.insert(run);
        let before = self.oracle.ended.insert(run, state);
        self.require(before.is_none(), "MONOTONE STATE", || {
            format!("{run} ended {before:?}, and {state}")
        });
        let job = self.oracle.job_of_run[&run];
        let plan = self.plan.jobs[job].clone();
        let all: u64 = plan.batches.iter().sum();
        let committed: BTreeMap<BatchId, LeaseId> = self.commits_of(run);
        let failures: Vec<BatchId> = self
            .oracle
            .failed
            .iter()
            .filter(|(of, _)| *of == run)
            .map(|(_, batch)| *batch)
            .collect();
        let failed = failures.len();
        let rows_in = |batch: &BatchId| {
            let batch = *batch;
            let range = jobs::range_of(&plan, batch);
            range.map(move |row| (batch.index, row))
        };
        // No row twice is what the commits were checked for.
        let in_failed: BTreeSet<(u64, u64)> = failures.iter().flat_map(rows_in).collect();
        let in_committed: BTreeSet<(u64, u64)> = committed.keys().flat_map(rows_in).collect();
        let disjoint = in_failed.is_disjoint(&in_committed);
        self.require(disjoint, "EXACT COVER", || {
            format!("{run} has rows that failed and are committed: {failures:?}")
        });
        let covered = match state {
            RunState::Succeeded => in_committed.len() as u64 == all && failed == 0,
            RunState::CompletedWithFailures => (in_committed.len() + in_failed.len()) as u64 == all && failed > 0,
            RunState::Failed => true,
            RunState::Cancelled => self.oracle.cancelled.contains(&run),
            RunState::Queued | RunState::Running | RunState::Paused => false,
        };
        self.require(covered, "EXACT COVER", || {
            format!(
                "{run} is {state} with {} rows committed and {} failed of {all}",
                in_committed.len(),
                in_failed.len()
            )
        });
        let obeyed = state == RunState::Cancelled || !self.oracle.durably_cancelled.contains(&run);
        self.require(obeyed, "ACK-DURABLE", || format!("{run} was cancelled, and is {state}"));
        let mut rows = RowCounts::default();
        for batch in committed.keys() {
            rows += jobs::rows_committed(&plan, job, *batch);
        }
        let complete = matches!(state, RunState::Succeeded | RunState::CompletedWithFailures);
        let balances = summary.rows.balances()
            && summary.rows.loaded == rows.loaded
            && (!complete || summary.rows.read == all)
            && summary.batches.committed == committed.len() as u64
            && summary.batches.failed == failed as u64;
        self.require(balances, "EXACT COVER", || {
            format!(
                "{run} is {state} with {:?} and {:?}; {rows:?} are committed",
                summary.rows, summary.batches
            )
        });
        let spurious = failed > 0 || state == RunState::Failed;
        let blameless = self.oracle.injected == 0 && self.plan.faults.is_empty() && plan.deadline.is_none();
        self.require(!(spurious && blameless), "NO-SPURIOUS-FAILURE", || {
            format!("{run} is {state} though nothing failed: {:?}", summary.failure)
        });
        if complete {
            self.check_output(run, plan.sink, &committed);
        }
    }

    fn commits_of(&self, run: RunId) -> BTreeMap<BatchId, LeaseId> {
        let of_run = self.oracle.committed.iter().filter(|((of, _), _)| *of == run);
        of_run.map(|((_, batch), lease)| (*batch, *lease)).collect()
    }

    /// The output in place is what is committed, no more and no less.
    fn check_output(&mut self, run: RunId, sink: SinkPlan, committed: &BTreeMap<BatchId, LeaseId>) {
        if sink == SinkPlan::Discard {
            return;
        }
        let in_place = self.oracle.joined.get(&run).cloned().unwrap_or_default();
        self.require(in_place == *committed, "EXACT COVER", || {
            format!("{run} has {in_place:?} in place, {committed:?} are committed")
        });
    }

    /// The end of a run is told when it is durable.
    pub(crate) fn check_run_ended(&mut self, summary: &RunSummary) {
        let is_durable = self.disk.ledger().ended.contains_key(&summary.run);
        let run = summary.run;
        self.require(is_durable, "ACK-DURABLE", || {
            format!("the end of {run} is told, and not durable")
        });
    }

    /// Tells whether everything submitted has ended, and nothing is held any more.
    pub(crate) fn has_ended(&self) -> bool {
        let Some(coordinator) = &self.coordinator else {
            return false;
        };
        let ended = &self.disk.ledger().ended;
        let all_ended = self
            .users
            .iter()
            .all(|user| user.run.is_some_and(|run| ended.contains_key(&run)));
        all_ended && self.oracle.running.is_empty() && coordinator.scheduler.runs().next().is_none() && self.held() == 0
    }

    /// LIVENESS: the faults have stopped for long, and something has not ended.
    pub(crate) fn complain_of_no_end(&mut self) {
        let mut text = String::new();
        for (user, known) in self.users.iter().enumerate() {
            let state = known.run.map(|run| (run, self.oracle.ended.get(&run)));
            text.push_str(&format!("user {user} knows {state:?}; "));
        }
        let Some(coordinator) = &self.coordinator else {
            return self.fail("LIVENESS", || format!("{text}there is no coordinator"));
        };
        for run in coordinator.scheduler.runs() {
            text.push_str(&format!("\n{:?}", coordinator.scheduler.summary(run)));
            for batch in coordinator.scheduler.batches(run) {
                text.push_str(&format!("\n  {batch:?}"));
            }
        }
        for worker in coordinator.scheduler.workers() {
            text.push_str(&format!("\n{worker:?}"));
        }
        text.push_str(&format!("\nrunning: {:?}", self.oracle.running));
        self.fail("LIVENESS", || text);
    }

    /// Everything that was submitted is known and has ended.
    pub(crate) fn check_end(&mut self) {
        if !self.has_ended() {
            self.complain_of_no_end();
        }
        for (run, _) in self.disk.ledger().ended.clone() {
            let is_known = self.oracle.ended.contains_key(&run);
            self.require(is_known, "EXACT COVER", || format!("{run} has ended without a verdict"));
        }
    }
}
