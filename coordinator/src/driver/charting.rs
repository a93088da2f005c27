//! Telling the timelines what the driver sees: runs that begin and end, commits, and gauges 4 times a second.
//!
//! Nothing here waits: the timelines only note it ([`crate::timeline`]).

use std::sync::Arc;
use std::time::Duration;

use common::ids::RunId;
use common::summary::RunSummary;
use common::time::Time;
use scheduler::Record;

use super::Driver;
use crate::timeline::Known;
use crate::timeline::series::Sample;

/// The time between two samples of a run's gauges.
const SAMPLING: Duration = Duration::from_millis(250);

impl Driver {
    /// Returns when gauges are to be sampled next, if a run is live.
    pub(super) fn next_sample(&self) -> Option<Time> {
        self.world.scheduler.runs().next().map(|_| self.sampled + SAMPLING)
    }

    /// Samples the gauges of the live runs, if it is time to.
    pub(super) fn sample(&mut self, now: Time) {
        if self.next_sample().is_none_or(|next| now < next) {
            return;
        }
        self.sampled = now;
        let runs: Vec<RunId> = self.world.scheduler.runs().collect();
        for run in runs {
            if let Some(summary) = self.world.scheduler.summary(run) {
                let queues = self.world.scheduler.queues(run);
                self.world.timelines.sample(run, Sample::of(&summary, &queues), now);
            }
        }
    }

    /// Begins a run's timeline, or notes the moment of a commit, when its record is durable.
    pub(super) fn keep_moment(&self, record: &Record, now: Time) {
        match record {
            Record::RunAccepted { run, job, at, .. } => self.world.timelines.begin(*run, *at, job),
            Record::BatchCommitted { run, batch, .. } => {
                self.world.timelines.commit(*run, *batch, now);
            }
            Record::RunReopened { run, ledger, .. } => {
                let known = Known {
                    run: *run,
                    accepted: ledger.accepted,
                    ops: ledger.job.ops.len(),
                    ended: None,
                    now,
                };
                self.world.timelines.reopen(&known, &ledger.job);
            }
            Record::SessionOpened { .. }
            | Record::SessionClosed { .. }
            | Record::AttemptFailed { .. }
            | Record::WorkerCrashed { .. }
            | Record::WorkerReturned { .. }
            | Record::RunStarted { .. }
            | Record::MarksRisen { .. }
            | Record::BatchFailed { .. }
            | Record::BatchCheckpointed { .. }
            | Record::CheckpointLost { .. }
            | Record::BatchHalved { .. }
            | Record::FailedRetried { .. }
            | Record::RunOpCommitted { .. }
            | Record::RunFailing { .. }
            | Record::RunFinishing { .. }
            | Record::RunCommanded { .. }
            | Record::PoolSet { .. }
            | Record::CapSet { .. }
            | Record::RunEnded { .. } => {}
        }
    }

    /// Ends a run's timeline.
    pub(super) fn end_timeline(&self, summary: &Arc<RunSummary>) {
        let ended = summary.ended.unwrap_or(summary.accepted);
        let last = Sample::of(summary, &[]);
        self.world.timelines.sample(summary.run, last, ended);
        self.world.timelines.finish(summary.run, ended);
    }
}
