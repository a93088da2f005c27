//! Limits on real processes: caps, limits of ops, rates and pools that change while runs go on, judged by the workers' own
//! clocks; and what `plumb explain` says of each. A change holds for what begins between its answer and the next change,
//! both by the run's own clock.

use std::time::Instant;

use serde_json::json;
use tests::report::OpExplanation;
use tests::wait::PATIENCE;
use tests::{Attempt, Cluster, Job, oracle, tables, until};

/// A delay that outlasts every test, so that what runs stays as it is until it is cancelled.
const FOREVER: &str = "300s";

fn batches(cluster: &Cluster, count: usize) -> Job {
    let table = cluster.scratch().write(&format!("{count}.csv"), tables::numbers(count));
    Job::over(table).rows(1)
}

fn wait_for_commits(cluster: &Cluster, run: &str, count: u64) {
    cluster.wait_until(run, &format!("{count} batches are committed"), |report| {
        report.batches.committed >= count
    });
}

/// Returns when a run was given its commands, by its own clock.
fn command_times(cluster: &Cluster, run: &str) -> Vec<f64> {
    let activity = cluster.activity(run);
    let commands = activity.iter().filter(|entry| entry.by.is_some());
    commands.map(|entry| entry.seconds_after(&activity[0])).collect()
}

fn of_op(attempts: &[Attempt], op: &str) -> Vec<Attempt> {
    let of_op = attempts.iter().filter(|attempt| attempt.op == op);
    of_op.cloned().collect()
}

fn begun_between(attempts: &[Attempt], from: f64, to: f64) -> Vec<Attempt> {
    let within = |attempt: &&Attempt| attempt.started.is_some_and(|at| at > from && at < to);
    attempts.iter().filter(within).cloned().collect()
}

#[test]
fn a_cap_that_is_lowered_is_not_exceeded_by_anything_that_begins_after_the_answer() {
    let cluster = Cluster::start(2, 4);
    let job = batches(&cluster, 300)
        .cap(8)
        .wait("first", "30ms")
        .wait("second", "30ms")
        .discard();
    let run = cluster.submit(&job);
    wait_for_commits(&cluster, &run, 20);
    let lowered = cluster.tell(&["limits", &run, "--cap", "2"]).wall_seconds;
    wait_for_commits(&cluster, &run, 60);
    cluster.tell(&["limits", &run, "--cap", "8"]);
    cluster.wait_for_end(&run).expect_success();
    let attempts = cluster.timeline(&run);
    let raised = command_times(&cluster, &run)[1];
    oracle::expect_nothing_begins_above(&attempts, 2, lowered, raised);
    assert_eq!(oracle::most_at_once(&begun_between(&attempts, lowered, raised)), 2);
    let after = begun_between(&attempts, raised, f64::MAX);
    assert!(oracle::most_at_once(&after) > 2, "the cap of 8 is made use of again");
    oracle::expect_cap(&attempts, 8);
    cluster.finish();
}

#[test]
fn the_coordinators_cap_is_lowered_for_two_runs_at_once() {
    let mut cluster = Cluster::start(0, 4);
    let job = batches(&cluster, 40)
        .wait("first", "150ms")
        .wait("second", "150ms")
        .discard();
    let runs = [cluster.submit(&job), cluster.submit(&job)];
    cluster.add_worker("w1", 4);
    cluster.add_worker("w2", 4);
    for run in &runs {
        wait_for_commits(&cluster, run, 2);
    }
    cluster.plumb(["cap", "2"]).call().expect_code(0);
    let lowered = runs.each_ref().map(|run| cluster.show(run).wall_seconds);
    let committed = |run: &String| cluster.show(run).batches.committed;
    let before: u64 = runs.iter().map(committed).sum();
    until("8 more batches are committed", || {
        (runs.iter().map(committed).sum::<u64>() >= before + 8).then_some(())
    });
    let seen = runs.each_ref().map(|run| cluster.show(run));
    assert!(seen.iter().all(|report| !report.ended()), "both went on: {seen:#?}");
    cluster.plumb(["cap", "none"]).call().expect_code(0);
    for run in &runs {
        cluster.wait_for_end(run).expect_success();
    }
    let (all, accepted) = on_one_clock(&cluster, &runs);
    let from = accepted + lowered[1];
    let to = seen[0].wall_seconds;
    assert!(from < to);
    oracle::expect_nothing_begins_above(&all, 2, from, to);
    cluster.finish();
}

