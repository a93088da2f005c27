//! The charts of all runs that this process has seen, within a bound.
//!
//! Known weakness: the bound is on ended runs; live ones are bounded one by one ([`Chart::MAX_ROWS`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use common::failure::Failure;
use common::ids::{RunId, WorkerName};
use common::job::Job;
use common::summary::RunSummary;
use common::time::Time;
use common::timeline::TimelineEntry;

use super::series::{Sample, Series};
use super::{Chart, Reported};

/// The most rows that are kept of ended runs together.
const ENDED_ROWS: u64 = 4_000_000;
/// How many of them are kept at most.
const ENDED_RUNS: usize = 1_000;

/// A run's chart and its series.
#[derive(Debug)]
pub struct RunChart {
    /// The attempts.
    pub chart: Chart,
    /// What went up and down.
    pub series: Series,
}

/// All charts.
#[derive(Debug, Default)]
pub struct Charts {
    runs: BTreeMap<RunId, RunChart>,
    /// Ended runs, oldest end first.
    ended: VecDeque<RunId>,
    slots: BTreeMap<WorkerName, u32>,
}

impl RunChart {
    /// Makes the empty chart of a run.
    pub fn new(accepted: Time, job: &Job) -> RunChart {
        RunChart {
            chart: Chart::new(accepted, job.ops.len(), job.last_op()),
            series: Series::new(accepted),
        }
    }
}

impl Charts {
    /// Begins a run's chart; one that there is stays.
    pub fn begin(&mut self, run: RunId, accepted: Time, job: &Job) {
        self.runs.entry(run).or_insert_with(|| RunChart::new(accepted, job));
    }

    /// Takes over a whole chart, for tests and for pages at scale.
    pub fn insert(&mut self, run: RunId, chart: RunChart) {
        self.runs.insert(run, chart);
    }

    /// Takes over how many slots a worker has.
    pub fn meet(&mut self, worker: &WorkerName, slots: u32) {
        self.slots.insert(worker.clone(), slots);
    }

    /// Takes over that an attempt started or ended.
    pub fn record(&mut self, run: RunId, entry: &TimelineEntry, failure: Option<&Failure>) {
        let slots = self.slots.get(&entry.worker).copied().unwrap_or(0);
        if let Some(run) = self.runs.get_mut(&run) {
            run.chart.record(&Reported { entry, failure, slots });
        }
    }

    /// Takes over what a run's gauges say.
    pub fn sample(&mut self, run: RunId, sample: &Sample, at: Time) {
        if let Some(run) = self.runs.get_mut(&run) {
            run.series.add(sample, at);
        }
    }

    /// Returns a run's chart.
    pub fn get_mut(&mut self, run: RunId) -> Option<&mut RunChart> {
        self.runs.get_mut(&run)
    }

    /// Takes over that a run has ended, and forgets the oldest ended ones beyond the bound.
    pub fn finish(&mut self, summary: &Arc<RunSummary>) {
        let Some(run) = self.runs.get_mut(&summary.run) else {
            return;
        };
        let ended = summary.ended.unwrap_or(summary.accepted);
        run.chart.finish(ended);
        run.series.add(&Sample::of(summary, &[]), ended);
        self.ended.push_back(summary.run);
        while self.ended.len() > 1 && (self.ended.len() > ENDED_RUNS || self.ended_rows() > ENDED_ROWS) {
            if let Some(oldest) = self.ended.pop_front() {
                self.runs.remove(&oldest);
            }
        }
    }

    fn ended_rows(&self) -> u64 {
        let ended = self.ended.iter().filter_map(|run| self.runs.get(run));
        ended.map(|run| run.chart.len()).sum()
    }
}
