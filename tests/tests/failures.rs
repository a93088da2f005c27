//! Failures as a feature, on real processes: time-outs, batches halved down to their bad rows, tolerated failures, failed
//! batches tried again, poison batches, targets of two runs.

use std::path::Path;

use serde_json::{Value, json};
use tests::{Cluster, Job, tables, until};

/// The batches of a run that are more than a number, as `plumb batches --json` prints them.
fn batches(cluster: &Cluster, run: &str) -> Vec<Value> {
    let printed = cluster.plumb(["batches", run, "--json"]).call().expect_code(0).stdout;
    printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("a batch as JSON"))
        .collect()
}

fn failed(cluster: &Cluster, run: &str) -> Vec<Value> {
    let mut batches = batches(cluster, run);
    batches.retain(|batch| batch["state"] == "failed");
    batches
}

/// One file with every row's id, name and a generated id.
fn identified(job: Job, target: &Path) -> Job {
    job.with("seed", 7)
        .op(
            "identify",
            json!({ "add": { "columns": { "internal_id": { "uuid": {} } } } }),
        )
        .single_file(&target.to_string_lossy())
}

fn require_team_below_two(job: Job) -> Job {
    job.op(
        "check",
        json!({ "require": { "column": "team", "comparison": "lt", "value": "2" } }),
    )
}

#[test]
fn a_bisected_batch_loads_every_good_row_once_and_names_each_bad_one() {
    let cluster = Cluster::start(2, 2);
    let table = cluster.scratch().write("people.csv", tables::people(200));
    let (all, good) = (cluster.scratch().path("all.csv"), cluster.scratch().path("good.csv"));
    cluster.run(&identified(Job::over(&table).rows(50), &all));
    // Three rows in a hundred are wrong for real: those of team 2 with an id that ends in 0.
    let bad_rows: Vec<Vec<String>> = tables::read(&table).into_iter().skip(1).collect();
    let is_bad = |row: &[String]| row[2] == "2" && row[0].ends_with('0');
    let text = tables::people(200).replace(",2\n", ",1\n");
    let mut lines = String::new();
    for (row, line) in bad_rows.iter().zip(records(&text).skip(1)) {
        let line = if is_bad(row) {
            line.replace(",1\n", ",2\n")
        } else {
            line
        };
        lines.push_str(&line);
    }
    let spoiled = cluster.scratch().write("spoiled.csv", format!("id,name,team\n{lines}"));
    let plain = cluster.scratch().path("plain.csv");
    // Ids follow from the place of their op in the chain, so an op that does nothing stands where the other run requires.
    let undisturbed = Job::over(&spoiled).rows(50).op("anything", json!({ "noop": {} }));
    cluster.run(&identified(undisturbed, &plain));
    let job = require_team_below_two(Job::over(&spoiled).rows(50).with("retry", json!({ "bisect": true })))
        .with("failure", json!({ "on_failure": "continue" }));
    let run = cluster.submit(&identified(job, &good));
    let report = cluster.wait_for_end(&run);
    let bad = bad_rows.iter().filter(|row| is_bad(row)).count();
    assert!(bad > 3, "{bad} rows are bad");
    assert_eq!(report.state, "completed_with_failures");
    assert_eq!((report.rows.read, report.rows.failed), (200, bad as u64));
    assert_eq!(
        (report.rows.loaded, report.batches.failed),
        (200 - bad as u64, bad as u64)
    );
    // Every good row is there once, in order, with the id that it has without any failure.
    let mut expected = tables::read(&plain);
    expected.retain(|row| row[2] != "2");
    assert_eq!(
        tables::read(&good),
        expected,
        "the good rows come out as they would have"
    );
    // Every bad row is named by its line, its byte and its text.
    let text = std::fs::read_to_string(&spoiled).expect("is text");
    let failed = failed(&cluster, &run);
    assert_eq!(failed.len(), bad);
    for batch in &failed {
        let row = &batch["bad_row"];
        let byte = row["byte"].as_u64().expect("a number") as usize;
        let record = row["text"].as_str().expect("a text");
        assert!(text[byte..].starts_with(record) && record.ends_with(",2"), "{batch}");
        let line = 1 + text[..byte].matches('\n').count() as u64;
        assert_eq!(row["line"].as_u64(), Some(line));
        let message = batch["failure"].as_str().expect("a failure");
        assert!(message.contains(&format!("spoiled.csv, line {line}:")), "{message}");
        assert!(batch["batch"].as_str().expect("an id").contains('.'), "{batch}");
    }
    cluster.finish();
}

