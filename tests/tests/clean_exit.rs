//! What is left when a local cluster ends, however it ends: no process, no temporary file, no half-written output.

use std::path::Path;

use rustix::process::Signal;
use serde_json::json;
use tests::wait::PATIENCE;
use tests::{Cluster, Job, Plumb, Process, Scratch, tables, until};

/// A job of a few seconds that writes one file.
fn slow_job(scratch: &Scratch) -> Job {
    let table = scratch.write("people.csv", tables::people(500));
    Job::over(table)
        .rows(5)
        .wait("wait", "200ms")
        .single_file(&scratch.path("out/all.csv").to_string_lossy())
}

/// Starts `plumb run` and waits until some of its output is staged.
fn start_run(scratch: &Scratch, job: &Job) -> Process {
    let process = Plumb::new(scratch, ["run", "--json"])
        .arg(job.write(scratch))
        .start_as("run");
    until("parts are staged", || {
        (!scratch.files_in("out").is_empty()).then_some(())
    });
    assert_eq!(
        scratch.processes().len(),
        4,
        "the command, a coordinator and two workers: {:?}",
        scratch.processes()
    );
    process
}

fn expect_nothing_left(scratch: &Scratch) {
    scratch.expect_no_process();
    scratch.expect_no_temporary_file();
    let left = scratch.files_in("out");
    assert!(left.is_empty(), "output that nobody may read is left: {left:?}");
}

fn expect_a_clean_end_after(signal: Signal) {
    let scratch = Scratch::new();
    let mut process = start_run(&scratch, &slow_job(&scratch));
    process.signal(signal);
    let status = process.wait(PATIENCE);
    assert_eq!(status.code(), Some(4), "cancelled:\n{}", process.log());
    assert_eq!(tests::RunReport::read(process.stdout().trim_end()).state, "cancelled");
    expect_nothing_left(&scratch);
}

#[test]
fn ctrl_c_cancels_the_run_and_leaves_nothing() {
    expect_a_clean_end_after(Signal::INT);
}

#[test]
fn sigterm_cancels_the_run_and_leaves_nothing() {
    expect_a_clean_end_after(Signal::TERM);
}

#[test]
fn a_second_ctrl_c_ends_everything_at_once() {
    let scratch = Scratch::new();
    let mut process = start_run(&scratch, &slow_job(&scratch));
    process.signal(Signal::INT);
    until("the first is noticed", || {
        process.log().contains("cancelling").then_some(())
    });
    if process.ended().is_none() {
        process.signal(Signal::INT);
    }
    process.wait(PATIENCE);
    scratch.expect_no_process();
    scratch.expect_no_temporary_file();
}

#[test]
fn children_end_with_a_parent_that_is_killed() {
    let scratch = Scratch::new();
    let mut process = start_run(&scratch, &slow_job(&scratch));
    process.kill();
    scratch.expect_no_process();
}

#[test]
fn a_failed_run_leaves_no_output() {
    let scratch = Scratch::new();
    let table = format!("{}501,too,many,fields\n", tables::people(500));
    let table = scratch.write("ragged.csv", table);
    let job = Job::over(table)
        .rows(5)
        .single_file(&scratch.path("out/all.csv").to_string_lossy());
    let ended = Plumb::new(&scratch, ["run", "--json"])
        .arg(job.write(&scratch))
        .call()
        .expect_code(1);
    let report = ended.report();
    assert_eq!(report.state, "failed");
    assert!(
        report.failure.is_some_and(|failure| failure.message.contains("line")),
        "{}",
        ended.stdout
    );
    expect_nothing_left(&scratch);
}

#[test]
fn a_run_that_succeeds_leaves_its_output_and_nothing_else() {
    let scratch = Scratch::new();
    let table = scratch.write("people.csv", tables::people(100));
    let job = Job::over(table).rows(7).single_file("all.csv");
    let spec = job.write(&scratch);
    let run = Plumb::new(
        &scratch,
        ["run", "--json", "--output", "out", "--timeline", "out/timeline.jsonl"],
    )
    .arg(spec);
    std::fs::create_dir(scratch.path("out")).expect("a folder");
    run.call().expect_code(0).report().expect_success();
    assert_eq!(scratch.files_in("out"), ["all.csv", "timeline.jsonl"]);
    tables::expect_each_row_once(&tables::read(scratch.path("out/all.csv")), 100);
    scratch.expect_no_process();
    scratch.expect_no_temporary_file();
}

#[test]
fn a_cancelled_run_on_a_cluster_leaves_nothing_and_the_cluster_stays() {
    let cluster = Cluster::start(2, 2);
    let run = cluster.submit(&slow_job(cluster.scratch()));
    cluster.wait_until(&run, "some batches are committed", |report| {
        report.batches.committed >= 3
    });
    cluster.plumb(["cancel", &run]).call().expect_code(0);
    let report = cluster.wait_for_end(&run);
    assert_eq!(report.state, "cancelled");
    report.expect_balance();
    until("what it staged is gone", || {
        cluster.scratch().files_in("out").is_empty().then_some(())
    });
    let again = Job::over(cluster.scratch().path("people.csv")).op("load", json!({ "write": { "discard": {} } }));
    cluster.run(&again);
    cluster.finish();
}

#[test]
fn coordinators_and_workers_leave_on_ctrl_c_with_exit_code_0() {
    let mut cluster = Cluster::start(1, 2);
    cluster.worker("w1").signal(Signal::INT);
    assert!(cluster.worker("w1").wait(PATIENCE).success());
    cluster.coordinator().signal(Signal::INT);
    assert!(cluster.coordinator().wait(PATIENCE).success());
    cluster.scratch().expect_no_process();
    cluster.scratch().expect_no_temporary_file();
}

#[test]
fn the_demo_runs_the_three_jobs_and_leaves() {
    let scratch = Scratch::new();
    // The sample jobs themselves have a suite: these are the same, a hundred times quicker.
    std::fs::create_dir(scratch.path("jobs")).expect("a folder");
    for name in ["static_job", "dynamic_job", "prio_dynamic_job"] {
        let text = tests::repository::text(&format!("data/jobs/{name}.yaml"));
        scratch.write(&format!("jobs/{name}.yaml"), text.replace("10ms", "100us"));
    }
    copy(&tests::repository::file("data/pokemon.csv"), &scratch.path("data"));
    let any = "127.0.0.1:0";
    let words = [
        "demo",
        "--once",
        "--grpc",
        any,
        "--worker-grpc",
        any,
        "--web",
        any,
        "--jobs",
        "jobs",
    ];
    let ended = Plumb::new(&scratch, words).call().expect_code(0);
    for word in [
        "static_job",
        "dynamic_job",
        "prio_dynamic_job",
        "801 of 801",
        "peak batches in flight",
    ] {
        assert!(ended.stdout.contains(word), "the demo says {word:?}:\n{}", ended.stdout);
    }
    scratch.expect_no_process();
    scratch.expect_no_temporary_file();
}

#[test]
fn the_demo_says_which_port_is_taken_and_how_to_choose_another() {
    let scratch = Scratch::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let jobs = tests::repository::file("data/jobs");
    let ended = Plumb::new(&scratch, ["demo", "--once", "--grpc", &address, "--jobs"])
        .arg(jobs)
        .call()
        .expect_code(1);
    assert!(
        ended.stderr.contains(&address) && ended.stderr.contains("--grpc"),
        "{}",
        ended.stderr
    );
    scratch.expect_no_process();
}

fn copy(file: &Path, folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    let name = file.file_name().expect("a file has a name");
    std::fs::copy(file, folder.join(name)).expect("a file can be copied");
}
