//! The command line's contract, on which tools outside the repository rely: commands, flags, exit codes, JSON.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::wait::PATIENCE;
use tests::{Cluster, Job, Plumb, Scratch, tables, until};

const CONTRACT: [(&str, &[&str]); 24] = [
    ("demo", &["--grpc", "--worker-grpc", "--web", "--workers", "--slots"]),
    (
        "run",
        &["--workers", "--slots", "--set", "--output", "--timeline", "--json"],
    ),
    ("submit", &["--coordinator", "--wait", "--json", "--set"]),
    ("watch", &["--coordinator", "--json"]),
    ("runs", &["--coordinator", "--json"]),
    ("show", &["--coordinator", "--json"]),
    ("cancel", &["--coordinator", "--after-running"]),
    ("pause", &["--coordinator"]),
    ("resume", &["--coordinator"]),
    ("limits", &["--coordinator", "--cap", "--op", "--rate", "--weight"]),
    ("explain", &["--coordinator", "--json"]),
    ("pool", &["set", "list"]),
    ("cap", &["--coordinator"]),
    ("activity", &["--coordinator", "--json"]),
    ("timeline", &["--coordinator", "--json"]),
    (
        "logs",
        &[
            "--batch",
            "--coordinator",
            "--follow",
            "--grep",
            "--json",
            "--level",
            "--op",
        ],
    ),
    ("gantt", &["--coordinator"]),
    ("batches", &["--coordinator", "--json"]),
    ("workers", &["--coordinator", "--json"]),
    ("drain", &["--coordinator"]),
    (
        "coordinator",
        &[
            "--grpc",
            "--worker-grpc",
            "--web",
            "--state",
            "--max-concurrent",
            "--pool",
            "--allow-root",
        ],
    ),
    ("worker", &["--coordinator", "--slots", "--name"]),
    ("spec", &["check", "canon"]),
    ("health", &["--web", "--grpc"]),
];

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

fn quick_job(scratch: &Scratch) -> Job {
    let table = scratch.write("people.csv", tables::people(20));
    Job::over(table).rows(5).discard()
}

fn slow_job(scratch: &Scratch) -> Job {
    let table = scratch.write("people.csv", tables::people(500));
    Job::over(table).rows(5).wait("wait", "300ms").discard()
}

#[test]
fn every_command_helps_with_its_flags_and_examples() {
    let scratch = Scratch::new();
    let overview = Plumb::new(&scratch, ["--help"]).call().expect_code(0).stdout;
    for (command, flags) in CONTRACT {
        assert!(
            overview.contains(&format!("  {command}")),
            "plumb --help names {command}"
        );
        let help = Plumb::new(&scratch, [command, "--help"]).call().expect_code(0).stdout;
        for flag in flags {
            assert!(help.contains(flag), "plumb {command} --help names {flag}:\n{help}");
        }
        assert!(help.contains("Examples:"), "plumb {command} --help shows examples");
    }
    let version = Plumb::new(&scratch, ["--version"]).call().expect_code(0).stdout;
    assert!(version.starts_with("plumb ") && version.contains('.'), "{version}");
}

#[test]
fn mistyped_flags_and_commands_are_answered_with_the_nearest_one() {
    let scratch = Scratch::new();
    let ended = Plumb::new(&scratch, ["run", "job.yaml", "--worker", "2"])
        .call()
        .expect_code(2);
    assert!(ended.stderr.contains("--workers"), "{}", ended.stderr);
    let ended = Plumb::new(&scratch, ["submti", "job.yaml"]).call().expect_code(2);
    assert!(ended.stderr.contains("submit"), "{}", ended.stderr);
}

