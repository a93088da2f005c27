//! A coordinator that is killed and started again: what was acknowledged is there, runs go on by themselves, and the
//! output is that of an undisturbed run.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Attempt, Cluster, Job, oracle, tables, within};

const ROWS: usize = 600;
/// How many times the coordinator is killed in one run.
const KILLS: u64 = 6;

/// A job whose output shows every row, made uuids included.
fn job(cluster: &Cluster, delay: &str, target: &str) -> Job {
    let table = cluster.scratch().write("people.csv", tables::people(ROWS));
    let target = cluster.scratch().path(target).to_string_lossy().into_owned();
    Job::over(table)
        .rows(5)
        .with("seed", 7)
        .cap(3)
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

/// A job that waits for workers.
fn small(cluster: &Cluster) -> Job {
    let table = cluster.scratch().write("small.csv", tables::people(5));
    Job::over(table).discard()
}

/// Returns how often something is done: in CI a few times, more often if the environment says so.
fn times(variable: &str, default: usize) -> usize {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Submits a job over the web port under a name of the caller's, and returns the run.
fn post(cluster: &Cluster, job: &Job, request_id: &str) -> String {
    let body = json!({ "job": job.spec(), "request_id": request_id }).to_string();
    let address = cluster.address("web");
    let mut stream = TcpStream::connect(address).expect("the web port is open");
    let head = format!(
        "POST /api/runs HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).expect("is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("is answered");
    let start = answer.find("\r\n\r\n").expect("a head") + 4;
    let (first, last) = (answer[start..].find('{'), answer[start..].rfind('}'));
    let (Some(first), Some(last)) = (first, last) else {
        panic!("not accepted: {answer}");
    };
    let body: Value = serde_json::from_str(&answer[start + first..=start + last]).expect("JSON");
    body["run"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn a_coordinator_killed_again_and_again_changes_nothing_in_the_output() {
    let mut cluster = Cluster::start(2, 2);
    cluster.run(&job(&cluster, "0s", "undisturbed.csv"));
    let expected = output(&cluster, "undisturbed.csv");
    let run = cluster.submit(&job(&cluster, "25ms", "disturbed.csv"));
    let mut attempts: Vec<Attempt> = Vec::new();
    for kill in 0..KILLS {
        // Somewhere else in the work each time.
        let wanted = cluster.show(&run).batches.committed + 1 + kill * 7 % 11;
        within(Duration::from_secs(60), "some batches are committed", || {
            let report = cluster.show(&run);
            (report.batches.committed >= wanted || report.ended()).then_some(())
        });
        attempts.extend(cluster.timeline(&run));
        cluster.restart_coordinator();
    }
    let report = cluster.wait_for_end(&run).expect_success();
    assert_eq!(report.rows.loaded, ROWS as u64);
    assert_eq!(output(&cluster, "disturbed.csv"), expected, "byte for byte, uuids too");
    attempts.extend(cluster.timeline(&run));
    // What still ran when its coordinator was killed has no end here; the workers stopped it.
    attempts.retain(|attempt| attempt.finished.is_some());
    oracle::expect_cap(&attempts, 3);
    let left = cluster.scratch().files_in("");
    let left: Vec<&String> = left.iter().filter(|file| file.contains("disturbed.csv")).collect();
    assert_eq!(
        left,
        ["disturbed.csv", "undisturbed.csv"],
        "what lost attempts wrote is gone"
    );
    cluster.finish();
}

#[test]
fn leases_flow_again_two_seconds_after_a_restart() {
    let mut cluster = Cluster::start(4, 1);
    let run = cluster.submit(&job(&cluster, "40ms", "out.csv"));
    cluster.wait_until(&run, "the run is in its middle", |report| report.batches.committed >= 5);
    cluster.kill_coordinator();
    let begun = Instant::now();
    cluster.start_coordinator();
    let before = cluster.show(&run).batches.committed;
    cluster.wait_until(&run, "a batch is committed after the restart", |report| {
        report.batches.committed > before
    });
    // The bound of 2 s is for release builds on an idle machine; debug builds on a busy one get more.
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        begun.elapsed()
    );
    cluster.wait_for_end(&run).expect_success();
    cluster.finish();
}

#[test]
fn an_acknowledged_submission_survives_a_kill_in_the_next_instant() {
    let mut cluster = Cluster::start(0, 1);
    let job = small(&cluster);
    let submissions = times("RESTART_SUBMISSIONS", 20);
    for number in 1..=submissions {
        let run = cluster.submit(&job);
        cluster.kill_coordinator();
        assert_eq!(run, format!("r{number}"), "no run is lost, none is made twice");
        cluster.start_coordinator();
        assert!(!cluster.show(&run).ended());
    }
    cluster.add_worker("w1", 2);
    for number in 1..=submissions {
        cluster.wait_for_end(&format!("r{number}")).expect_success();
    }
    cluster.finish();
}

#[test]
fn a_retried_request_id_is_the_same_run_also_after_a_restart() {
    let mut cluster = Cluster::start(0, 1);
    let job = small(&cluster);
    let run = post(&cluster, &job, "mine");
    cluster.restart_coordinator();
    assert_eq!(post(&cluster, &job, "mine"), run);
    assert_ne!(post(&cluster, &job, "another"), run);
    cluster.add_worker("w1", 1);
    cluster.wait_for_end(&run).expect_success();
    cluster.restart_coordinator();
    assert_eq!(post(&cluster, &job, "mine"), run, "of a run that has ended too");
    cluster.finish();
}

#[test]
fn results_and_timelines_of_ended_runs_are_there_after_a_restart() {
    let mut cluster = Cluster::start(1, 2);
    let report = cluster.run(&job(&cluster, "0s", "out.csv"));
    let before = cluster.timeline(&report.run);
    // A timeline delays nothing: it is written behind the end of its run, and its tail is gone when it is complete.
    let timeline = cluster.scratch().path("state/timeline");
    within(Duration::from_secs(20), "the timeline is written", || {
        let file = |ending: &str| timeline.join(format!("{}.{ending}", report.run));
        let rows = std::fs::metadata(file("rows")).map_or(0, |rows| rows.len());
        (rows > 1_000 && !file("tail").exists()).then_some(())
    });
    cluster.restart_coordinator();
    let again = cluster.show(&report.run).expect_success();
    assert_eq!((again.wall_seconds, again.rows), (report.wall_seconds, report.rows));
    let after = cluster.timeline(&report.run);
    let key = |attempt: &Attempt| format!("{}[{:?}]#{}", attempt.op, attempt.batch, attempt.attempt);
    assert_eq!(
        after.iter().map(key).collect::<Vec<_>>(),
        before.iter().map(key).collect::<Vec<_>>()
    );
    oracle::expect_cap(&after, 3);
    cluster.finish();
}

#[test]
fn a_second_coordinator_on_the_same_state_is_refused() {
    let cluster = Cluster::start(0, 1);
    let any = "127.0.0.1:0";
    let second = tests::Plumb::new(cluster.scratch(), ["coordinator", "--grpc", any, "--worker-grpc", any])
        .args(["--web", any, "--state"])
        .arg(cluster.scratch().path("state"))
        .call()
        .expect_code(1);
    assert!(
        second.stderr.contains("in use by another coordinator"),
        "{}",
        second.stderr
    );
    cluster.finish();
}
