//! W5: the sample's job with priority: nine batches, two transforms of a second each, four at a time.

use tests::Job;

use crate::figure::Figure;
use crate::runs::{Bench, numbers};
use crate::{Settings, Size};

const BATCHES: u64 = 9;
const CAP: u32 = 4;
/// Three rounds of four, four and one batch, each through both transforms.
const ROUNDS: f64 = 3.0;

pub(crate) fn measure(settings: &Settings) -> Vec<Figure> {
    let (delay, seconds) = match settings.size {
        Size::Short => ("100ms", 0.1),
        Size::Full => ("1s", 1.0),
    };
    let once = || {
        let mut bench = Bench::start(2, 2);
        let file = numbers(bench.cluster.scratch(), BATCHES);
        let job = Job::over(file).rows(1).cap(CAP);
        let job = job.wait("transform_1", delay).wait("transform_2", delay).discard();
        let measured = bench.run(&job);
        bench.finish();
        let ideal = ROUNDS * 2.0 * seconds;
        Figure::new("W5", format!("{BATCHES} batches, 2 transforms of {delay}, cap {CAP}"))
            .number("wall_s", measured.report.wall_seconds)
            .number("ideal_s", ideal)
            .number("ratio", measured.report.wall_seconds / ideal)
            .with("peak_in_flight", measured.report.peak_batches_in_flight)
    };
    let mut taken = Vec::new();
    let mut beside = settings.peers.beside("W5");
    for _ in 0..settings.repeat(1) {
        taken.push(once());
        beside.round(None);
    }
    let mut figures = vec![Figure::of_all(taken, "wall_s")];
    figures.extend(beside.figures("wall_s"));
    figures
}
