//! The `exec` op on real workers: done only where it is allowed, heard in the log, stopped with its run.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tests::{Cluster, Job, tables, within};

fn add_worker(cluster: &mut Cluster, name: &str, programs: &[&str]) {
    let mut call = cluster.worker_call(name, 2, cluster.address("worker-grpc"));
    for program in programs {
        call = call.args(["--allow-exec", program]);
    }
    cluster.start_worker(name, call);
}

fn job(cluster: &Cluster, script: &str) -> Job {
    let table = cluster.scratch().write("people.csv", tables::people(40));
    let exec = json!({ "exec": { "program": "sh", "args": ["-c", script] } });
    Job::over(table).rows(10).cap(2).op("shout", exec)
}

#[test]
fn a_program_is_run_only_by_workers_that_allow_it_and_what_it_says_is_in_the_log() {
    let mut cluster = Cluster::coordinator_with::<&str>([]);
    add_worker(&mut cluster, "careful", &[]);
    cluster.wait_for_workers(1);
    let out = cluster.scratch().path("out.csv");
    let script = "echo \"$PLUMBLINE_BATCH is heard\" >&2; read header; echo \"$header\"; tr a-z A-Z";
    let job = job(&cluster, script).single_file(out.to_str().expect("is UTF-8"));
    let run = cluster.submit(&job);
    within(Duration::from_secs(20), "it is said that nobody can do it", || {
        let said = cluster.plumb(["explain", &run]).call().stdout;
        said.contains("no connected worker can do it").then_some(())
    });
    add_worker(&mut cluster, "allows", &["sh"]);
    cluster.wait_for_end(&run).expect_success();
    let source = tables::people(40);
    let (header, rows) = source.split_once('\n').expect("has a header");
    assert_eq!(
        fs::read_to_string(&out).expect("was written"),
        format!("{header}\n{}", rows.to_ascii_uppercase())
    );
    let attempts = cluster.timeline(&run);
    let shouted = attempts.iter().filter(|attempt| attempt.op == "shout");
    assert!(shouted.clone().count() == 4 && shouted.clone().all(|attempt| attempt.worker == "allows"));
    within(Duration::from_secs(20), "each batch is heard", || {
        let logged = cluster.plumb(["logs", &run]).call().stdout;
        (0..4)
            .all(|batch| logged.contains(&format!("{batch} is heard")))
            .then_some(())
    });
    cluster.finish();
}

#[test]
fn a_program_that_takes_too_long_or_whose_run_is_cancelled_is_killed() {
    let mut cluster = Cluster::coordinator_with::<&str>([]);
    add_worker(&mut cluster, "allows", &["sh"]);
    cluster.wait_for_workers(1);
    let pids = cluster.scratch().path("pids");
    let script = format!("sleep 600 & echo $! $$ >> {}; wait", pids.display());
    let timed = job(&cluster, &script)
        .of_op("shout", "timeout", "500ms")
        .of_op("shout", "retry", json!({ "max_attempts": 1 }))
        .discard();
    let report = cluster.wait_for_end(&cluster.submit(&timed));
    assert_eq!(report.state, "failed");
    let before = fs::read_to_string(&pids).expect("was written").lines().count();
    let run = cluster.submit(&job(&cluster, &script).discard());
    within(Duration::from_secs(20), "it runs", || {
        let now = fs::read_to_string(&pids).expect("was written").lines().count();
        (now > before).then_some(())
    });
    cluster.plumb(["cancel", &run]).call().expect_code(0);
    cluster.wait_until(&run, "the run is cancelled", |report| report.state == "cancelled");
    let written = fs::read_to_string(&pids).expect("was written");
    within(Duration::from_secs(20), "none of its processes is left", || {
        let runs = |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"));
        (!written.split_whitespace().any(runs)).then_some(())
    });
    cluster.finish();
}

#[test]
fn a_program_that_is_not_there_is_no_worker_and_no_run() {
    let cluster = Cluster::coordinator_with::<&str>([]);
    let call = cluster.worker_call("typo", 1, cluster.address("worker-grpc"));
    let ended = call.args(["--allow-exec", "no-such-program"]).call().expect_code(2);
    assert!(
        ended.stderr.contains("there is no program \"no-such-program\""),
        "{}",
        ended.stderr
    );
    let relative = cluster.scratch().write("people.csv", tables::people(1));
    let job = Job::over(relative)
        .op("shout", json!({ "exec": { "program": "./here" } }))
        .discard();
    let refused = cluster.try_submit(&job).expect_code(2);
    assert!(refused.stderr.contains("ops[0].exec.program"), "{}", refused.stderr);
    cluster.finish();
}
