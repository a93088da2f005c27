//! Workers that are killed or frozen in the middle of a run: the run ends, and its output is that of an undisturbed one.

use rustix::process::Signal;
use serde_json::json;
use tests::{Cluster, Job, RunReport, oracle, tables};

const ROWS: usize = 400;

/// A job whose output shows every row, made uuids included.
fn job(cluster: &Cluster, delay: &str, target: &str) -> Job {
    let table = cluster.scratch().write("people.csv", tables::people(ROWS));
    let target = cluster.scratch().path(target).to_string_lossy().into_owned();
    Job::over(table)
        .rows(10)
        .with("seed", 7)
        .cap(4)
        .op(
            "mark",
            json!({ "add": { "columns": { "mark": { "uuid": {} } } }, "delay": { "per_batch": delay } }),
        )
        .wait("wait", delay)
        .single_file(&target)
}

fn output(cluster: &Cluster, name: &str) -> String {
    std::fs::read_to_string(cluster.scratch().path(name)).expect("the output is in place")
}

/// The output of a run that nothing disturbs.
fn undisturbed(cluster: &Cluster) -> String {
    cluster.run(&job(cluster, "0s", "undisturbed.csv"));
    let output = output(cluster, "undisturbed.csv");
    tables::expect_each_row_once(&tables::parse(&output), ROWS);
    output
}

fn in_the_middle(report: &RunReport) -> bool {
    report.batches.committed >= 5
}

fn expect_same(cluster: &Cluster, run: &str, expected: &str) {
    let report = cluster.wait_for_end(run).expect_success();
    assert_eq!(report.rows.loaded, ROWS as u64);
    assert_eq!(output(cluster, "disturbed.csv"), expected, "byte for byte, uuids too");
    let attempts = cluster.timeline(run);
    oracle::expect_cap(&attempts, 4);
    oracle::expect_order(&attempts, &["extract", "mark", "wait", "load"]);
}

fn expect_nothing_else(cluster: &Cluster) {
    let left: Vec<String> = cluster
        .scratch()
        .files_in("")
        .into_iter()
        .filter(|file| file.contains("disturbed.csv"))
        .collect();
    assert_eq!(
        left,
        ["disturbed.csv", "undisturbed.csv"],
        "what lost attempts wrote is gone"
    );
}

#[test]
fn a_killed_worker_changes_nothing_in_the_output() {
    let mut cluster = Cluster::start(2, 2);
    let expected = undisturbed(&cluster);
    let run = cluster.submit(&job(&cluster, "40ms", "disturbed.csv"));
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    cluster.worker("w1").kill();
    expect_same(&cluster, &run, &expected);
    expect_nothing_else(&cluster);
    cluster.finish();
}

#[test]
fn a_run_outlives_all_its_workers() {
    let mut cluster = Cluster::start(2, 2);
    let expected = undisturbed(&cluster);
    let run = cluster.submit(&job(&cluster, "40ms", "disturbed.csv"));
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    cluster.worker("w1").kill();
    cluster.worker("w2").kill();
    cluster.add_worker("w3", 4);
    expect_same(&cluster, &run, &expected);
    expect_nothing_else(&cluster);
    cluster.finish();
}

#[test]
fn a_new_process_of_the_same_name_takes_over() {
    let mut cluster = Cluster::start(2, 2);
    let expected = undisturbed(&cluster);
    let run = cluster.submit(&job(&cluster, "40ms", "disturbed.csv"));
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    cluster.worker("w1").kill();
    cluster.add_worker("w1", 2);
    expect_same(&cluster, &run, &expected);
    expect_nothing_else(&cluster);
    cluster.finish();
}

#[test]
fn a_frozen_worker_loses_its_leases_and_commits_nothing_when_it_thaws() {
    let mut cluster = Cluster::start(2, 2);
    let expected = undisturbed(&cluster);
    let run = cluster.submit(&job(&cluster, "40ms", "disturbed.csv"));
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    cluster.worker("w1").signal(Signal::STOP);
    let report = cluster.wait_for_end(&run).expect_success();
    assert_eq!(report.rows.loaded, ROWS as u64);
    cluster.worker("w1").signal(Signal::CONT);
    expect_same(&cluster, &run, &expected);
    // It stops what it may no longer do, and leaves: what it wrote in that moment nobody sweeps, and nobody commits.
    // The next run succeeds with the other worker.
    cluster.run(&job(&cluster, "0s", "again.csv"));
    assert_eq!(output(&cluster, "again.csv"), expected);
}

#[test]
fn part_files_name_each_row_once_after_a_kill() {
    let mut cluster = Cluster::start(2, 2);
    let table = cluster.scratch().write("people.csv", tables::people(ROWS));
    let target = cluster.scratch().path("parts").to_string_lossy().into_owned();
    let job = Job::over(table)
        .rows(10)
        .cap(4)
        .wait("wait", "40ms")
        .op("load", json!({ "write": { "csv": { "uri": target } } }));
    let run = cluster.submit(&job);
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    cluster.worker("w2").kill();
    cluster.wait_for_end(&run).expect_success();
    let files = cluster.scratch().files_in("parts");
    let parts: Vec<&String> = files.iter().filter(|file| file.ends_with(".csv")).collect();
    assert_eq!(
        files.len(),
        parts.len() + 1,
        "parts, their manifest, and nothing else: {files:?}"
    );
    let mut table = vec![vec!["id".to_owned(), "name".to_owned(), "team".to_owned()]];
    for part in parts {
        table.extend(
            tables::read(cluster.scratch().path("parts").join(part))
                .into_iter()
                .skip(1),
        );
    }
    tables::expect_each_row_once(&table, ROWS);
    cluster.finish();
}
