//! Folders that are taken away from a run while it goes on: written to no more, or gone altogether.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;
use tests::disturbed::in_the_middle;
use tests::{Cluster, Disturbed, Job, tables};

/// A cluster whose workers are bound by permissions also when the test is root's.
fn bound_by_permissions() -> Cluster {
    let mut cluster = Cluster::with_short_leases();
    for name in ["w1", "w2"] {
        let call = cluster.worker_call(name, 2, cluster.address("worker-grpc"));
        cluster.start_worker(name, call.bound_by_permissions());
    }
    cluster.wait_for_workers(2);
    cluster
}

fn set_mode(folder: &Path, mode: u32) {
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("the folder is ours");
}

/// The hidden folder in which the parts of a single file wait for the end of the run.
fn hidden(folder: &Path, run: &str) -> std::path::PathBuf {
    folder.join(format!(".disturbed.csv.plumbline-{run}"))
}

#[test]
fn a_run_that_may_not_write_goes_on_when_it_may_again() {
    let cluster = bound_by_permissions();
    let out = cluster.scratch().path("out");
    fs::create_dir(&out).unwrap();
    let disturbed = Disturbed::writing_to(&cluster, &out.join("disturbed.csv"));
    let run = disturbed.submit(&cluster, "40ms");
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    set_mode(&hidden(&out, &run), 0o555);
    cluster.wait_until(&run, "attempts fail", |report| report.tasks.failed >= 5);
    set_mode(&hidden(&out, &run), 0o755);
    let attempts = disturbed.expect_same(&cluster, &run);
    assert!(
        attempts
            .iter()
            .any(|attempt| attempt.state == "failed" && attempt.op == "load")
    );
    disturbed.expect_nothing_else();
    cluster.finish();
}

#[test]
fn a_run_that_never_may_write_fails_with_the_reason() {
    let cluster = bound_by_permissions();
    let out = cluster.scratch().path("out");
    fs::create_dir(&out).unwrap();
    let disturbed = Disturbed::writing_to(&cluster, &out.join("disturbed.csv"));
    set_mode(&out, 0o555);
    let impatient = json!({ "max_attempts": 2, "initial_backoff": "50ms" });
    let run = cluster.submit(&disturbed.job(&cluster, "0s").of_op("load", "retry", impatient));
    let report = cluster.wait_for_end(&run);
    assert_eq!(report.state, "failed", "{report:#?}");
    let failure = report.failure.clone().expect("a failed run says why");
    for word in ["disturbed.csv", "let the worker's user write there"] {
        assert!(failure.message.contains(word), "{}", failure.message);
    }
    report.expect_balance();
    disturbed.expect_nothing();
    set_mode(&out, 0o755);
    cluster.finish();
}

#[test]
fn committed_parts_that_are_taken_away_fail_the_run_by_name_and_leave_no_result() {
    let mut cluster = Cluster::with_short_leases();
    cluster.add_worker("w1", 2);
    cluster.wait_for_workers(1);
    let out = cluster.scratch().path("out");
    fs::create_dir(&out).unwrap();
    let disturbed = Disturbed::writing_to(&cluster, &out.join("disturbed.csv"));
    let impatient = json!({ "max_attempts": 2, "initial_backoff": "50ms" });
    let run = cluster.submit(&disturbed.job(&cluster, "40ms").of_op("load", "retry", impatient));
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    // A moment in which the worker makes a file in it must not save the folder.
    tests::until("the folder is gone", || fs::remove_dir_all(hidden(&out, &run)).ok());
    let report = cluster.wait_for_end(&run);
    assert_eq!(report.state, "failed", "{report:#?}");
    let failure = report.failure.clone().expect("a failed run says why");
    assert!(
        failure.message.contains("part-0"),
        "the part is named: {}",
        failure.message
    );
    disturbed.expect_nothing();
    cluster.finish();
}

#[test]
fn a_folder_of_parts_that_is_taken_away_fails_the_run_and_gets_no_manifest() {
    let mut cluster = Cluster::with_short_leases();
    cluster.add_worker("w1", 2);
    cluster.wait_for_workers(1);
    let table = cluster.scratch().write("people.csv", tables::people(400));
    let parts = cluster.scratch().path("parts");
    let job = Job::over(table).rows(10).cap(2).wait("wait", "40ms").op(
        "load",
        json!({
            "write": { "csv": { "uri": parts.to_string_lossy() } },
            "retry": { "max_attempts": 2, "initial_backoff": "50ms" },
        }),
    );
    let run = cluster.submit(&job);
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    tests::until("the folder is gone", || fs::remove_dir_all(&parts).ok());
    let report = cluster.wait_for_end(&run);
    assert_eq!(report.state, "failed", "{report:#?}");
    let failure = report.failure.expect("a failed run says why");
    assert!(
        failure.message.contains("somebody else changed these files"),
        "{}",
        failure.message
    );
    cluster.finish();
}

#[test]
fn a_folder_for_spilled_outputs_that_is_gone_stops_nobody() {
    let mut cluster = Cluster::with_short_leases();
    let spill = cluster.scratch().path("spill");
    fs::create_dir(&spill).unwrap();
    let call = cluster.worker_call("w1", 4, cluster.address("worker-grpc"));
    let call = call.args(["--parking-memory", "0", "--spill-dir"]).arg(&spill);
    cluster.start_worker("w1", call);
    cluster.wait_for_workers(1);
    let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
    // An op with a limit of its own: outputs are parked in front of it.
    let run = cluster.submit(&disturbed.job(&cluster, "20ms").of_op("wait", "max_concurrent", 1));
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    fs::remove_dir(&spill).expect("spilled files have no names");
    disturbed.expect_same(&cluster, &run);
    assert!(
        cluster.worker("w1").log().contains("could not be spilled"),
        "{}",
        cluster.worker("w1").log()
    );
    cluster.finish();
}