/// Cuts a table of people into its records; names hold line breaks.
fn records(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut quoted = false;
        let end = rest.char_indices().find_map(|(place, character)| {
            quoted ^= character == '"';
            (character == '\n' && !quoted).then_some(place + 1)
        })?;
        let (record, later) = rest.split_at(end);
        rest = later;
        Some(record.to_owned())
    })
}

#[test]
fn rows_that_are_no_csv_are_found_by_bisecting_the_reading_itself() {
    let cluster = Cluster::start(1, 2);
    let table = cluster
        .scratch()
        .write("ragged.csv", "id,name\n1,a\n2,b\n3\n4,d\n5,e,extra\n6,f\n");
    let target = cluster.scratch().path("out.csv");
    let job = Job::over(table)
        .rows(100)
        .with("retry", json!({ "bisect": true }))
        .with(
            "failure",
            json!({ "on_failure": "drain", "tolerated_failed_batches": 2 }),
        )
        .single_file(&target.to_string_lossy());
    let run = cluster.submit(&job);
    let report = cluster.wait_for_end(&run);
    assert_eq!(report.state, "completed_with_failures");
    assert_eq!((report.rows.loaded, report.rows.failed), (4, 2));
    let ids: Vec<String> = tables::read(&target)
        .into_iter()
        .map(|mut row| row.swap_remove(0))
        .collect();
    assert_eq!(ids, ["id", "1", "2", "4", "6"]);
    let rows: Vec<(u64, String)> = failed(&cluster, &run)
        .iter()
        .map(|batch| {
            let row = &batch["bad_row"];
            (
                row["line"].as_u64().expect("a number"),
                row["text"].as_str().expect("a text").to_owned(),
            )
        })
        .collect();
    assert_eq!(rows, [(4, "3".to_owned()), (6, "5,e,extra".to_owned())]);
    cluster.finish();
}

#[test]
fn past_what_is_tolerated_a_run_fails() {
    let cluster = Cluster::start(1, 2);
    let table = cluster.scratch().write("people.csv", tables::people(300));
    let job = require_team_below_two(Job::over(table).rows(1))
        .with(
            "failure",
            json!({ "on_failure": "drain", "tolerated_failed_batches": 5 }),
        )
        .discard();
    let report = cluster.wait_for_end(&cluster.submit(&job));
    assert_eq!(report.state, "failed");
    assert!(
        report.batches.failed >= 6 && report.batches.committed < 200,
        "{report:?}"
    );
    cluster.finish();
}

#[test]
fn an_op_that_takes_too_long_is_stopped_and_tried_again_and_a_run_past_its_deadline_fails() {
    let cluster = Cluster::start(1, 2);
    let table = cluster.scratch().write("numbers.csv", tables::numbers(4));
    let slow = json!({
        "noop": {}, "delay": { "per_batch": "600s" }, "timeout": "0.2s",
        "retry": { "max_attempts": 2, "initial_backoff": "0.01s" },
    });
    let run = cluster.submit(&Job::over(&table).rows(4).op("slow", slow).discard());
    let report = cluster.wait_for_end(&run);
    let failure = report.failure.expect("says why");
    assert_eq!((report.state.as_str(), failure.kind.as_str()), ("failed", "timed_out"));
    assert!(failure.message.contains("timeout of 200ms"), "{}", failure.message);
    assert_eq!((report.tasks.failed, report.tasks.retried), (2, 1));
    let waits = Job::over(&table)
        .rows(1)
        .wait("wait", "600s")
        .discard()
        .with("deadline", "1s");
    let report = cluster.wait_for_end(&cluster.submit(&waits));
    let failure = report.failure.expect("says why");
    assert_eq!((report.state.as_str(), failure.kind.as_str()), ("failed", "timed_out"));
    assert!(failure.message.contains("deadline"), "{}", failure.message);
    cluster.finish();
}

