//! A local cluster of real processes: one coordinator and some workers, children of this process.
//!
//! Owns the children, the folder of their state and their way out. Each is this very program, in a process group of
//! its own, so that a Ctrl-C in the terminal reaches only the parent, which ends them in order. They end with the
//! parent even when it is killed (`--exit-with-parent`). The kernel ties that to the thread that spawns them, so a
//! cluster is started on the main thread. A worker that ends early is no failure of the cluster: the run goes on with
//! the others. The folder that a parent killed with SIGKILL leaves behind is removed by the next cluster.

mod child;
mod folder;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::state::Reopening;
use tokio::io::AsyncBufReadExt as _;
use tokio::time::{Instant, sleep, timeout};

use self::child::Child;
use self::folder::Folder;
use crate::client::{Client, ClientError};
use crate::output::Screen;

/// How long a process may take to be ready.
const START: Duration = Duration::from_secs(20);
/// How long a worker may take to finish what it holds when it is asked to leave.
const DRAIN: Duration = Duration::from_secs(15);
/// How long the coordinator may take to leave.
const LEAVE: Duration = Duration::from_secs(5);

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub(crate) struct ClusterOptions {
    /// Where the coordinator listens; port 0 takes any free one.
    pub(crate) ports: Ports,
    /// How many worker processes.
    pub(crate) workers: u32,
    /// How many slots each of them has.
    pub(crate) slots: u32,
    /// The programs that jobs may run on the workers.
    pub(crate) allow_exec: Vec<String>,
    /// Where the children's log lines go.
    pub(crate) logs: Logs,
    /// Which log lines they write.
    pub(crate) levels: String,
    /// Whether runs may go on again after their end.
    pub(crate) reopening: Reopening,
}

/// Where a coordinator listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// JobService.
    pub(crate) grpc: SocketAddr,
    /// WorkerService.
    pub(crate) worker_grpc: SocketAddr,
    /// The web page.
    pub(crate) web: SocketAddr,
}

impl Ports {
    /// Any free ones, on loopback.
    pub(crate) fn any() -> Ports {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Ports {
            grpc: any,
            worker_grpc: any,
            web: any,
        }
    }
}

/// Where the children's log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logs {
    /// To standard error, above the progress bar.
    Screen,
    /// To files in the cluster's folder.
    Files,
}

/// Why a cluster is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// Something of the system failed.
    #[error("cannot start a local cluster: {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// A process ended before it was ready.
    #[error("{name} ended before it was ready ({how}){log}")]
    NotReady {
        /// Which one.
        name: String,
        /// How it ended.
        how: String,
        /// Its last words.
        log: String,
    },
    /// A process took too long.
    #[error("{name} was not ready within {} s", START.as_secs())]
    TooSlow {
        /// Which one.
        name: String,
    },
    /// The cluster is gone while it is needed.
    #[error("{what} ({how}){log}")]
    Lost {
        /// What ended.
        what: String,
        /// How.
        how: String,
        /// Its last words.
        log: String,
    },
    /// The coordinator does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A running cluster. Dropped without [`Cluster::stop`], it is killed.
pub(crate) struct Cluster {
    coordinator: Child,
    workers: Vec<Child>,
    addresses: Addresses,
    screen: Screen,
    /// Dropped last: the children write there.
    folder: Folder,
}

/// Where a coordinator really listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// JobService.
    pub(crate) grpc: String,
    /// WorkerService.
    pub(crate) worker_grpc: String,
    /// The web page.
    pub(crate) web: String,
}

impl Cluster {
    /// Starts all processes and waits until every worker is connected.
    pub(crate) async fn start(options: &ClusterOptions, screen: &Screen) -> Result<Cluster, ClusterError> {
        let system = |what| move |source| ClusterError::System { what, source };
        let folder = Folder::make().map_err(system("its folder"))?;
        let mut coordinator = Child::coordinator(options, folder.path(), screen).map_err(system("the coordinator"))?;
        let addresses = ready_line(&mut coordinator).await?;
        let mut workers = Vec::new();
        for number in 1..=options.workers {
            let worker = Child::worker(options, number, &addresses.worker_grpc, folder.path(), screen);
            workers.push(worker.map_err(system("a worker"))?);
        }
        let mut cluster = Cluster {
            coordinator,
            workers,
            addresses,
            screen: screen.clone(),
            folder,
        };
        cluster.wait_for_workers().await?;
        Ok(cluster)
    }

