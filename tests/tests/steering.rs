//! Pauses, resumes and cancels on real processes: what begins and what is stopped, by the workers' own clocks; and what
//! the activity log says of each command, however often it is given.

use serde_json::json;
use tests::report::Activity;
use tests::{Attempt, Cluster, Job, RunReport, oracle, tables, until};

/// Longer than any test: what takes so long is stopped, or the test fails.
const FOREVER: &str = "300s";

fn batches(cluster: &Cluster, count: usize) -> Job {
    let table = cluster.scratch().write("numbers.csv", tables::numbers(count));
    Job::over(table).rows(1)
}

fn wait_for_commits(cluster: &Cluster, run: &str, count: u64) {
    cluster.wait_until(run, &format!("{count} batches are committed"), |report| {
        report.batches.committed >= count
    });
}

/// Returns what a run was told.
fn commands(cluster: &Cluster, run: &str) -> Vec<Activity> {
    let mut commands = cluster.activity(run);
    commands.retain(|entry| entry.by.is_some());
    commands
}

fn messages(commands: &[Activity]) -> Vec<&str> {
    commands.iter().map(|command| command.message.as_str()).collect()
}

/// Returns when a command was given, by the run's own clock.
fn time_of(cluster: &Cluster, run: &str, kind: &str) -> f64 {
    let activity = cluster.activity(run);
    let found = activity.iter().find(|entry| entry.kind == kind);
    found.expect("the command is in the log").seconds_after(&activity[0])
}

/// Waits until nothing of a run runs, and checks that all that waits is held up by the pause.
fn wait_until_it_rests(cluster: &Cluster, run: &str) {
    let explained = until("nothing of the run runs", || {
        let explained = cluster.explain(run);
        explained.iter().all(|op| op.running == 0).then_some(explained)
    });
    let waiting: Vec<_> = explained.iter().filter(|op| op.waiting > 0).collect();
    assert!(!waiting.is_empty(), "{explained:#?}");
    assert!(waiting.iter().all(|op| op.kinds()[0] == "paused"), "{explained:#?}");
}

/// Returns what of a summary stays as it is while nothing happens.
fn what_was_done(report: &RunReport) -> String {
    let report = RunReport {
        wall_seconds: 0.0,
        memory: None,
        ..report.clone()
    };
    format!("{report:#?}")
}

#[test]
fn nothing_begins_between_the_answer_to_a_pause_and_the_resume() {
    let cluster = Cluster::start(2, 2);
    let job = batches(&cluster, 200)
        .wait("first", "15ms")
        .wait("second", "15ms")
        .discard();
    let run = cluster.submit(&job);
    wait_for_commits(&cluster, &run, 5);
    let paused = cluster.tell(&["pause", &run]);
    assert_eq!(paused.state, "paused");
    wait_until_it_rests(&cluster, &run);
    // What would begin in spite of it has had the time to.
    cluster.wait_until(&run, "half a second has gone by", |report| {
        report.wall_seconds > paused.wall_seconds + 0.5
    });
    let resumed = cluster.tell(&["resume", &run]);
    assert_eq!(resumed.state, "running");
    cluster.wait_for_end(&run).expect_success();
    let attempts = cluster.timeline(&run);
    oracle::expect_nothing_begins_above(&attempts, 0, paused.wall_seconds, time_of(&cluster, &run, "resume"));
    oracle::expect_each_task_once(&attempts, &["extract", "first", "second", "load"], 200);
    cluster.finish();
}

#[test]
fn a_paused_run_begins_nothing_also_after_a_restart_until_it_is_resumed() {
    let mut cluster = Cluster::start(2, 2);
    let job = batches(&cluster, 160)
        .wait("first", "20ms")
        .wait("second", "20ms")
        .discard();
    let run = cluster.submit(&job);
    wait_for_commits(&cluster, &run, 5);
    let paused = cluster.tell(&["pause", &run]);
    cluster.restart_coordinator();
    cluster.wait_for_workers(2);
    assert_eq!(cluster.show(&run).state, "paused");
    wait_until_it_rests(&cluster, &run);
    assert_eq!(messages(&commands(&cluster, &run)), ["pause"]);
    cluster.tell(&["resume", &run]);
    let report = cluster.wait_for_end(&run).expect_success();
    assert_eq!(report.batches.committed, 160);
    let resumed = time_of(&cluster, &run, "resume");
    oracle::expect_nothing_begins_above(&cluster.timeline(&run), 0, paused.wall_seconds, resumed);
    assert_eq!(messages(&commands(&cluster, &run)), ["pause", "resume"]);
    cluster.finish();
}

#[test]
fn a_run_that_is_cancelled_after_its_running_tasks_stops_none_of_them() {
    let cluster = Cluster::start(2, 2);
    let job = batches(&cluster, 60)
        .wait("first", "60ms")
        .wait("second", "60ms")
        .discard();
    let run = cluster.submit(&job);
    wait_for_commits(&cluster, &run, 5);
    cluster.tell(&["cancel", &run, "--after-running"]);
    let report = cluster.wait_for_end(&run);
    assert_eq!(report.state, "cancelled");
    report.expect_balance();
    let attempts = cluster.timeline(&run);
    assert!(attempts.iter().all(Attempt::succeeded), "no task was stopped");
    let loaded = oracle::starts(&attempts, "load").len() as u64;
    assert_eq!(report.batches.committed, loaded, "what came through is committed");
    assert!(loaded < 60, "the rest was given up");
    cluster.finish();
}

