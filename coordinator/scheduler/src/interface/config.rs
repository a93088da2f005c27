//! What the scheduler is told once, when it is made.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use common::ids::Generation;
use common::job::PoolName;
use common::state::Reopening;

/// The numbers that the whole coordinator shares.
#[derive(Clone, Debug)]
pub struct Config {
    /// This incarnation of the coordinator; leases and sessions carry it.
    pub generation: Generation,
    /// How many tasks may run at once over all runs and workers; `None` leaves it to the slots.
    pub global_cap: Option<NonZeroU32>,
    /// The limits that runs share, as they are declared at the start.
    pub pools: BTreeMap<PoolName, NonZeroU32>,
    /// How long a lease lives after its worker was last heard.
    pub lease_time: Duration,
    /// What is added before a lease that ended is counted as free: clocks may run at different rates.
    pub lease_margin: Duration,
    /// How long a worker may be disconnected before its batches are leased elsewhere.
    pub reconnect_patience: Duration,
    /// How long after a restart no batch is begun anew while workers may still come that hold some.
    pub reattach_patience: Duration,
    /// How many slices of a run are found ahead of admission.
    pub slices_ahead: u32,
    /// Whether runs that have ended with failures may go on again.
    pub reopening: Reopening,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            generation: Generation(1),
            global_cap: None,
            pools: BTreeMap::new(),
            lease_time: Duration::from_secs(5),
            lease_margin: Duration::from_millis(500),
            reconnect_patience: Duration::from_secs(1),
            reattach_patience: Duration::from_millis(1_500),
            slices_ahead: 64,
            reopening: Reopening::Possible,
        }
    }
}
