//! Workers that are killed, frozen or replaced in the middle of a run: the run ends, and its output is that of an
//! undisturbed one.

use rustix::process::Signal;
use serde_json::json;
use tests::disturbed::in_the_middle;
use tests::{Cluster, Disturbed, Job, tables, until};

const ROWS: usize = 400;

#[test]
fn a_killed_worker_changes_nothing_in_the_output() {
    let mut cluster = Cluster::start(2, 2);
    let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
    let run = disturbed.submit(&cluster, "40ms");
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    cluster.worker("w1").kill();
    disturbed.expect_same(&cluster, &run);
    disturbed.expect_nothing_else();
    cluster.finish();
}

#[test]
fn a_run_outlives_all_its_workers() {
    let mut cluster = Cluster::start(2, 2);
    let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
    let run = disturbed.submit(&cluster, "40ms");
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    cluster.worker("w1").kill();
    cluster.worker("w2").kill();
    cluster.add_worker("w3", 4);
    disturbed.expect_same(&cluster, &run);
    disturbed.expect_nothing_else();
    cluster.finish();
}

#[test]
fn a_new_process_of_the_same_name_takes_over() {
    let mut cluster = Cluster::start(2, 2);
    let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
    let run = disturbed.submit(&cluster, "40ms");
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    cluster.worker("w1").kill();
    cluster.add_worker("w1", 2);
    disturbed.expect_same(&cluster, &run);
    disturbed.expect_nothing_else();
    cluster.finish();
}

#[test]
fn a_second_process_of_the_same_name_ends_the_first() {
    let mut cluster = Cluster::start(2, 2);
    let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
    let run = disturbed.submit(&cluster, "40ms");
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    let call = cluster.worker_call("w1", 2, cluster.address("worker-grpc"));
    cluster.start_worker("w1-again", call);
    let status = until("the first process ends", || cluster.worker("w1").ended());
    let log = cluster.worker("w1").log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(
        log.contains("give each worker a name of its own"),
        "it says why it ends:\n{log}"
    );
    disturbed.expect_same(&cluster, &run);
    disturbed.expect_nothing_else();
    cluster.finish();
}

/// The ops take so long that the worker is frozen in the middle of some, the one that writes among them: what it does
/// in the moment in which it thaws is the danger.
#[test]
fn a_frozen_worker_loses_its_leases_and_leaves_nothing_when_it_thaws() {
    for long_op in ["mark", "load"] {
        let mut cluster = Cluster::with_short_leases();
        cluster.add_worker("w1", 2);
        cluster.add_worker("w2", 2);
        cluster.wait_for_workers(2);
        let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
        let job = disturbed.job(&cluster, "0s");
        let run = cluster.submit(&job.of_op(long_op, "delay", json!({ "per_batch": "150ms" })));
        cluster.wait_until(&run, "the run is in its middle", in_the_middle);
        cluster.worker("w1").signal(Signal::STOP);
        let attempts = disturbed.expect_same(&cluster, &run);
        assert!(
            attempts
                .iter()
                .any(|attempt| attempt.worker == "w1" && attempt.state == "lost")
        );
        disturbed.expect_nothing_else();
        cluster.worker("w1").signal(Signal::CONT);
        // It stops what it may no longer do, and then leaves or works on in a new session.
        until("the worker has left or is back", || {
            let is_back = cluster.state_of("w1").as_deref() == Some("live");
            (cluster.worker("w1").ended().is_some() || is_back).then_some(())
        });
        disturbed.expect_same(&cluster, &run);
        disturbed.expect_nothing_else();
        // The next run succeeds.
        let next = disturbed
            .job(&cluster, "0s")
            .of_op("load", "write", json!({ "discard": {} }));
        cluster.run(&next);
        cluster.finish();
    }
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
