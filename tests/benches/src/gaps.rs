//! How long a freed slot waits for its next chain, read from a timeline.

use std::collections::BTreeMap;

use tests::Attempt;

/// Waits in seconds, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gaps(Vec<f64>);

impl Gaps {
    /// Returns the waits between the end of a chain and the start of the chain that took over its unit of the cap.
    ///
    /// While there is work, chain number i + cap takes over from the i-th one that ended: no more than `cap` run at
    /// once, so it cannot start earlier.
    pub(crate) fn between_chains(attempts: &[Attempt], cap: usize) -> Gaps {
        let mut chains: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for attempt in attempts {
            let (Some(batch), Some((started, finished))) = (&attempt.batch, attempt.interval()) else {
                continue;
            };
            let chain = chains.entry(batch).or_insert((started, finished));
            chain.0 = chain.0.min(started);
            chain.1 = chain.1.max(finished);
        }
        let mut starts: Vec<f64> = chains.values().map(|(start, _)| *start).collect();
        let mut ends: Vec<f64> = chains.values().map(|(_, end)| *end).collect();
        starts.sort_by(f64::total_cmp);
        ends.sort_by(f64::total_cmp);
        let successors = starts.into_iter().skip(cap);
        let mut gaps: Vec<f64> = successors
            .zip(ends)
            .map(|(start, end)| (start - end).max(0.0))
            .collect();
        gaps.sort_by(f64::total_cmp);
        Gaps(gaps)
    }

    /// Returns the wait that so many of a hundred do not exceed, in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let place = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(place).copied().unwrap_or_default() * 1_000.0
    }
}
