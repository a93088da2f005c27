//! W1: what a task costs that does nothing, and how long a freed slot waits.
//!
//! N batches of one row go through a chain of four tasks (`extract` and three `noop`s). Everything is on: the journal
//! with its fsyncs, the timeline, gRPC between the processes. Finding the slices is part of it.

use serde_json::json;
use tests::Job;

use crate::Settings;
use crate::figure::Figure;
use crate::gaps::Gaps;
use crate::runs::{Bench, numbers};

const WORKERS: u32 = 2;
const RATE: &str = "tasks_per_s";

/// How far a run may get ahead of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// As far as the defaults let it.
    Defaults,
    /// As far as it can.
    Tuned,
}

pub(crate) fn measure(settings: &Settings) -> Vec<Figure> {
    let sizes = settings.sizes(&[1_000], &[10_000, 100_000]);
    let variants = [(2, Schedule::Defaults), (2, Schedule::Tuned), (32, Schedule::Tuned)];
    let cases: Vec<(u64, u32, Schedule)> = sizes
        .iter()
        .flat_map(|batches| variants.map(|(slots, schedule)| (*batches, slots, schedule)))
        .collect();
    let mut taken: Vec<Vec<Figure>> = vec![Vec::new(); cases.len()];
    let mut beside = settings.peers.beside("W1");
    for _ in 0..settings.repeat(5) {
        for ((batches, slots, schedule), figures) in cases.iter().zip(&mut taken) {
            figures.push(throughput("W1", *batches, *slots, *schedule));
        }
        beside.round(None);
    }
    let best = beside.best(RATE);
    let ours = taken.into_iter().map(|figures| Figure::of_all(figures, RATE));
    let mut figures: Vec<Figure> = ours.map(|figure| figure.against(best.as_ref(), RATE)).collect();
    figures.push(latency("slot to slot, 5 ms ops, all 4 slots", 4, settings));
    figures.push(latency("slot to slot, 5 ms ops, cap 2 of 4 slots", 2, settings));
    figures.extend(beside.figures(RATE));
    figures
}

/// Runs so many batches through the chain.
pub(crate) fn throughput(workload: &'static str, batches: u64, slots: u32, schedule: Schedule) -> Figure {
    let mut bench = Bench::start(WORKERS, slots);
    let file = numbers(bench.cluster.scratch(), batches);
    let cap = WORKERS * slots;
    let mut job = Job::over(file).rows(1).cap(cap);
    if schedule == Schedule::Tuned {
        job = job
            .schedule("max_committing", 50_000)
            .schedule("max_in_flight", cap * 2);
    }
    for name in ["a", "b", "c"] {
        job = job.op(name, json!({ "noop": {} }));
    }
    let measured = bench.run(&job);
    bench.finish();
    let variant = match schedule {
        Schedule::Defaults => "defaults",
        Schedule::Tuned => "max_committing, max_in_flight set",
    };
    measured.costs(Figure::new(workload, format!("{WORKERS} x {slots} slots, {variant}")))
}

/// Takes the wait of freed slots at half load: ops that sleep, so that the processors idle in between.
fn latency(variant: &str, cap: u32, settings: &Settings) -> Figure {
    let batches = settings.sizes(&[40], &[400])[0].min(2_000);
    let once = || {
        let mut bench = Bench::start(WORKERS, 2);
        let file = numbers(bench.cluster.scratch(), batches);
        let job = Job::over(file).rows(1).cap(cap);
        let job = job.wait("a", "5ms").wait("b", "5ms").wait("c", "5ms");
        let measured = bench.run(&job);
        let gaps = Gaps::between_chains(&bench.timeline(&measured), cap as usize);
        bench.finish();
        Figure::new("W1", variant)
            .with("batches", batches)
            .number("wall_s", measured.report.wall_seconds)
            .number("p50_ms", gaps.percentile_ms(50))
            .number("p99_ms", gaps.percentile_ms(99))
            .number("max_ms", gaps.percentile_ms(100))
    };
    Figure::of_all((0..settings.repeat(3)).map(|_| once()).collect(), "p99_ms")
}
