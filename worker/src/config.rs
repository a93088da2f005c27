//! What a worker is told once, when it is made.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use common::ids::WorkerName;
use common::units::ByteSize;
use proto::token::WorkerToken;

use crate::ops::exec::AllowedPrograms;

/// A worker's configuration, typed and checked; the program that runs the worker reads it from flags and environment.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The coordinator's WorkerService, as URLs that are tried in turn; never empty.
    pub coordinators: Vec<String>,
    /// What is shown to the coordinator, if it asks for a token.
    pub token: Option<WorkerToken>,
    /// The name under which the worker is known; a later process of the same name takes its place.
    pub name: WorkerName,
    /// How many tasks it runs at once.
    pub slots: NonZeroU32,
    /// Where the exchange listens; port 0 takes a free one.
    pub exchange: SocketAddr,
    /// How other workers reach the exchange, as an URL; `None` is the address it listens on, or where that is every
    /// address of the machine, the one from which the coordinator is reached.
    pub advertise: Option<String>,
    /// How many bytes of batches are held in memory; parked outputs that do not fit beside what runs are spilled.
    pub parking_memory: ByteSize,
    /// The folder in which spilled outputs get their (unlinked) files.
    pub spill_dir: PathBuf,
    /// How long a draining worker finishes ops and serves what it keeps.
    pub drain_grace: Duration,
    /// How long a worker that was told to leave at once waits for its ops to stop.
    pub leave_grace: Duration,
    /// How long an op may go on after its time-out before the process ends.
    pub timeout_grace: Duration,
    /// The programs that jobs may run here; none unless somebody allows them.
    pub allowed_programs: AllowedPrograms,
    /// Free words for people and tools.
    pub labels: BTreeMap<String, String>,
}

impl WorkerConfig {
    /// Makes a configuration with every default.
    pub fn new(coordinators: Vec<String>, name: WorkerName, slots: NonZeroU32) -> WorkerConfig {
        WorkerConfig {
            coordinators,
            token: None,
            name,
            slots,
            exchange: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise: None,
            parking_memory: ByteSize(256 << 20),
            spill_dir: std::env::temp_dir(),
            drain_grace: Duration::from_secs(30),
            leave_grace: Duration::from_secs(2),
            timeout_grace: Duration::from_secs(10),
            allowed_programs: AllowedPrograms::default(),
            labels: BTreeMap::new(),
        }
    }
}