#[test]
fn the_summary_and_the_timeline_have_exactly_the_documented_keys() {
    let scratch = Scratch::new();
    let timeline = scratch.path("timeline.jsonl");
    let job = quick_job(&scratch)
        .op("out", json!({ "write": { "stdout": {} } }))
        .write(&scratch);
    let run = Plumb::new(&scratch, ["run", "--json", "--timeline"])
        .arg(&timeline)
        .arg(job);
    let ended = run.call().expect_code(0);
    let last = ended.stdout.lines().last().expect("the summary is the last line");
    let summary: Value = serde_json::from_str(last).expect("one JSON object");
    let expected = [
        "run",
        "job",
        "state",
        "wall_seconds",
        "first_batch_loaded_seconds",
        "peak_batches_in_flight",
        "peak_committing",
        "peak_bytes_in_flight",
        "peak_tasks_running",
        "batches",
        "tasks",
        "rows",
        "memory",
    ];
    assert_eq!(keys(&summary), BTreeSet::from(expected));
    assert_eq!(
        keys(&summary["memory"]),
        BTreeSet::from(["coordinator_peak_rss_bytes", "workers"])
    );
    let worker = ["worker", "peak_rss_bytes", "peak_held_bytes", "peak_spilled_bytes"];
    assert_eq!(keys(&summary["memory"]["workers"][0]), BTreeSet::from(worker));
    assert_eq!(
        keys(&summary["batches"]),
        BTreeSet::from(["total", "committed", "failed"])
    );
    assert_eq!(
        keys(&summary["tasks"]),
        BTreeSet::from(["succeeded", "failed", "retried"])
    );
    assert_eq!(
        keys(&summary["rows"]),
        BTreeSet::from(["read", "loaded", "filtered", "rejected", "failed"])
    );
    let lines = std::fs::read_to_string(timeline).expect("the timeline is written");
    let attempt = [
        "op",
        "batch",
        "attempt",
        "worker",
        "slot",
        "state",
        "queued",
        "leased",
        "fetch_started",
        "started",
        "finished",
        "committed",
        "rows_in",
        "rows_out",
        "bytes_in",
        "bytes_out",
        "error",
    ];
    for line in lines.lines() {
        assert_eq!(
            keys(&serde_json::from_str(line).expect("one JSON object")),
            BTreeSet::from(attempt)
        );
    }
    assert_eq!(
        lines.lines().count(),
        12,
        "four batches, and extract and two ops on each"
    );
}

#[test]
fn exit_codes_tell_how_a_run_ended() {
    let scratch = Scratch::new();
    let run = |job: &Job| Plumb::new(&scratch, ["run", "--json"]).arg(job.write(&scratch)).call();
    assert_eq!(run(&quick_job(&scratch)).expect_code(0).report().state, "succeeded");
    let ragged = scratch.write("ragged.csv", "id,name\n1,a\n2\n3,c\n");
    let failing = Job::over(&ragged).rows(1).discard();
    assert_eq!(run(&failing).expect_code(1).report().state, "failed");
    let tolerant = failing.with("failure", json!({ "on_failure": "continue" }));
    assert_eq!(run(&tolerant).expect_code(3).report().state, "completed_with_failures");
    run(&quick_job(&scratch).with("colour", "red")).expect_code(2);
    Plumb::new(&scratch, ["run", "nowhere.yaml"]).call().expect_code(2);
    Plumb::new(&scratch, ["runs", "--coordinator", "http://127.0.0.1:1"])
        .call()
        .expect_code(69);
    scratch.expect_no_process();
}

#[test]
fn submit_prints_the_run_first_and_the_summary_last() {
    let cluster = Cluster::start(1, 2);
    let job = quick_job(cluster.scratch()).write(cluster.scratch());
    let ended = cluster
        .plumb(["submit", "--wait", "--json"])
        .arg(&job)
        .call()
        .expect_code(0);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let first: Value = serde_json::from_str(lines[0]).expect("one JSON object");
    assert_eq!(keys(&first), BTreeSet::from(["run"]));
    let report = ended.report().expect_success();
    assert_eq!(first["run"], report.run.as_str());
    let shown = cluster.plumb(["show", &report.run, "--json"]).call().expect_code(0);
    assert_eq!(
        shown.stdout.trim_end(),
        lines[lines.len() - 1],
        "show prints the same summary"
    );
    let watched = cluster.plumb(["watch", &report.run, "--json"]).call().expect_code(0);
    assert_eq!(
        watched.stdout.trim_end(),
        shown.stdout.trim_end(),
        "a run that has ended can be watched"
    );
    let listed = cluster.plumb(["runs", "--json"]).call().expect_code(0);
    assert_eq!(listed.stdout, shown.stdout);
    cluster.plumb(["gantt", &report.run]).call().expect_code(0);
    cluster.plumb(["batches", &report.run, "--json"]).call().expect_code(0);
    let unknown = cluster.plumb(["show", "r999"]).call().expect_code(1);
    assert!(unknown.stderr.contains("r999"), "{}", unknown.stderr);
    cluster.finish();
}

