//! Feeding the charts: a chart is begun with its run's first attempt or sample, and gauges are sampled 4 times a second.

use std::time::Duration;

use common::ids::RunId;
use common::time::Time;
use scheduler::Record;

use super::Driver;
use crate::chart::series::Sample;

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
            self.begin_chart(run);
            if let Some(summary) = self.world.scheduler.summary(run) {
                let queues = self.world.scheduler.queues(run);
                self.world.charts.sample(run, &Sample::of(&summary, &queues), now);
            }
        }
    }

    /// Begins a live run's chart, if it is known and has none.
    pub(super) fn begin_chart(&mut self, run: RunId) {
        if self.world.charts.get_mut(run).is_some() {
            return;
        }
        let summary = self.world.scheduler.summary(run);
        if let (Some(summary), Some(entry)) = (summary, self.world.registry.run(run)) {
            self.world.charts.begin(run, summary.accepted, &entry.job);
        }
    }

    /// Tells a run's chart that a batch will not be tried again.
    pub(super) fn settle_batch(&mut self, record: &Record) {
        if let Record::BatchFailed { run, batch, .. } = record
            && let Some(run) = self.world.charts.get_mut(*run)
        {
            run.chart.settle(*batch);
        }
    }
}
