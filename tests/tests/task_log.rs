//! What tasks log, from the op to the command line: kept per attempt, searched, followed, there after a restart.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Cluster, Job, tables, within};

fn job(cluster: &Cluster, delay: &str) -> Job {
    let table = cluster.scratch().write("people.csv", tables::people(40));
    Job::over(table)
        .rows(4)
        .cap(2)
        .wait("wait", delay)
        .op("load", json!({ "write": { "log": { "message": "row {id}" } } }))
}

fn lines(cluster: &Cluster, run: &str, flags: &[&str]) -> Vec<Value> {
    let words = ["logs", run, "--json"].into_iter().chain(flags.iter().copied());
    let printed = cluster.plumb(words).call().expect_code(0).stdout;
    let lines = printed.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn every_line_of_the_log_sink_is_in_the_log_of_its_run_and_can_be_searched() {
    let cluster = Cluster::start(2, 2);
    let report = cluster.run(&job(&cluster, "0s"));
    within(Duration::from_secs(20), "all lines are there", || {
        (lines(&cluster, &report.run, &[]).len() == 40).then_some(())
    });
    let all = lines(&cluster, &report.run, &["--follow"]);
    assert_eq!(all.len(), 40);
    assert!(
        all.iter()
            .all(|line| line["op"] == "load" && line["level"] == "info" && line["attempt"] == 1)
    );
    let of_batch = lines(&cluster, &report.run, &["--batch", "3"]);
    assert_eq!(of_batch.len(), 4);
    assert!(of_batch.iter().all(|line| line["batch"] == "3"));
    let found = lines(
        &cluster,
        &report.run,
        &["--grep", all[7]["text"].as_str().expect("a text")],
    );
    assert!(!found.is_empty() && found.len() < 40);
    assert!(lines(&cluster, &report.run, &["--op", "extract"]).is_empty());
    cluster.finish();
}

/// How many attempts have ended and are in the timeline.
fn ended(cluster: &Cluster, run: &str) -> usize {
    let attempts = cluster.timeline(run);
    attempts.iter().filter(|attempt| attempt.finished.is_some()).count()
}

#[test]
fn timeline_and_log_of_a_live_run_are_there_after_the_coordinator_was_killed() {
    let mut cluster = Cluster::start(1, 2);
    let run = cluster.submit(&job(&cluster, "800ms"));
    let (rows, logged) = within(Duration::from_secs(60), "two batches are through", || {
        let (rows, logged) = (ended(&cluster, &run), lines(&cluster, &run, &[]).len());
        (rows >= 6 && logged >= 8).then_some((rows, logged))
    });
    // Two more batches of each slot take longer than it may take until what was before them is on the disk.
    within(Duration::from_secs(60), "more batches are through", || {
        (ended(&cluster, &run) >= rows + 12).then_some(())
    });
    cluster.restart_coordinator();
    let after = ended(&cluster, &run);
    assert!(after >= rows, "{after} rows of at least {rows}");
    assert!(lines(&cluster, &run, &[]).len() >= logged);
    let report = cluster.wait_for_end(&run);
    assert_eq!(report.state, "succeeded");
    let attempts = cluster.timeline(&run);
    let committed = attempts.iter().filter(|attempt| attempt.committed.is_some()).count();
    assert!(committed >= 8, "{committed} commits are in the timeline");
    assert!(attempts.iter().all(|attempt| attempt.leased >= attempt.queued - 0.001));
    cluster.finish();
}