#[test]
fn a_cancelled_run_ends_its_watchers_with_exit_code_4() {
    let cluster = Cluster::start(1, 2);
    let run = cluster.submit(&slow_job(cluster.scratch()));
    let mut watcher = cluster.plumb(["watch", &run, "--json"]).start_as("watcher");
    cluster.wait_until(&run, "something runs", |report| report.peak_tasks_running > 0);
    cluster.plumb(["cancel", &run]).call().expect_code(0);
    assert_eq!(watcher.wait(PATIENCE).code(), Some(4), "{}", watcher.log());
    assert_eq!(cluster.wait_for_end(&run).state, "cancelled");
    cluster.finish();
}

#[test]
fn ctrl_c_detaches_a_watcher_and_the_run_goes_on() {
    let cluster = Cluster::start(1, 2);
    let run = cluster.submit(&slow_job(cluster.scratch()));
    let mut watcher = cluster.plumb(["watch", &run]).start_as("watcher");
    until("the watcher shows something", || {
        (!watcher.log().is_empty()).then_some(())
    });
    watcher.signal(Signal::INT);
    assert_eq!(watcher.wait(PATIENCE).code(), Some(130), "{}", watcher.log());
    assert!(watcher.log().contains("detached"), "{}", watcher.log());
    assert!(!cluster.show(&run).ended());
    cluster.plumb(["cancel", &run]).call().expect_code(0);
    cluster.wait_for_end(&run);
    cluster.finish();
}

#[test]
fn of_several_coordinators_the_first_that_answers_is_taken() {
    let cluster = Cluster::start(0, 1);
    let list = format!("http://127.0.0.1:1,{}", cluster.url());
    Plumb::new(cluster.scratch(), ["runs", "--coordinator", &list])
        .call()
        .expect_code(0);
    let runs = Plumb::new(cluster.scratch(), ["runs"])
        .env("PLUMB_COORDINATOR", cluster.url())
        .call();
    runs.expect_code(0);
    let health = Plumb::new(cluster.scratch(), ["health", "--web", cluster.address("web")]).call();
    assert_eq!(health.expect_code(0).stdout.trim(), "ready");
    let health = Plumb::new(cluster.scratch(), ["health", "--grpc", cluster.address("grpc")]).call();
    assert_eq!(health.expect_code(0).stdout.trim(), "ready");
    cluster.finish();
}

#[test]
fn a_run_that_nobody_can_do_says_why_it_stalls() {
    let mut cluster = Cluster::start(0, 1);
    let job = quick_job(cluster.scratch()).write(cluster.scratch());
    let mut waiting = cluster.plumb(["submit", "--wait"]).arg(&job).start_as("submit");
    until("it says that it stalls", || {
        waiting.log().contains("stalled: no workers").then_some(())
    });
    cluster.add_worker("w1", 2);
    assert!(waiting.wait(PATIENCE).success());
    cluster.finish();
}

#[test]
fn coordinators_and_workers_are_configured_by_the_environment_too() {
    let scratch = Scratch::new();
    let any = "127.0.0.1:0";
    let variables = [("PLUMB_GRPC", any), ("PLUMB_WORKER_GRPC", any), ("PLUMB_WEB", any)];
    let coordinator = variables
        .iter()
        .fold(Plumb::new(&scratch, ["coordinator"]), |plumb, (name, value)| {
            plumb.env(name, value)
        });
    let mut coordinator = coordinator
        .env("PLUMB_STATE", scratch.path("state"))
        .start_as("coordinator");
    let line = coordinator.first_line();
    let address = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("worker-grpc="))
        .expect("it is named");
    assert!(scratch.path("state").is_dir(), "the state's folder is made");
    let worker = Plumb::new(&scratch, ["worker"]).env("PLUMB_COORDINATOR", format!("http://{address}"));
    let mut worker = worker
        .env("PLUMB_SLOTS", "3")
        .env("PLUMB_NAME", "named")
        .start_as("worker");
    let line = worker.first_line();
    assert!(line.contains("ready") && line.contains("named"), "{line}");
    assert!(worker.terminate().success());
    assert!(coordinator.terminate().success());
    scratch.expect_no_process();
}
