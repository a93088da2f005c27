//! Coordinators and workers that are killed again and again under one run: the output is that of an undisturbed run, the
//! cap was never exceeded, and the run ends.
//!
//! A short form runs with the other suites; `make test-kills` kills a hundred coordinators and a hundred workers during
//! one run of 2,000 batches. The run must last longer than the kills do, and those take as long as the machine lets new
//! processes start: so one round of them is timed before, the ops take their time by it, and a run that is still too
//! fast has its cap lowered until the last kill. On a machine that is starved for longer than a lease workers stop
//! themselves, as they must; here, as wherever workers are supervised, one that has left is started again.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::{Attempt, Cluster, Job, RunReport, oracle, tables, within};

/// Leases that are soon over, and live longer than a busy machine lets a process wait.
const LEASES: [&str; 4] = ["--lease-time", "2s", "--heartbeat-interval", "200ms"];

/// The rows of a batch.
const BATCH: usize = 5;
/// How many tasks may run at once.
const CAP: u32 = 6;
const WORKERS: usize = 4;
/// How long the next batch may take to come through after a kill: leases that are over, their margin, and a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the rest of a run may take when nobody kills any more.
const END_PATIENCE: Duration = Duration::from_secs(240);

/// Returns a number that the environment may set.
fn number(variable: &str, default: usize) -> usize {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn job(cluster: &Cluster, batches: usize, target: &str, delay: &str) -> Job {
    let table = cluster.scratch().write("people.csv", tables::people(batches * BATCH));
    let target = cluster.scratch().path(target).to_string_lossy().into_owned();
    let delay = json!({ "per_batch": delay });
    Job::over(table)
        .rows(BATCH as u32)
        .with("seed", 11)
        .cap(CAP)
        .op(
            "mark",
            json!({ "add": { "columns": { "mark": { "uuid": {} } } }, "delay": delay }),
        )
        .op("wait", json!({ "noop": {}, "delay": delay }))
        .single_file(&target)
}

fn output(cluster: &Cluster, name: &str) -> String {
    fs::read_to_string(cluster.scratch().path(name)).expect("the output is in place")
}

/// Whom a step kills.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Coordinator,
    Worker(usize),
    /// Both, one right after the other, and neither is there when the other is started again.
    Both(usize),
}

impl Victim {
    /// Every other step kills both.
    fn of(step: usize) -> Victim {
        let worker = step * 7 % WORKERS;
        match step % 4 {
            0 => Victim::Coordinator,
            2 => Victim::Worker(worker),
            _ => Victim::Both(worker),
        }
    }
}

fn name(worker: usize) -> String {
    format!("w{}", worker + 1)
}

/// Kills whom the step says, and starts them again.
fn kill(cluster: &mut Cluster, victim: Victim) {
    match victim {
        Victim::Coordinator => cluster.restart_coordinator(),
        Victim::Worker(worker) => {
            cluster.worker(&name(worker)).kill();
            cluster.add_worker(&name(worker), 2);
        }
        Victim::Both(worker) => {
            cluster.kill_coordinator();
            cluster.worker(&name(worker)).kill();
            cluster.start_coordinator();
            cluster.add_worker(&name(worker), 2);
        }
    }
}

/// Waits until a run is as wanted; workers that have left are started again meanwhile.
fn wait_until(
    cluster: &mut Cluster,
    run: &str,
    patience: Duration,
    what: &str,
    wanted: impl Fn(&RunReport) -> bool,
) -> RunReport {
    within(patience, what, || {
        for worker in 0..WORKERS {
            if cluster.worker(&name(worker)).ended().is_some() {
                cluster.add_worker(&name(worker), 2);
            }
        }
        let report = cluster.show(run);
        wanted(&report).then_some(report)
    })
}

/// Waits for a run's success.
fn wait_for_success(cluster: &mut Cluster, run: &str) -> RunReport {
    wait_until(cluster, run, END_PATIENCE, "the run ends", RunReport::ended).expect_success()
}

/// Adds what a coordinator knows of ended attempts to what those before it knew.
fn collect(known: &mut BTreeMap<String, Attempt>, attempts: Vec<Attempt>) {
    for attempt in attempts.into_iter().filter(|attempt| attempt.finished.is_some()) {
        let Attempt {
            op,
            batch,
            worker,
            slot,
            started,
            ..
        } = &attempt;
        let started = started.map(|seconds| (seconds * 1e3).round());
        known.insert(format!("{op} {batch:?} {worker} {slot} {started:?}"), attempt);
    }
}

