//! Workers that join a run that goes on, and workers that leave it.

use rustix::process::Signal;
use tests::{Cluster, Job, oracle, tables, wait};

const OPS: [&str; 4] = ["extract", "first", "second", "load"];
const BATCHES: usize = 120;

fn job(cluster: &Cluster) -> Job {
    let table = cluster.scratch().write("numbers.csv", tables::numbers(BATCHES * 2));
    Job::over(table)
        .rows(2)
        .wait("first", "40ms")
        .wait("second", "40ms")
        .discard()
}

#[test]
fn a_worker_that_joins_gets_leases_within_a_second() {
    let mut cluster = Cluster::start(1, 2);
    let run = cluster.submit(&job(&cluster));
    cluster.wait_until(&run, "some batches are committed", |report| {
        report.batches.committed >= 3
    });
    cluster.add_worker("w2", 2);
    cluster.worker("w2").first_line();
    let joined = cluster.show(&run).wall_seconds;
    cluster.wait_for_end(&run).expect_success();
    let attempts = cluster.timeline(&run);
    let of_it = attempts.iter().filter(|attempt| attempt.worker == "w2");
    let first = of_it
        .filter_map(|attempt| attempt.started)
        .reduce(f64::min)
        .expect("it had its part");
    assert!(
        first - joined <= 1.0,
        "it joined at {joined} and first ran something at {first}"
    );
    oracle::expect_each_task_once(&attempts, &OPS, BATCHES as u64);
    cluster.finish();
}

#[test]
fn a_run_waits_for_its_first_worker() {
    let mut cluster = Cluster::coordinator_with::<&str>([]);
    let run = cluster.submit(&job(&cluster));
    cluster.add_worker("late", 8);
    let report = cluster.wait_for_end(&run).expect_success();
    assert_eq!(report.tasks.failed, 0);
    cluster.finish();
}

fn expect_no_work_is_lost(leave: impl FnOnce(&mut Cluster)) {
    let mut cluster = Cluster::start(2, 2);
    let run = cluster.submit(&job(&cluster));
    cluster.wait_until(&run, "some batches are committed", |report| {
        report.batches.committed >= 5
    });
    leave(&mut cluster);
    let status = cluster.worker("w1").wait(wait::PATIENCE);
    assert!(status.success(), "it leaves by itself: {status}");
    let before = cluster.show(&run);
    assert!(!before.ended(), "it left while the run went on: {before:#?}");
    let report = cluster.wait_for_end(&run).expect_success();
    assert_eq!((report.tasks.failed, report.tasks.retried), (0, 0), "{report:#?}");
    oracle::expect_each_task_once(&cluster.timeline(&run), &OPS, BATCHES as u64);
    cluster.worker("w1").expect_no_error_in_log();
    cluster.finish();
}

#[test]
fn a_drained_worker_loses_no_work() {
    expect_no_work_is_lost(|cluster| {
        cluster.plumb(["drain", "w1"]).call().expect_code(0);
    });
}

#[test]
fn a_worker_drains_on_sigterm() {
    expect_no_work_is_lost(|cluster| cluster.worker("w1").signal(Signal::TERM));
}

#[test]
fn a_worker_drains_on_sigint() {
    expect_no_work_is_lost(|cluster| cluster.worker("w1").signal(Signal::INT));
}