#[test]
fn a_run_that_could_not_write_is_retried_and_its_output_is_that_of_one_that_never_failed() {
    let mut cluster = Cluster::start(2, 1);
    let table = cluster.scratch().write("people.csv", tables::people(60));
    let (undisturbed, target) = (
        cluster.scratch().path("undisturbed.csv"),
        cluster.scratch().path("out.csv"),
    );
    let job = |target: &Path| {
        let retry = json!({ "max_attempts": 1 });
        identified(Job::over(&table).rows(5).with("retry", retry), target)
            .with("failure", json!({ "on_failure": "continue" }))
    };
    cluster.run(&job(&undisturbed));
    // A file stands where the run's hidden folder should be.
    let in_the_way = cluster.scratch().write(".out.csv.plumbline-r2", "in the way");
    let run = cluster.submit(&job(&target));
    assert_eq!(run, "r2");
    let report = cluster.wait_for_end(&run);
    assert_eq!(
        (report.state.as_str(), report.batches.failed),
        ("failed", 12),
        "{report:?}"
    );
    let failure = report.failure.expect("says why").message;
    assert!(failure.contains("a file is where a folder should be"), "{failure}");
    assert!(!target.exists());
    let refused = cluster.plumb(["retry", &run, "--op", "nonsense"]).call();
    assert!(refused.code == 2 || refused.code == 1, "{}", refused.stderr);
    // Mended half-way: some batches first, the rest after a restart of the coordinator.
    std::fs::remove_file(in_the_way).expect("is there");
    cluster
        .plumb(["retry", &run, "--batch", "3", "--batch", "7"])
        .call()
        .expect_code(0);
    let report = cluster.wait_for_end(&run);
    assert_eq!(
        (report.state.as_str(), report.batches.committed, report.batches.failed),
        ("completed_with_failures", 2, 10),
        "{report:?}"
    );
    assert_eq!(tables::read(&target).len(), 11, "a header and ten rows");
    cluster.restart_coordinator();
    cluster.wait_for_workers(2);
    cluster.plumb(["retry", &run, "--op", "load"]).call().expect_code(0);
    let report = cluster.wait_until(&run, "the run succeeds", |report| report.state == "succeeded");
    assert_eq!((report.rows.loaded, report.batches.failed), (60, 0));
    let read = |path: &Path| std::fs::read_to_string(path).expect("is text");
    assert!(
        read(&target) == read(&undisturbed),
        "the output is that of a run that never failed"
    );
    let again = cluster.plumb(["retry", &run]).call().expect_code(0);
    assert!(again.stdout.contains("0 failed batches"), "{}", again.stdout);
    let left = std::fs::read_dir(cluster.scratch().folder()).expect("is a folder");
    let hidden = left
        .filter_map(Result::ok)
        .any(|entry| entry.file_name().to_string_lossy().contains("plumbline-r"));
    assert!(!hidden, "nothing is left beside the output");
    cluster.finish();
}

#[test]
fn a_batch_that_loses_five_workers_is_given_up_and_named() {
    let mut cluster = Cluster::coordinator_with(["--lease-time", "1s", "--heartbeat-interval", "200ms"]);
    let table = cluster.scratch().write("numbers.csv", tables::numbers(3));
    let run = cluster.submit(&Job::over(table).rows(3).wait("wait", "600s").discard());
    for number in 1..=5_u64 {
        let name = format!("w{number}");
        cluster.add_worker(&name, 1);
        until("the batch's op runs", || {
            let running = cluster
                .timeline(&run)
                .into_iter()
                .any(|attempt| attempt.worker == name && attempt.op == "wait");
            running.then_some(())
        });
        cluster.worker(&name).kill();
        until("the loss is counted", || {
            let lost = batches(&cluster, &run)
                .iter()
                .any(|batch| batch["crashes"].as_u64() == Some(number));
            lost.then_some(())
        });
    }
    let report = until("the run gives the batch up", || {
        let report = cluster.show(&run);
        (report.batches.failed == 1).then_some(report)
    });
    assert_eq!(report.failure.expect("says why").kind, "lost_worker");
    let failed = failed(&cluster, &run);
    assert_eq!(
        (failed[0]["batch"].as_str(), failed[0]["first_line"].as_u64()),
        (Some("0"), Some(2))
    );
    assert_eq!(failed[0]["bytes"], json!({ "file": 0, "start": 3, "end": 9 }));
    cluster.add_worker("rescue", 1);
    cluster.wait_for_end(&run);
    cluster.finish();
}

#[test]
fn a_second_live_run_with_the_same_target_is_refused_by_the_name_of_the_first() {
    let cluster = Cluster::start(1, 1);
    let table = cluster.scratch().write("numbers.csv", tables::numbers(2));
    let target = cluster.scratch().path("out.csv").to_string_lossy().into_owned();
    let sink = json!({ "write": { "csv": { "uri": target, "single_file": true, "if_exists": "replace" } } });
    let job = |delay: &str| Job::over(&table).rows(1).wait("wait", delay).op("load", sink.clone());
    let first = cluster.submit(&job("600s"));
    let refused = cluster.try_submit(&job("0s"));
    assert_ne!(refused.code, 0);
    assert!(
        refused.stderr.contains(&format!("{first} is writing to")),
        "{}",
        refused.stderr
    );
    cluster.plumb(["cancel", &first]).call().expect_code(0);
    cluster.wait_for_end(&first);
    cluster.run(&job("0s"));
    cluster.finish();
}
