//! The coordinator's host: the real driver, service and gRPC servers, on the simulated network, clock and disk.

use std::path::PathBuf;
use std::time::Duration;

use coordinator::blocking::Blocking;
use coordinator::clock::Clock;
use coordinator::driver::Driver;
use coordinator::grpc::{SessionTerms, serve_jobs, serve_workers};
use coordinator::registry::Retention;
use coordinator::service::Service;
use coordinator::shutdown::shutdown_channel;
use coordinator::source::Sharder;
use coordinator::store::{EmbeddedJournal, Journal as _, StateDir};
use coordinator::submit::Folders;
use coordinator::timeline::Timelines;

use crate::disk::SimulatedDisk;
use crate::network::SimulatedListener;
use crate::trace::Trace;

/// What the host is called.
pub(crate) const HOST: &str = "coordinator";
/// Where JobService is.
pub(crate) const JOBS: u16 = 50_051;
/// Where WorkerService is.
pub(crate) const WORKERS: u16 = 50_052;

const LEASE_TIME: Duration = Duration::from_secs(2);
const LEASE_MARGIN: Duration = Duration::from_millis(200);
const HEARTBEAT: Duration = Duration::from_millis(400);
/// The wall clock when a history begins.
const EPOCH_NANOS: u64 = 1_700_000_000_000_000_000;

/// What a coordinator is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Where input, output and state are.
    pub(crate) folder: PathBuf,
    /// How long a sync of its disk takes.
    pub(crate) sync: Duration,
    pub(crate) trace: Trace,
}

/// Runs a coordinator until its host is crashed.
pub(crate) async fn run(setup: Setup) -> turmoil::Result {
    let Setup { folder, sync, trace } = setup;
    let state = StateDir::open(&folder.join("state"))?;
    let journal = EmbeddedJournal::open(state.path(), state.generation())?;
    let generation = journal.generation();
    trace.tell(|| format!("the coordinator starts under generation {}", generation.0));
    let clock = Clock::simulated(simulated_nanos, EPOCH_NANOS);
    let config = scheduler::Config {
        generation,
        lease_time: LEASE_TIME,
        lease_margin: LEASE_MARGIN,
        ..scheduler::Config::default()
    };
    let retention = Retention {
        runs: 100,
        age: Duration::from_secs(86_400),
    };
    let disk = SimulatedDisk::new(journal, sync);
    let (mut driver, mut handle) = Driver::new(
        config,
        clock,
        Box::new(disk),
        Timelines::in_memory(),
        retention,
        |job, source| Box::new(Sharder::new(source.clone(), job.source.csv.clone(), job.batching)),
    );
    driver.block_in(&mut handle, Blocking::InPlace);
    let service = Service::new(handle.clone(), Folders::new(&folder, &folder, &[])?);
    let terms = SessionTerms {
        generation,
        heartbeat_interval: HEARTBEAT,
        lease_time: LEASE_TIME,
        lease_margin: LEASE_MARGIN,
        boot_id: "the machine of the coordinator".to_owned(),
    };
    let (_trigger, shutdown) = shutdown_channel();
    let workers = SimulatedListener::bind(WORKERS, trace.clone()).await?;
    let workers = serve_workers(workers, handle, service.clone(), clock, terms, None, shutdown.clone());
    let jobs = SimulatedListener::bind(JOBS, trace).await?;
    let jobs = serve_jobs(jobs, service, shutdown.clone());
    tokio::try_join!(
        async { driver.run(shutdown).await.map_err(turmoil_error) },
        async { workers.await.map_err(turmoil_error) },
        async { jobs.await.map_err(turmoil_error) },
    )?;
    Ok(())
}

fn turmoil_error(error: impl std::error::Error + 'static) -> Box<dyn std::error::Error> {
    Box::new(error)
}

/// Returns what the clock of every machine has in common.
pub(crate) fn simulated_nanos() -> u64 {
    turmoil::sim_elapsed().unwrap_or_default().as_nanos() as u64
}
