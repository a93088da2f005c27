//! Recovery: how soon leases flow again under a coordinator that was killed in a long run, and what the run leaves.
//!
//! A chain of ops that do nothing runs until so many batches are committed; then the coordinator is killed and started
//! on its state, first with its workers alive, then together with all of them. A moment ends when a batch is committed
//! that was not when the new coordinator was ready to answer, so it contains the start of the process, reading the
//! journal, sharding the source anew, and the workers' way back. Known weakness: no op writes a file, so the journal has
//! no parts; `journal_speed` (an example of the crate `coordinator`) measures those.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::{Cluster, Job, within};

use crate::Settings;
use crate::figure::Figure;
use crate::runs::{as_number, numbers};
use crate::usage::Usage;

const WORKERS: usize = 4;
/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// Batches that are left for what happens after the kills, beside a share of all.
const REST: u64 = 20_000;

pub(crate) fn measure(settings: &Settings) -> Vec<Figure> {
    let sizes = settings.sizes(&[2_000], &[100_000, 1_000_000]);
    sizes.into_iter().map(recover).collect()
}

fn name(worker: usize) -> String {
    format!("w{}", worker + 1)
}

fn add_workers(cluster: &mut Cluster) {
    (0..WORKERS).for_each(|worker| cluster.add_worker(&name(worker), 1));
    cluster.wait_for_workers(WORKERS);
}

fn recover(batches: u64) -> Figure {
    let mut cluster = Cluster::coordinator_with::<&str>([]);
    add_workers(&mut cluster);
    let table = numbers(cluster.scratch(), batches + batches / 2 + REST);
    let job = ["first", "second", "third"]
        .into_iter()
        .fold(Job::over(table).rows(1), |job, op| job.op(op, json!({ "noop": {} })));
    let run = cluster.submit(&job);
    wait_for(&cluster, &run, batches);
    let with_workers = back_after(&mut cluster, &run, |cluster| {
        cluster.kill_coordinator();
        Instant::now()
    });
    let committed = cluster.show(&run).batches.committed;
    let alone = back_after(&mut cluster, &run, |cluster| {
        cluster.kill_coordinator();
        (0..WORKERS).for_each(|worker| cluster.worker(&name(worker)).kill());
        Instant::now()
    });
    let live = journal(&cluster);
    let peak = Usage::of(cluster.coordinator().id()).peak_rss;
    cluster.wait_for_workers(WORKERS);
    within(PATIENCE, "the run ends", || cluster.show(&run).ended().then_some(()));
    let report = cluster.show(&run).expect_success();
    let attempts = report.tasks.succeeded.max(1);
    let peak = peak.max(Usage::of(cluster.coordinator().id()).peak_rss);
    let timeline = within(PATIENCE, "the timeline is written", || {
        let folder = cluster.scratch().path("state/timeline");
        let has_tail = folder.join(format!("{run}.tail")).exists();
        (!has_tail).then(|| bytes(&folder.join(format!("{run}.rows"))))
    });
    let figure = Figure::new("recovery", format!("{batches} batches committed, {WORKERS} workers"))
        .with("committed_at_kill", committed)
        .number("back_s_workers_alive", with_workers)
        .number("back_s_workers_killed", alone)
        .with("journal_live_kib", live >> 10)
        .with("journal_after_end_kib", journal(&cluster) >> 10)
        .number("timeline_bytes_per_attempt", as_number(timeline) / as_number(attempts))
        .with("coordinator_rss_mb", peak >> 20);
    cluster.finish();
    figure
}

fn wait_for(cluster: &Cluster, run: &str, committed: u64) {
    within(PATIENCE, "enough is committed", || {
        let report = cluster.show(run);
        assert!(!report.ended(), "the run ended before it was disturbed: {report:#?}");
        (report.batches.committed >= committed).then_some(())
    });
}

/// Kills, starts the coordinator again, and returns how many seconds later a further batch is committed.
fn back_after(cluster: &mut Cluster, run: &str, kill: impl FnOnce(&mut Cluster) -> Instant) -> f64 {
    let killed = kill(cluster);
    cluster.start_coordinator();
    let before = cluster.show(run).batches.committed;
    for worker in 0..WORKERS {
        if cluster.worker(&name(worker)).ended().is_some() {
            cluster.add_worker(&name(worker), 1);
        }
    }
    wait_for(cluster, run, before + 1);
    killed.elapsed().as_secs_f64()
}

fn journal(cluster: &Cluster) -> u64 {
    bytes(&cluster.scratch().path("state/journal.redb"))
}

fn bytes(file: &std::path::Path) -> u64 {
    std::fs::metadata(file).map_or(0, |file| file.len())
}
