//! W2: depth first with latency: 64 batches through two ops of 50 ms, four at a time.

use tests::Job;

use crate::figure::Figure;
use crate::runs::{Bench, as_number, numbers};
use crate::{Settings, Size};

const CAP: u32 = 4;
const OP_SECONDS: f64 = 0.05;

pub(crate) fn measure(settings: &Settings) -> Vec<Figure> {
    let batches = match settings.size {
        Size::Short => 16,
        Size::Full => 64,
    };
    let mut taken = Vec::new();
    let mut beside = settings.peers.beside("W2");
    for _ in 0..settings.repeat(5) {
        taken.push(once(batches));
        beside.round(None);
    }
    let mut figures = vec![Figure::of_all(taken, "wall_s")];
    figures.extend(beside.figures("wall_s"));
    figures
}

fn once(batches: u64) -> Figure {
    let mut bench = Bench::start(2, 2);
    let file = numbers(bench.cluster.scratch(), batches);
    let job = Job::over(file).rows(1).cap(CAP).wait("a", "50ms").wait("b", "50ms");
    let measured = bench.run(&job);
    bench.finish();
    let ideal = as_number(batches.div_ceil(u64::from(CAP))) * 2.0 * OP_SECONDS;
    Figure::new("W2", format!("{batches} batches, 2 ops of 50 ms, cap {CAP}"))
        .number("wall_s", measured.report.wall_seconds)
        .number("ideal_s", ideal)
        .number("ratio", measured.report.wall_seconds / ideal)
        .with("peak_in_flight", measured.report.peak_batches_in_flight)
}
