//! Admission bites: a slow op does not let batches pile up in front of it, and that costs no time.

use serde_json::json;
use tests::{Cluster, Job, RunReport, oracle, tables};

const BATCHES: usize = 1_000;

/// A thousand batches, eight slots, and a middle op that may only run twice at once.
fn run(cluster: &Cluster, window: Option<u32>) -> RunReport {
    let table = cluster.scratch().write("numbers.csv", tables::numbers(BATCHES));
    let mut job = Job::over(table)
        .rows(1)
        .cap(8)
        .wait("before", "5ms")
        .op(
            "limited",
            json!({ "noop": {}, "delay": { "per_batch": "10ms" }, "max_concurrent": 2 }),
        )
        .wait("after", "5ms")
        .discard();
    if let Some(window) = window {
        job = job.schedule("max_in_flight", window);
    }
    let report = cluster.run(&job);
    let attempts = cluster.timeline(&report.run);
    oracle::expect_cap(&attempts, 8);
    let limited = attempts.iter().filter(|attempt| attempt.op == "limited");
    assert!(oracle::most_at_once(limited) <= 2, "the op's own limit holds");
    report
}

#[test]
fn a_limited_op_keeps_batches_within_the_window_and_the_run_is_not_slower() {
    let cluster = Cluster::start(4, 2);
    let with_admission = run(&cluster, None);
    let priority_only = run(&cluster, Some(2_000));
    assert!(
        with_admission.peak_batches_in_flight <= 10,
        "the window of a cap of 8: {with_admission:#?}"
    );
    assert!(
        priority_only.peak_batches_in_flight > 300,
        "priority alone lets them pile up: {priority_only:#?}"
    );
    let (bounded, unbounded) = (with_admission.wall_seconds, priority_only.wall_seconds);
    assert!(
        bounded <= 1.15 * unbounded,
        "{bounded} s with admission, {unbounded} s without"
    );
    cluster.finish();
}

#[test]
fn a_window_of_one_runs_batch_after_batch() {
    let cluster = Cluster::start(1, 4);
    let table = cluster.scratch().write("numbers.csv", tables::numbers(30));
    let job = Job::over(table)
        .rows(3)
        .schedule("max_in_flight", 1)
        .wait("wait", "5ms")
        .discard();
    let report = cluster.run(&job);
    assert_eq!(report.peak_batches_in_flight, 1);
    assert_eq!(oracle::most_batches_in_flight(&cluster.timeline(&report.run)), 1);
    cluster.finish();
}

#[test]
fn bytes_in_flight_stay_under_their_bound_and_a_larger_batch_goes_alone() {
    let cluster = Cluster::start(2, 4);
    let line = "x".repeat(99);
    let table = format!("text\n{}", format!("{line}\n").repeat(400));
    let path = cluster.scratch().write("wide.csv", table);
    // Batches of 2,000 bytes: two of them fit into the bound.
    let job = |bound: u32| {
        let job = Job::over(&path).rows(20).schedule("max_in_flight_bytes", bound);
        job.wait("wait", "5ms")
            .op("load", json!({ "write": { "discard": {} } }))
    };
    let two = cluster.run(&job(5_000));
    assert!(two.peak_batches_in_flight <= 2, "{two:#?}");
    let alone = cluster.run(&job(1_000));
    assert_eq!(alone.peak_batches_in_flight, 1, "{alone:#?}");
    cluster.finish();
}
