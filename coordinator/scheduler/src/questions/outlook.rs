//! What runs and waits of one run at this moment: what a timeline does not hold yet.

use common::ids::{LeaseId, RunId};
use common::time::Time;
use common::timeline::TimelineEntry;

use crate::scheduler::Scheduler;
use crate::state::lease::Lease;

/// How many of the batches that wait for an op are asked since when they do.
const ASKED: usize = 8;

/// What will become rows of a run's timeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// The attempts that run, by their leases.
    pub running: Vec<(LeaseId, TimelineEntry)>,
    /// Since when the oldest task waits that has not started, as far as it is easily known: of the batches that wait
    /// for one op only the first few are asked.
    pub oldest_waiting: Option<Time>,
}

impl Scheduler {
    /// Returns what runs and waits of a run. Costs the number of leases, whatever the number of batches.
    pub fn outlook(&self, id: RunId) -> Outlook {
        let Some(run) = self.runs.get(&id) else {
            return Outlook::default();
        };
        let leases = || self.leases.values().filter(|lease| lease.run == id);
        let running = leases().filter_map(|lease| {
            let worker = &self.sessions.get(&lease.session)?.worker;
            Some((lease.id, lease.running_entry(lease.running?, worker)))
        });
        let queued = |lease: &Lease| !run.queued.contains(&lease.id);
        let leased = leases().filter(|lease| lease.running.is_none() && lease.has_more_steps() && queued(lease));
        let waiting = run.job.op_ids().flat_map(|op| {
            let first = run.ready.waiting_for(op).iter().take(ASKED);
            first
                .filter_map(|batch| run.batches.get(batch))
                .map(|batch| batch.ready_since)
        });
        Outlook {
            running: running.collect(),
            oldest_waiting: leased.map(|lease| lease.queued).chain(waiting).min(),
        }
    }
}
