//! W4: what a task costs, and what the coordinator holds, as a run and a cluster grow.
//!
//! The chain is W1's. A run grows on two workers of 32 slots; a run of ten million batches takes minutes and is measured
//! when it is asked for: `benches w4 --batches 10000,10000000`. The cluster grows as a crowd of simulated workers
//! ([`crate::crowd`]) with 64 slots each, whose ops end at once: what it reaches is what the coordinator bears.
//!
//! Known weakness: the crowd takes processors of the same machine; `core_busy` says how much of one the coordinator's core
//! thread had.

use std::num::NonZeroU32;

use serde_json::json;
use tests::Job;

use crate::figure::Figure;
use crate::overhead::{Schedule, throughput};
use crate::runs::{Bench, numbers};
use crate::{Settings, Size};

const SLOTS: u32 = 32;
const CROWD_SLOTS: NonZeroU32 = NonZeroU32::new(64).expect("is not zero");
const CROWD_PROCESSES: u32 = 4;

pub(crate) fn measure(settings: &Settings) -> Vec<Figure> {
    let sizes = match (settings.crowds.is_empty(), settings.batches.is_empty()) {
        (false, true) => Vec::new(),
        (true, true | false) | (false, false) => settings.sizes(&[500, 2_000], &[10_000, 100_000, 1_000_000]),
    };
    let mut figures: Vec<Figure> = Vec::new();
    for batches in sizes {
        let figure = throughput("W4", batches, SLOTS, Schedule::Tuned);
        let cost = |figure: &Figure| figure.get("coordinator_us_per_task").unwrap_or_default();
        let first = figures.first().map_or_else(|| cost(&figure), cost);
        let ratio = cost(&figure) / first.max(f64::MIN_POSITIVE);
        figures.push(figure.number("cost_to_first_size", ratio));
    }
    let (crowds, batches): (&[u32], u64) = match settings.size {
        Size::Short => (&[20], 2_000),
        Size::Full => (&[10, 100, 1_000], 100_000),
    };
    let crowds = if settings.crowds.is_empty() {
        crowds
    } else {
        &settings.crowds
    };
    for sessions in crowds.iter().filter(|sessions| **sessions > 0) {
        let taken = (0..settings.repeat(1)).map(|_| crowded(*sessions, batches));
        figures.push(Figure::of_all(taken.collect(), "tasks_per_s"));
    }
    figures
}

/// Runs so many batches on a crowd.
fn crowded(sessions: u32, batches: u64) -> Figure {
    let mut bench = Bench::start_with_crowd(sessions, CROWD_SLOTS, CROWD_PROCESSES);
    let file = numbers(bench.cluster.scratch(), batches);
    let slots = sessions * CROWD_SLOTS.get();
    let mut job = Job::over(file)
        .rows(1)
        .schedule("max_committing", 50_000)
        .schedule("max_in_flight", slots * 2);
    for name in ["a", "b", "c"] {
        job = job.op(name, json!({ "noop": {} }));
    }
    let measured = bench.run(&job);
    bench.finish();
    let core = measured.coordinator.threads.get("core").copied().unwrap_or_default();
    let busy = core / measured.report.wall_seconds;
    let variant = format!("{sessions} simulated workers x {CROWD_SLOTS} slots");
    measured.costs(Figure::new("W4", variant)).number("core_busy", busy)
}
