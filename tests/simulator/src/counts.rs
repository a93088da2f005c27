//! ACCOUNT: what a run's summary counts at its end is true whoever died meanwhile: no attempt ended well that did not, and no
//! number that only rises is lower than a durable record says.

use std::collections::BTreeMap;

use common::ids::RunId;
use common::summary::RunSummary;
use scheduler::HighMarks;

use crate::world::World;

/// What is known of the counts of runs.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// How many ops ended well, told or not.
    succeeded: BTreeMap<RunId, u64>,
    /// What is durable of the numbers that only rise.
    marks: BTreeMap<RunId, HighMarks>,
}

impl Counts {
    /// An op of a run has ended well somewhere.
    pub(crate) fn note_success(&mut self, run: RunId) {
        *self.succeeded.entry(run).or_default() += 1;
    }

    /// Numbers of a run are durable.
    pub(crate) fn note_marks(&mut self, run: RunId, marks: HighMarks) {
        self.marks.insert(run, marks);
    }
}

impl World {
    /// A run has ended with a summary.
    pub(crate) fn check_counts(&mut self, summary: &RunSummary) {
        let (run, tasks) = (summary.run, summary.tasks);
        let succeeded = self.oracle.counts.succeeded.get(&run).copied().unwrap_or(0);
        self.require(tasks.succeeded <= succeeded, "ACCOUNT", || {
            format!("{run} counts {} ops that ended well, {succeeded} did", tasks.succeeded)
        });
        let marks = self.oracle.counts.marks.get(&run).copied().unwrap_or_default();
        let shown = [
            (summary.batches_in_flight.peak, marks.in_flight),
            (summary.bytes_in_flight.peak, marks.bytes),
            (summary.committing.peak, marks.committing),
            (summary.tasks_running.peak, marks.running),
            (tasks.failed, marks.failed),
            (tasks.retried, marks.retried),
        ];
        let are_kept = shown.iter().all(|(shown, durable)| shown >= durable);
        self.require(are_kept, "ACCOUNT", || {
            format!("{run} ends with {shown:?}: the second of each is durable, and the first lower")
        });
    }
}