/// Puts the attempts of two runs on the clock of the first, and returns how much later the second was accepted.
fn on_one_clock(cluster: &Cluster, runs: &[String; 2]) -> (Vec<Attempt>, f64) {
    let [first, second] = runs.each_ref().map(|run| cluster.activity(run).remove(0));
    let later = second.seconds_after(&first);
    let moved = cluster.timeline(&runs[1]).into_iter().map(|attempt| Attempt {
        started: attempt.started.map(|at| at + later),
        finished: attempt.finished.map(|at| at + later),
        ..attempt
    });
    let mut all = cluster.timeline(&runs[0]);
    all.extend(moved);
    (all, later)
}

#[test]
fn a_pool_is_shared_by_two_runs_and_can_be_set_while_they_run() {
    let mut cluster = Cluster::coordinator_with(["--pool", "geocoder=4"]);
    let job = batches(&cluster, 80)
        .op(
            "enrich",
            json!({ "noop": {}, "delay": { "per_batch": "40ms" }, "pools": ["geocoder"] }),
        )
        .discard();
    let runs = [cluster.submit(&job), cluster.submit(&job)];
    cluster.add_worker("w1", 4);
    cluster.add_worker("w2", 4);
    let shared = until("both runs hold units of the pool", || {
        cluster.pools().into_iter().find(|pool| pool.holders.len() == 2)
    });
    assert_eq!((shared.name.as_str(), shared.limit), ("geocoder", 4));
    let units: u32 = shared.holders.iter().map(|holder| holder.units).sum();
    assert!(units == shared.used && shared.used <= 4, "{shared:?}");
    cluster.plumb(["pool", "set", "geocoder", "2"]).call().expect_code(0);
    let lowered = cluster.show(&runs[0]).wall_seconds;
    assert_eq!(cluster.pools()[0].limit, 2);
    for run in &runs {
        cluster.wait_for_end(run).expect_success();
    }
    let (all, _) = on_one_clock(&cluster, &runs);
    let all = of_op(&all, "enrich");
    oracle::expect_nothing_begins_above(&all, 4, 0.0, f64::MAX);
    oracle::expect_nothing_begins_above(&all, 2, lowered, f64::MAX);
    let after = begun_between(&all, lowered, f64::MAX);
    assert_eq!(oracle::most_at_once(&after), 2, "the pool of 2 is made use of");
    let pool = cluster.pools().remove(0);
    assert_eq!((pool.used, pool.holders), (0, Vec::new()), "all units are given back");
    cluster.finish();
}

#[test]
fn a_job_with_a_pool_that_nobody_declared_is_refused_and_told_which_there_are() {
    let cluster = Cluster::coordinator_with(["--pool", "geocoder=3,warehouse=2"]);
    let job = batches(&cluster, 2)
        .op("enrich", json!({ "noop": {}, "pools": ["geocodr"] }))
        .discard();
    let refused = cluster.try_submit(&job).expect_code(2);
    assert!(
        refused.stderr.contains("there are geocoder, warehouse"),
        "{}",
        refused.stderr
    );
    cluster.finish();
}

#[test]
fn an_op_limited_to_two_of_eight_slots_gets_a_rate_and_another_limit_while_the_run_goes_on() {
    let cluster = Cluster::start(4, 2);
    let job = batches(&cluster, 200)
        .cap(8)
        .wait("before", "5ms")
        .op(
            "limited",
            json!({ "noop": {}, "delay": { "per_batch": "20ms" }, "max_concurrent": 2 }),
        )
        .discard();
    let run = cluster.submit(&job);
    wait_for_commits(&cluster, &run, 20);
    let lowered = cluster
        .tell(&["limits", &run, "--op", "limited=1", "--rate", "limited=30/s"])
        .wall_seconds;
    wait_for_commits(&cluster, &run, 60);
    let wrong = cluster
        .plumb(["limits", &run, "--op", "limted=1"])
        .call()
        .expect_code(2);
    assert!(
        wrong.stderr.contains("it has before, limited, load"),
        "{}",
        wrong.stderr
    );
    cluster.tell(&["limits", &run, "--op", "limited=none", "--rate", "limited=none"]);
    let report = cluster.wait_for_end(&run).expect_success();
    assert!(report.peak_batches_in_flight <= 10, "{report:#?}");
    let attempts = of_op(&cluster.timeline(&run), "limited");
    let times = command_times(&cluster, &run);
    let [asked, lifted] = times[..] else {
        panic!("two changes are in the log, and not the one that was refused: {times:?}");
    };
    oracle::expect_nothing_begins_above(&attempts, 2, 0.0, asked);
    oracle::expect_nothing_begins_above(&attempts, 1, lowered, lifted);
    let limited = oracle::starts(&begun_between(&attempts, lowered, lifted), "limited");
    let most = oracle::most_within(&limited, 1.0);
    assert!((1..=30 + 3).contains(&most), "{most} began within a second at 30/s");
    let after = begun_between(&attempts, lifted, f64::MAX);
    assert!(oracle::most_at_once(&after) > 2, "the op is limited no more");
    cluster.finish();
}

