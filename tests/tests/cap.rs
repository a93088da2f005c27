//! The cap is exact over all workers, by the workers' own clocks: with few and many, and while they come and go.

use tests::{Cluster, Job, oracle, tables};

const OPS: [&str; 4] = ["extract", "first", "second", "load"];

fn job(cluster: &Cluster, batches: usize, cap: u32, delay: &str) -> Job {
    let table = cluster
        .scratch()
        .write(&format!("{batches}.csv"), tables::numbers(batches * 5));
    Job::over(table)
        .rows(5)
        .cap(cap)
        .wait("first", delay)
        .wait("second", delay)
        .discard()
}

/// Eight slots, spread over so many workers; caps of one, four and seven.
fn expect_caps_hold_with(workers: u32) {
    let cluster = Cluster::start(workers, 8 / workers);
    for cap in [1, 4, 7] {
        let batches = if cap == 1 { 15 } else { 40 };
        let report = cluster.run(&job(&cluster, batches, cap, "15ms"));
        let attempts = cluster.timeline(&report.run);
        oracle::expect_cap(&attempts, cap as usize);
        oracle::expect_order(&attempts, &OPS);
        oracle::expect_each_task_once(&attempts, &OPS, batches as u64);
        assert!(report.peak_tasks_running <= u64::from(cap), "{report:#?}");
        assert!(
            report.peak_batches_in_flight <= u64::from(cap + (cap / 4).max(1)),
            "{report:#?}"
        );
        let most = oracle::most_at_once(&attempts);
        assert!(most > cap as usize / 2, "the cap of {cap} is made use of: {most}");
    }
    cluster.finish();
}

#[test]
fn the_cap_holds_with_one_worker() {
    expect_caps_hold_with(1);
}

#[test]
fn the_cap_holds_with_two_workers() {
    expect_caps_hold_with(2);
}

#[test]
fn the_cap_holds_with_four_workers() {
    expect_caps_hold_with(4);
}

#[test]
fn the_cap_holds_with_eight_workers() {
    expect_caps_hold_with(8);
}

#[test]
fn the_cap_holds_while_workers_join_drain_and_are_killed() {
    let mut cluster = Cluster::start(2, 3);
    let run = cluster.submit(&job(&cluster, 150, 4, "40ms"));
    let committed = |count: u64| move |report: &tests::RunReport| report.batches.committed >= count;
    cluster.wait_until(&run, "5 batches are committed", committed(5));
    cluster.add_worker("w3", 3);
    cluster.wait_until(&run, "20 batches are committed", committed(20));
    cluster.plumb(["drain", "w1"]).call().expect_code(0);
    let status = cluster.worker("w1").wait(tests::wait::PATIENCE);
    assert!(status.success(), "a drained worker leaves by itself: {status}");
    cluster.wait_until(&run, "40 batches are committed", committed(40));
    cluster.worker("w2").kill();
    cluster.add_worker("w4", 3);
    let report = cluster.wait_for_end(&run).expect_success();
    assert_eq!((report.batches.committed, report.rows.loaded), (150, 750));
    let attempts = cluster.timeline(&run);
    oracle::expect_cap(&attempts, 4);
    oracle::expect_order(&attempts, &OPS);
    for worker in ["w1", "w2", "w3", "w4"] {
        assert!(
            attempts.iter().any(|attempt| attempt.worker == worker),
            "{worker} had its part"
        );
    }
    cluster.finish();
}

#[test]
fn the_coordinators_own_cap_holds_over_runs() {
    let mut cluster = Cluster::coordinator_with(["--max-concurrent", "3"]);
    cluster.add_worker("w1", 4);
    cluster.add_worker("w2", 4);
    cluster.wait_for_workers(2);
    let runs = [20, 21].map(|batches| cluster.submit(&job(&cluster, batches, 8, "15ms")));
    let reports = runs.map(|run| cluster.wait_for_end(&run).expect_success());
    for report in reports {
        oracle::expect_cap(&cluster.timeline(&report.run), 3);
    }
    cluster.finish();
}