#[test]
fn a_batch_whose_running_task_was_to_end_before_a_cancel_goes_no_further() {
    let cluster = Cluster::start(2, 2);
    let job = batches(&cluster, 60)
        .wait("first", "2s")
        .wait("second", "1ms")
        .discard();
    let run = cluster.submit(&job);
    until("four tasks run", || {
        (cluster.explain(&run)[1].running == 4).then_some(())
    });
    cluster.tell(&["cancel", &run, "--after-running"]);
    let report = cluster.wait_for_end(&run);
    assert_eq!((report.state.as_str(), report.batches.committed), ("cancelled", 0));
    let attempts = cluster.timeline(&run);
    let began = ["first", "second", "load"].map(|op| oracle::starts(&attempts, op).len());
    assert_eq!(began, [4, 0, 0], "{}", oracle::print(&attempts));
    assert!(attempts.iter().all(Attempt::succeeded), "no task was stopped");
    cluster.finish();
}

#[test]
fn a_run_that_is_cancelled_now_stops_also_the_tasks_that_it_was_to_wait_for() {
    let cluster = Cluster::start(2, 2);
    let run = cluster.submit(&batches(&cluster, 60).wait("first", FOREVER).discard());
    let begun = |cluster: &Cluster| cluster.explain(&run)[1].running;
    until("four tasks run", || (begun(&cluster) == 4).then_some(()));
    for _ in 0..2 {
        let waits = cluster.tell(&["cancel", &run, "--after-running"]);
        assert!(!waits.ended(), "the tasks that run go on: {waits:#?}");
    }
    assert_eq!(begun(&cluster), 4);
    let refused = cluster.plumb(["pause", &run]).call().expect_code(1);
    assert!(refused.stderr.contains("is being stopped"), "{}", refused.stderr);
    cluster.tell(&["cancel", &run]);
    assert_eq!(cluster.wait_for_end(&run).state, "cancelled");
    for again in [&["cancel", &run][..], &["cancel", &run, "--after-running"]] {
        assert_eq!(cluster.tell(again).state, "cancelled");
    }
    let told = commands(&cluster, &run);
    assert_eq!(messages(&told), ["cancel after_running", "cancel now"]);
    let attempts = cluster.timeline(&run);
    let stopped = attempts.iter().filter(|attempt| attempt.op == "first");
    let states: Vec<&str> = stopped.map(|attempt| attempt.state.as_str()).collect();
    assert_eq!(states, ["cancelled"; 4], "{attempts:#?}");
    cluster.finish();
}

#[test]
fn a_command_that_is_repeated_changes_nothing_and_is_logged_once() {
    let mut cluster = Cluster::coordinator_with(["--pool", "geocoder=3"]);
    cluster.add_worker("w1", 4);
    let op = json!({ "noop": {}, "delay": { "per_batch": "20ms" }, "pools": ["geocoder"] });
    let job = batches(&cluster, 2_000).cap(4).op("enrich", op).discard();
    let run = cluster.submit(&job);
    wait_for_commits(&cluster, &run, 5);

    cluster.tell(&["pause", &run]);
    wait_until_it_rests(&cluster, &run);
    let rests = what_was_done(&until("all that was loaded is committed", || {
        let attempts = cluster.timeline(&run);
        let loads = attempts.iter().filter(|attempt| attempt.op == "load");
        let committed = loads.clone().filter(|load| load.committed.is_some()).count();
        let report = cluster.show(&run);
        (committed == loads.count() && report.batches.committed == committed as u64).then_some(report)
    }));
    let change = [
        "limits",
        &run,
        "--cap",
        "2",
        "--committing",
        "3",
        "--op",
        "enrich=1",
        "--rate",
        "enrich=100/s",
    ];
    for command in [&["pause", &run][..], &change, &change, &["pause", &run]] {
        assert_eq!(what_was_done(&cluster.tell(command)), rests, "{command:?}");
    }
    let told = commands(&cluster, &run);
    assert_eq!(
        told.iter().map(|entry| entry.kind.as_str()).collect::<Vec<_>>(),
        ["pause", "limits"]
    );
    assert!(told[1].message.contains("max_committing=3"), "{}", told[1].message);

    for _ in 0..2 {
        cluster.plumb(["pool", "set", "geocoder", "2"]).call().expect_code(0);
        assert_eq!((cluster.pools()[0].limit, cluster.pools().len()), (2, 1));
        let said = cluster.plumb(["cap", "3"]).call().expect_code(0).stdout;
        assert_eq!(said.trim(), "3");
    }
    assert_eq!(
        commands(&cluster, &run),
        told,
        "what is not the run's is not in its log"
    );

    for _ in 0..2 {
        assert_eq!(cluster.tell(&["resume", &run]).state, "running");
    }
    for _ in 0..2 {
        cluster.tell(&["cancel", &run, "--after-running"]);
    }
    let ended = cluster.wait_for_end(&run);
    for mode in [&["cancel", &run][..], &["cancel", &run, "--after-running"]] {
        assert_eq!(what_was_done(&cluster.tell(mode)), what_was_done(&ended));
    }
    for command in ["pause", "resume"] {
        let refused = cluster.plumb([command, &run]).call().expect_code(1);
        assert!(refused.stderr.contains("has ended"), "{}", refused.stderr);
    }
    let told = commands(&cluster, &run);
    assert!(
        told.iter().all(|entry| entry.by.as_deref() == Some("grpc")),
        "{told:#?}"
    );
    let kinds: Vec<_> = told.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["pause", "limits", "resume", "cancel"]);
    cluster.restart_coordinator();
    assert_eq!(commands(&cluster, &run), told, "the log is the same after a restart");
    cluster.finish();
}
