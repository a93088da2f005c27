//! Puts a coordinator together: [`Coordinator::bind`] builds, [`Coordinator::run`] runs and stops cleanly.
//!
//! Two threads: the core thread runs the driver and the workers' streams on a current-thread runtime of its own, where
//! a message costs no switch between threads; the caller's runtime serves people (JobService and web). Files are read
//! on blocking threads of either. When any part ends, the others are told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::ids::Generation;
use common::state::Reopening;
use proto::token::{TokenError, WorkerToken};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::config::{ConfigError, CoordinatorConfig};
use crate::driver::{Driver, DriverError, DriverHandle};
use crate::grpc::{ServeError, SessionTerms, serve_jobs, serve_workers};
use crate::registry::Retention;
use crate::service::Service;
use crate::shutdown::{Shutdown, shutdown_channel};
use crate::source::{Sharder, SourceError};
use crate::store::{EmbeddedJournal, Journal, JournalError, MemoryJournal, StateDir, StateDirError};
use crate::submit::Folders;
use crate::timeline::Timelines;
use crate::web::{PageOptions, serve_web};

/// How long connections may take to end when the coordinator stops.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// A coordinator that listens and does not serve yet.
pub struct Coordinator {
    config: CoordinatorConfig,
    /// Held for its lock.
    _state: Option<StateDir>,
    journal: Box<dyn Journal>,
    timelines: Arc<Timelines>,
    folders: Folders,
    worker_token: Option<WorkerToken>,
    jobs: TcpListener,
    workers: std::net::TcpListener,
    web: TcpListener,
    addresses: Addresses,
}

/// Where a coordinator listens; ports are the real ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// JobService.
    pub grpc: SocketAddr,
    /// WorkerService.
    pub worker_grpc: SocketAddr,
    /// The web page.
    pub web: SocketAddr,
}