/// Waits until an op that something waits for is held up by exactly these obstacles, and this is said of the first.
fn wait_for_obstacles(cluster: &Cluster, run: &str, op: &str, kinds: &[&str], said: &str) {
    let mut last = Vec::new();
    let is_explained = |explained: &OpExplanation| {
        let is_said = || explained.obstacles[0].message.contains(said);
        explained.op == op && explained.waiting > 0 && explained.kinds() == kinds && is_said()
    };
    let deadline = Instant::now() + PATIENCE;
    while !last.iter().any(is_explained) {
        assert!(
            Instant::now() < deadline,
            "{op} is not held up by {kinds:?}, {said:?}: {last:#?}"
        );
        last = cluster.explain(run);
    }
}

fn cancel(cluster: &Cluster, run: &str) {
    cluster.tell(&["cancel", run]);
    assert_eq!(cluster.wait_for_end(run).state, "cancelled");
}

#[test]
fn explain_names_the_limit_that_is_in_the_way_and_no_other() {
    let mut cluster = Cluster::coordinator_with(["--pool", "geocoder=1"]);
    let job = || batches(&cluster, 40);
    let slow = |limit: &str, value: serde_json::Value| {
        let mut op = json!({ "noop": {}, "delay": { "per_batch": FOREVER } });
        op[limit] = value;
        job().cap(4).op("slow", op).discard()
    };
    let free = job().wait("slow", FOREVER).discard();
    let capped = job().cap(2).wait("slow", FOREVER).discard();
    let of_bytes = capped.clone().cap(4).schedule("max_in_flight_bytes", 4);
    let limited = slow("max_concurrent", 1.into());
    let pooled = slow("pools", json!(["geocoder"]));
    let rated = slow("rate", json!({ "limit": 1, "per": "1h" }));

    let run = cluster.submit(&free);
    wait_for_obstacles(&cluster, &run, "extract", &["no_workers"], "no worker is connected");
    cluster.add_worker("w1", 8);
    let said = "no free slot: all that can take it of 8 are in use";
    wait_for_obstacles(&cluster, &run, "extract", &["no_free_slot"], said);
    cancel(&cluster, &run);

    let run = cluster.submit(&capped);
    let said = "the run's cap: 2 of 2 in use";
    wait_for_obstacles(&cluster, &run, "extract", &["run_cap"], said);
    cluster.tell(&["pause", &run]);
    let said = "the run is paused; resume it";
    wait_for_obstacles(&cluster, &run, "extract", &["paused", "run_cap"], said);
    cancel(&cluster, &run);

    let run = cluster.submit(&limited);
    let said = "its own limit: 1 of 1 in use";
    wait_for_obstacles(&cluster, &run, "slow", &["op_limit"], said);
    let said = "batches in flight: 5 of 5";
    wait_for_obstacles(&cluster, &run, "extract", &["batches_in_flight"], said);
    cancel(&cluster, &run);

    let used_up = |holder: &str| format!("pool geocoder: 1 of 1 in use, held by {holder} 1");
    let holder = cluster.submit(&pooled);
    wait_for_obstacles(&cluster, &holder, "slow", &["pool"], &used_up(&holder));
    let waits = cluster.submit(&pooled);
    wait_for_obstacles(&cluster, &waits, "slow", &["pool"], &used_up(&holder));
    cancel(&cluster, &holder);
    wait_for_obstacles(&cluster, &waits, "slow", &["pool"], &used_up(&waits));
    cancel(&cluster, &waits);

    let run = cluster.submit(&rated);
    let said = "rate 1/3600s: the next tokens come in";
    wait_for_obstacles(&cluster, &run, "slow", &["rate"], said);
    cancel(&cluster, &run);

    let run = cluster.submit(&of_bytes);
    let said = "bytes in flight: 4 B of 4 B";
    wait_for_obstacles(&cluster, &run, "extract", &["bytes_in_flight"], said);
    cancel(&cluster, &run);

    cluster.plumb(["cap", "3"]).call().expect_code(0);
    let run = cluster.submit(&free);
    let said = "the coordinator's cap: 3 of 3 in use";
    wait_for_obstacles(&cluster, &run, "extract", &["coordinator_cap"], said);
    cancel(&cluster, &run);
    cluster.finish();
}
