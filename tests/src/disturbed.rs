//! The same job twice, undisturbed and under faults: what comes of it has to be the same, byte for byte.
//!
//! Owns the job, whose output shows every row and a made uuid for each, and the judgement. The test owns the faults.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cluster::Cluster;
use crate::job::Job;
use crate::oracle;
use crate::report::{Attempt, RunReport};
use crate::tables;

/// The rows of the input.
pub const ROWS: usize = 400;
/// The rows of a batch.
pub const BATCH: u32 = 10;
/// How many tasks may run at once.
pub const CAP: u32 = 4;
/// The ops of the chain, in order.
pub const OPS: [&str; 4] = ["extract", "mark", "wait", "load"];

/// What comes of the job when nothing disturbs it.
#[derive(Debug)]
pub struct Disturbed {
    expected: String,
    /// Where the disturbed run writes.
    target: PathBuf,
}

impl Disturbed {
    /// Runs the job undisturbed; disturbed runs will write to a file beside it.
    pub fn after_an_undisturbed_run(cluster: &Cluster) -> Disturbed {
        let target = cluster.scratch().path("disturbed.csv");
        Disturbed::writing_to(cluster, &target)
    }

    /// Runs the job undisturbed; disturbed runs will write elsewhere.
    ///
    /// # Panics
    /// If it does not go well.
    pub fn writing_to(cluster: &Cluster, target: &Path) -> Disturbed {
        let undisturbed = cluster.scratch().path("undisturbed.csv");
        cluster.run(&job(cluster, &undisturbed, "0s"));
        let expected = fs::read_to_string(undisturbed).expect("the output is in place");
        tables::expect_each_row_once(&tables::parse(&expected), ROWS);
        Disturbed {
            expected,
            target: target.to_owned(),
        }
    }

    /// Submits the job again, with ops that take so long.
    pub fn submit(&self, cluster: &Cluster, delay: &str) -> String {
        cluster.submit(&self.job(cluster, delay))
    }

    /// Returns the job, with ops that take so long.
    pub fn job(&self, cluster: &Cluster, delay: &str) -> Job {
        job(cluster, &self.target, delay)
    }

    /// Waits for the end of the disturbed run, judges it, and returns its attempts.
    ///
    /// # Panics
    /// If anything differs from what an undisturbed run gives, or more ran at once than may.
    pub fn expect_same(&self, cluster: &Cluster, run: &str) -> Vec<Attempt> {
        self.expect_same_output(cluster, run);
        let attempts = cluster.timeline(run);
        oracle::expect_cap(&attempts, CAP as usize);
        oracle::expect_order(&attempts, &OPS);
        attempts
    }

    /// Judges like [`Disturbed::expect_same`] a run whose coordinator died with rows of the timeline that it had not
    /// written: an attempt whose row is there is judged, and one that is missing is not held against the others.
    ///
    /// # Panics
    /// If anything differs from what an undisturbed run gives, or more ran at once than may.
    pub fn expect_same_as_far_as_known(&self, cluster: &Cluster, run: &str) -> Vec<Attempt> {
        self.expect_same_output(cluster, run);
        let attempts = cluster.timeline(run);
        oracle::expect_cap(&attempts, CAP as usize);
        oracle::expect_order_where_known(&attempts, &OPS);
        attempts
    }

    /// Waits for the end of a run, and checks that it succeeded with the output of an undisturbed run.
    ///
    /// # Panics
    /// If anything of it differs.
    pub fn expect_same_output(&self, cluster: &Cluster, run: &str) {
        let report = cluster.wait_for_end(run).expect_success();
        assert_eq!(report.rows.loaded, ROWS as u64);
        let output = fs::read_to_string(&self.target).expect("the output is in place");
        assert_eq!(output, self.expected, "byte for byte, uuids too");
    }

    /// Checks that beside the output nothing is left of a run.
    ///
    /// # Panics
    /// If something is.
    pub fn expect_nothing_else(&self) {
        assert_eq!(self.left(), [self.name()], "what lost attempts wrote is gone");
    }

    /// Checks that nothing is left of a run that has no result, but the folder from which it may go on again.
    ///
    /// # Panics
    /// If something is.
    pub fn expect_nothing(&self) {
        let kept = format!(".{}.plumbline-r", self.name());
        let mut left = self.left();
        left.retain(|name| !name.starts_with(&kept));
        assert_eq!(left, [""; 0], "a run without a result leaves nothing else");
    }

    fn name(&self) -> String {
        self.target.file_name().expect("a file").to_string_lossy().into_owned()
    }

    /// Returns the names beside the target that come from it, hidden folders too.
    fn left(&self) -> Vec<String> {
        let folder = self.target.parent().expect("a file lies in a folder");
        let entries = fs::read_dir(folder).expect("the folder is there");
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut left: Vec<String> = names
            .filter(|name| name.contains(&self.name()) && !name.contains("undisturbed"))
            .collect();
        left.sort();
        left
    }
}

/// Tells whether a run is neither at its beginning nor at its end.
pub fn in_the_middle(report: &RunReport) -> bool {
    report.batches.committed >= 5
}

fn job(cluster: &Cluster, target: &Path, delay: &str) -> Job {
    let table = cluster.scratch().write("people.csv", tables::people(ROWS));
    let delay = json!({ "per_batch": delay });
    let write = json!({ "csv": { "uri": target.to_string_lossy(), "single_file": true } });
    // Patient with a disk that has no room: a test decides when there is some again.
    let retry = json!({ "max_attempts": 50, "initial_backoff": "100ms", "max_backoff": "200ms" });
    Job::over(table)
        .rows(BATCH)
        .with("seed", 7)
        .cap(CAP)
        .op(
            "mark",
            json!({ "add": { "columns": { "mark": { "uuid": {} } } }, "delay": delay }),
        )
        .op("wait", json!({ "noop": {}, "delay": delay }))
        .op("load", json!({ "write": write, "delay": delay, "retry": retry }))
}