/// Returns how long one step takes here, with what it reads of the run before.
fn time_a_step(cluster: &mut Cluster, run: &str) -> Duration {
    let begun = Instant::now();
    cluster.show(run);
    cluster.timeline(run);
    kill(cluster, Victim::Both(0));
    begun.elapsed()
}

/// Returns how long an op has to take, so that the run lasts well longer than its kills.
fn delay_for(batches: usize, steps: usize, step: Duration) -> Duration {
    let kills = step.as_secs_f64() * steps as f64;
    let (least, most) = (0.02, 1.0);
    // Each batch waits in two ops.
    let delay = 1.5 * kills * f64::from(CAP) / (2 * batches) as f64;
    Duration::from_secs_f64(delay.clamp(least, most))
}

/// Changes the run's cap, if it is to be another one.
fn set_cap(cluster: &Cluster, run: &str, now: &mut u32, cap: u32) {
    if *now != cap {
        cluster
            .plumb(["limits", run, "--cap", &cap.to_string()])
            .call()
            .expect_code(0);
        *now = cap;
    }
}

#[test]
fn the_output_is_that_of_an_undisturbed_run_whoever_is_killed_and_however_often() {
    // Each of the steps kills a coordinator, a worker or both: so many of each in all.
    let kills = number("KILLS", 6);
    let batches = number("KILL_BATCHES", 120);
    let mut cluster = Cluster::coordinator_with(LEASES);
    for worker in 0..WORKERS {
        cluster.add_worker(&name(worker), 2);
    }
    let undisturbed = cluster.submit(&job(&cluster, batches, "undisturbed.csv", "0s"));
    wait_for_success(&mut cluster, &undisturbed);
    let expected = output(&cluster, "undisturbed.csv");
    tables::expect_each_row_once(&tables::parse(&expected), batches * BATCH);

    let steps = kills.div_ceil(3) * 4;
    let delay = delay_for(batches, steps, time_a_step(&mut cluster, &undisturbed));
    let delay = format!("{}ms", delay.as_millis());
    let run = cluster.submit(&job(&cluster, batches, "disturbed.csv", &delay));
    let mut cap = CAP;
    let mut attempts = BTreeMap::new();
    let (mut coordinators, mut workers) = (0, 0);
    for step in 0..steps {
        // Spread over the whole run, and somewhere else within the work each time.
        let wanted = (batches * step / steps) as u64 + step as u64 % 3;
        let report = wait_until(&mut cluster, &run, PATIENCE, "the run goes on after a kill", |report| {
            report.batches.committed >= wanted || report.ended()
        });
        assert!(
            !report.ended(),
            "the run ended before step {step} of {steps}: {report:#?}"
        );
        let left = batches as u64 - report.batches.committed;
        let is_ahead = left < 4 * (steps - step) as u64 && step > 0;
        set_cap(&cluster, &run, &mut cap, if is_ahead { 1 } else { CAP });
        collect(&mut attempts, cluster.timeline(&run));
        let victim = Victim::of(step);
        match victim {
            Victim::Coordinator => coordinators += 1,
            Victim::Worker(_) => workers += 1,
            Victim::Both(_) => (coordinators, workers) = (coordinators + 1, workers + 1),
        }
        kill(&mut cluster, victim);
    }
    assert!(
        coordinators >= kills && workers >= kills,
        "{coordinators} and {workers} were killed"
    );
    set_cap(&cluster, &run, &mut cap, CAP);
    let report = wait_for_success(&mut cluster, &run);
    assert_eq!(report.rows.loaded, (batches * BATCH) as u64);
    assert_eq!(output(&cluster, "disturbed.csv"), expected, "byte for byte, uuids too");
    collect(&mut attempts, cluster.timeline(&run));
    let attempts: Vec<Attempt> = attempts.into_values().collect();
    oracle::expect_cap(&attempts, CAP as usize);
    let left = cluster.scratch().files_in("");
    let left: Vec<&String> = left.iter().filter(|file| file.contains("disturbed.csv")).collect();
    assert_eq!(
        left,
        ["disturbed.csv", "undisturbed.csv"],
        "what lost attempts wrote is gone"
    );
    cluster.finish();
}
