//! Checkpoints: what an op has made is kept where every worker sees it, and no death of a process lets it be made again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tests::{Attempt, Cluster, Disturbed, Job, tables, until};

/// The disturbed job with a checkpoint behind the op that makes the uuids.
fn checkpointed(disturbed: &Disturbed, cluster: &Cluster) -> Job {
    let job = disturbed.job(cluster, "30ms").of_op("mark", "checkpoint", true);
    job.with("checkpoint_uri", kept(cluster).to_string_lossy().into_owned())
}

fn kept(cluster: &Cluster) -> std::path::PathBuf {
    cluster.scratch().path("kept")
}

/// The batches that have gone on behind their checkpoint, and when that was last seen.
struct Seen {
    batches: BTreeSet<u64>,
    at: f64,
}

impl Seen {
    /// Waits until some batches have gone on behind their checkpoint, and one of them is under way.
    fn of(cluster: &Cluster, run: &str) -> Seen {
        until("batches have gone on behind their checkpoints", || {
            let attempts = cluster.timeline(run);
            let behind = attempts.iter().filter(|attempt| attempt.op == "wait");
            let batches: BTreeSet<u64> = behind.map(Attempt::batch_number).collect();
            let at = attempts
                .iter()
                .filter_map(|attempt| attempt.started)
                .fold(0.0, f64::max);
            let under_way = attempts
                .iter()
                .any(|attempt| attempt.op == "wait" && attempt.finished.is_none());
            (batches.len() >= 5 && under_way).then_some(Seen { batches, at })
        })
    }

    /// Checks that nothing up to the checkpoint was done again on these batches.
    fn expect_not_done_again(&self, attempts: &[Attempt]) {
        let is_again = |attempt: &&Attempt| {
            (attempt.op == "extract" || attempt.op == "mark")
                && attempt.started.is_some_and(|started| started > self.at)
                && self.batches.contains(&attempt.batch_number())
        };
        let again: Vec<&Attempt> = attempts
            .iter()
            .filter(|attempt| attempt.op != "load" || attempt.batch.is_some())
            .filter(is_again)
            .collect();
        assert!(again.is_empty(), "{again:#?}");
    }
}

fn files_below(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            if entry.path().is_dir() {
                files_below(&entry.path())
            } else {
                1
            }
        })
        .sum()
}

#[test]
fn batches_go_on_behind_their_checkpoints_when_every_worker_is_killed() {
    let mut cluster = Cluster::start(2, 2);
    let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
    let run = cluster.submit(&checkpointed(&disturbed, &cluster));
    let seen = Seen::of(&cluster, &run);
    cluster.worker("w1").kill();
    cluster.worker("w2").kill();
    cluster.add_worker("w3", 4);
    let attempts = disturbed.expect_same(&cluster, &run);
    seen.expect_not_done_again(&attempts);
    disturbed.expect_nothing_else();
    let batches = cluster.show(&run).batches.total as usize;
    assert_eq!(
        files_below(&kept(&cluster)),
        batches,
        "one of each batch, and nothing of lost attempts"
    );
    cluster.finish();
}

#[test]
fn batches_go_on_behind_their_checkpoints_when_the_coordinator_is_killed_alone_or_with_its_workers() {
    for workers_too in [false, true] {
        let mut cluster = Cluster::start(2, 2);
        let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
        let run = cluster.submit(&checkpointed(&disturbed, &cluster));
        let seen = Seen::of(&cluster, &run);
        cluster.kill_coordinator();
        if workers_too {
            cluster.worker("w1").kill();
            cluster.worker("w2").kill();
        }
        cluster.start_coordinator();
        if workers_too {
            cluster.add_worker("w3", 4);
        }
        disturbed.expect_same_output(&cluster, &run);
        seen.expect_not_done_again(&cluster.timeline(&run));
        disturbed.expect_nothing_else();
        cluster.finish();
    }
}

#[test]
fn checkpoints_are_kept_as_long_as_the_runs_history_and_deleted_with_it() {
    let mut cluster = Cluster::coordinator_with(["--keep-runs", "1"]);
    cluster.add_worker("w1", 2);
    let table = cluster.scratch().write("people.csv", tables::people(40));
    let job = Job::over(table)
        .rows(10)
        .wait("dear", "0s")
        .of_op("dear", "checkpoint", true)
        .discard();
    let refused = cluster.try_submit(&job).expect_code(2);
    assert!(refused.stderr.contains("--checkpoint-root"), "{}", refused.stderr);
    let job = job.with("checkpoint_uri", kept(&cluster).to_string_lossy().into_owned());
    cluster.run(&job);
    assert_eq!(files_below(&kept(&cluster)), 4);
    let plain = Job::over(cluster.scratch().path("people.csv")).discard();
    cluster.run(&plain);
    until("the checkpoints are deleted", || {
        let left = fs::read_dir(kept(&cluster)).into_iter().flatten().count();
        (left == 0).then_some(())
    });
    cluster.finish();
}