/// Why a coordinator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The flags do not fit together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// The journal in the state folder cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The timelines in the state folder cannot be used.
    #[error("failed to make the folder of the timelines: {0}; check --state")]
    Timelines(#[source] io::Error),
    /// A root does not exist.
    #[error("failed to open the folders of --allow-root and --data-root: {0}")]
    Root(#[from] SourceError),
    /// The workers' token cannot be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A port is taken.
    #[error("{address} is in use by another program; stop it, or choose another address with {flag}")]
    InUse {
        /// The flag that names the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// An address cannot be listened on.
    #[error("failed to listen on {address}: {source}; choose another address with {flag}")]
    Listen {
        /// The flag that names the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a coordinator stopped although nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The driver cannot go on.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A server cannot go on.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The system refused something.
    #[error("failed to run the coordinator: {0}")]
    Io(#[from] io::Error),
    /// The core thread panicked.
    #[error("the driver panicked; its log says why")]
    Panicked,
}

impl Coordinator {
    /// Checks the flags, takes the ports, locks the state folder and reads its journal. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`] says which flag to change.
    pub fn bind(config: CoordinatorConfig) -> Result<Coordinator, BindError> {
        config.check()?;
        let folders = Folders::new(&config.data_root, &config.output_root, &config.allow_root)?
            .with_checkpoint_root(config.checkpoint_root.as_deref());
        let worker_token = config.worker_token_file.as_deref().map(WorkerToken::read).transpose()?;
        let jobs = listen("--grpc", config.grpc)?;
        let workers = listen("--worker-grpc", config.worker_grpc)?;
        let web = listen("--web", config.web)?;
        let state = config.state.as_deref().map(StateDir::open).transpose()?;
        let journal: Box<dyn Journal> = match &state {
            Some(state) => Box::new(EmbeddedJournal::open(state.path(), state.generation())?),
            None => Box::new(MemoryJournal::new(generation_of_now())),
        };
        let timelines = match &state {
            Some(state) => Timelines::in_folder(&state.path().join("timeline")).map_err(BindError::Timelines)?,
            None => Timelines::in_memory(),
        };
        let address = |flag, listener: &std::net::TcpListener, wanted| {
            listener
                .local_addr()
                .map_err(|source| listen_error(flag, wanted, source))
        };
        let addresses = Addresses {
            grpc: address("--grpc", &jobs, config.grpc)?,
            worker_grpc: address("--worker-grpc", &workers, config.worker_grpc)?,
            web: address("--web", &web, config.web)?,
        };
        Ok(Coordinator {
            _state: state,
            journal,
            timelines,
            folders,
            worker_token,
            jobs: TcpListener::from_std(jobs).map_err(|source| listen_error("--grpc", config.grpc, source))?,
            workers,
            web: TcpListener::from_std(web).map_err(|source| listen_error("--web", config.web, source))?,
            addresses,
            config,
        })
    }

    /// Returns where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `stop` is done, then ends every stream and connection and returns.
    ///
    /// # Errors
    /// [`RunError`] when a part cannot go on; the others were stopped then.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let clock = Clock::start();
        let generation = self.journal.generation();
        let (trigger, shutdown) = shutdown_channel();
        let scheduler_config = scheduler::Config {
            generation,
            global_cap: self.config.max_concurrent,
            pools: self.config.pools.iter().cloned().collect(),
            lease_time: self.config.lease_time,
            lease_margin: self.config.lease_margin(),
            reopening: if self.config.final_runs {
                Reopening::Never
            } else {
                Reopening::Possible
            },
            ..scheduler::Config::default()
        };
        let retention = Retention {
            runs: self.config.keep_runs as usize,
            age: self.config.keep_runs_for,
        };
        let (driver, handle) = Driver::new(
            scheduler_config,
            clock,
            self.journal,
            self.timelines,
            retention,
            |job, source| Box::new(Sharder::new(source.clone(), job.source.csv.clone(), job.batching)),
        );
        let service = Service::new(handle.clone(), self.folders);
        let core = Core {
            driver,
            handle,
            service: service.clone(),
            workers: self.workers,
            clock,
            worker_token: self.worker_token,
            terms: SessionTerms {
                generation,
                heartbeat_interval: self.config.heartbeat_interval,
                lease_time: self.config.lease_time,
                lease_margin: self.config.lease_margin(),
                boot_id: boot_id(),
            },
            shutdown: shutdown.clone(),
        };
        let (core_ended, core_end) = oneshot::channel();
        let thread = thread::Builder::new().name("core".to_owned()).spawn(move || {
            // An error says that the coordinator's other half panicked.
            let _ = core_ended.send(core.run());
        })?;
        let jobs = serve_jobs(self.jobs, service.clone(), shutdown.clone());
        let options = PageOptions {
            ui_dir: self.config.ui_dir,
            grpc: self.addresses.grpc,
        };
        let web = serve_web(self.web, service, options, shutdown.clone());
        tracing::info!(generation = generation.0, grpc = %self.addresses.grpc, "coordinator serves");

        let people = async {
            tokio::try_join!(async { jobs.await.map_err(RunError::from) }, async {
                web.await.map_err(RunError::from)
            })
        };
        tokio::pin!(people, stop, core_end);
        let first = tokio::select! {
            () = &mut stop => Ok(()),
            served = &mut people => served.map(|_| ()),
            ended = &mut core_end => ended.unwrap_or(Err(RunError::Panicked)),
        };
        trigger.request();
        // What does not end in time is cut off when the runtimes are dropped.
        let _ = tokio::time::timeout(STOP_PATIENCE, async {
            let _ = people.await;
        })
        .await;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        tracing::info!("coordinator stopped");
        match joined {
            Ok(Ok(())) => first,
            Ok(Err(_)) | Err(_) => Err(RunError::Panicked),
        }
    }
}

/// What runs on the core thread.
struct Core {
    driver: Driver,
    handle: DriverHandle,
    service: Service,
    workers: std::net::TcpListener,
    clock: Clock,
    worker_token: Option<WorkerToken>,
    terms: SessionTerms,
    shutdown: Shutdown,
}

impl Core {
    fn run(self) -> Result<(), RunError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = runtime.block_on(async {
            let listener = TcpListener::from_std(self.workers)?;
            let Core {
                driver,
                handle,
                service,
                clock,
                worker_token,
                terms,
                shutdown,
                ..
            } = self;
            let workers = serve_workers(listener, handle, service, clock, terms, worker_token, shutdown.clone());
            let driver = driver.run(shutdown);
            tokio::pin!(workers, driver);
            tokio::select! {
                ended = &mut driver => {
                    ended?;
                    let _ = tokio::time::timeout(STOP_PATIENCE, workers).await;
                    Ok(())
                }
                served = &mut workers => {
                    served?;
                    Ok(driver.await?)
                }
            }
        });
        runtime.shutdown_timeout(STOP_PATIENCE);
        outcome
    }
}

fn listen(flag: &'static str, address: SocketAddr) -> Result<std::net::TcpListener, BindError> {
    let bound = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|source| listen_error(flag, address, source))
}

fn listen_error(flag: &'static str, address: SocketAddr, source: io::Error) -> BindError {
    if source.kind() == io::ErrorKind::AddrInUse {
        BindError::InUse { flag, address }
    } else {
        BindError::Listen { flag, address, source }
    }
}

/// Without a state folder nothing remembers the last generation, so the wall clock stands in: it rises with each start.
fn generation_of_now() -> Generation {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Generation(since_epoch.as_secs())
}

/// Returns what names the boot of this machine; empty where the system does not say.
fn boot_id() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.map(|text| text.trim().to_owned()).unwrap_or_default()
}