    /// Returns where the coordinator listens.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Returns the folder of the cluster's state and logs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Connects to the coordinator.
    pub(crate) async fn client(&self) -> Result<Client, ClientError> {
        Client::connect(std::slice::from_ref(&self.addresses.grpc)).await
    }

    /// Waits until the cluster cannot go on: the coordinator has ended, or all workers have. Safe to be dropped.
    pub(crate) async fn lost(&mut self) -> ClusterError {
        loop {
            if let Some(how) = self.coordinator.ended() {
                return ClusterError::Lost {
                    what: "the coordinator ended".to_owned(),
                    how,
                    log: self.coordinator.last_words(),
                };
            }
            for worker in &mut self.workers {
                if let Some(how) = worker.newly_ended() {
                    self.screen.line(&format!("{} ended ({how})", worker.name()));
                }
            }
            if let Some(error) = self.all_workers_ended() {
                return error;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends everything in order: the workers finish what they hold, then the coordinator leaves, then the folder goes.
    pub(crate) async fn stop(mut self) {
        for worker in &mut self.workers {
            worker.terminate();
        }
        let deadline = Instant::now() + DRAIN;
        for worker in &mut self.workers {
            worker.wait_or_kill(deadline).await;
        }
        self.coordinator.terminate();
        self.coordinator.wait_or_kill(Instant::now() + LEAVE).await;
        if let Err(error) = self.folder.close() {
            tracing::warn!(%error, "the cluster's folder could not be removed");
        }
    }

    fn all_workers_ended(&mut self) -> Option<ClusterError> {
        let mut last = None;
        for worker in &mut self.workers {
            last = Some((worker.ended()?, worker.last_words()));
        }
        last.map(|(how, log)| ClusterError::Lost {
            what: "every worker ended".to_owned(),
            how,
            log,
        })
    }

    async fn wait_for_workers(&mut self) -> Result<(), ClusterError> {
        let mut client = self.client().await?;
        let deadline = Instant::now() + START;
        loop {
            let connected = client.workers().await?.len();
            if connected >= self.workers.len() {
                return Ok(());
            }
            for worker in &mut self.workers {
                if let Some(how) = worker.ended() {
                    return Err(ClusterError::NotReady {
                        name: worker.name().to_owned(),
                        how,
                        log: worker.last_words(),
                    });
                }
            }
            if Instant::now() >= deadline {
                return Err(ClusterError::TooSlow {
                    name: format!("worker {}", connected + 1),
                });
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Reads the line with which a coordinator says where it listens.
async fn ready_line(coordinator: &mut Child) -> Result<Addresses, ClusterError> {
    let mut lines = coordinator.take_stdout();
    let mut line = String::new();
    match timeout(START, lines.read_line(&mut line)).await {
        Err(_) => {
            return Err(ClusterError::TooSlow {
                name: coordinator.name().to_owned(),
            });
        }
        Ok(Ok(_)) if line.starts_with("ready ") => {}
        Ok(Ok(_) | Err(_)) => {
            let how = coordinator.wait().await;
            return Err(ClusterError::NotReady {
                name: coordinator.name().to_owned(),
                how,
                log: coordinator.last_words(),
            });
        }
    }
    Ok(read_ready(&line))
}

fn read_ready(line: &str) -> Addresses {
    let mut addresses = Addresses::default();
    for (key, value) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
        match key {
            "grpc" => value.clone_into(&mut addresses.grpc),
            "worker-grpc" => value.clone_into(&mut addresses.worker_grpc),
            "web" => value.clone_into(&mut addresses.web),
            _ => {}
        }
    }
    addresses
}

/// Returns where a child writes its log.
fn log_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_the_bound_addresses() {
        let line = "ready grpc=127.0.0.1:1 worker-grpc=127.0.0.1:2 web=127.0.0.1:3\n";
        let addresses = read_ready(line);
        assert_eq!(
            (
                addresses.grpc.as_str(),
                addresses.worker_grpc.as_str(),
                addresses.web.as_str()
            ),
            ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
        );
    }
}
