//! W4: what a task costs, and what the coordinator holds, as a run grows.
//!
//! The chain is W1's, on two workers of 32 slots. A run of ten million batches takes minutes and is measured when it is
//! asked for: `benches w4 --batches 10000,10000000`. Known weakness: sessions by the thousand are not measured here.

use crate::Settings;
use crate::figure::Figure;
use crate::overhead::{Schedule, throughput};

const SLOTS: u32 = 32;

pub(crate) fn measure(settings: &Settings) -> Vec<Figure> {
    let sizes = settings.sizes(&[500, 2_000], &[10_000, 100_000, 1_000_000]);
    let mut figures: Vec<Figure> = Vec::new();
    for batches in sizes {
        let figure = throughput("W4", batches, SLOTS, Schedule::Tuned);
        let cost = |figure: &Figure| figure.get("coordinator_us_per_task").unwrap_or_default();
        let first = figures.first().map_or_else(|| cost(&figure), cost);
        let ratio = cost(&figure) / first.max(f64::MIN_POSITIVE);
        figures.push(figure.number("cost_to_first_size", ratio));
    }
    figures
}
