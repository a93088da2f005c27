//! What a coordinator is started with: flags and environment variables, checked once.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use common::job::PoolName;
use common::units::parse_duration;

/// The shortest lease: below it a hiccup of the network would lose every lease.
const SHORTEST_LEASE: Duration = Duration::from_millis(200);

fn parse_pool(text: &str) -> Result<(PoolName, NonZeroU32), String> {
    let want = || format!("{text:?} is no pool: write its name and its limit, as in geocoder=16");
    let (name, limit) = text.split_once('=').ok_or_else(want)?;
    let name = PoolName::new(name).map_err(|error| error.to_string())?;
    Ok((name, limit.parse().map_err(|_| want())?))
}

/// The flags of a coordinator.
#[derive(Clone, Debug, clap::Args)]
pub struct CoordinatorConfig {
    /// Where JobService listens, for people and tools.
    #[arg(long, env = "PLUMB_GRPC", value_name = "ADDR", default_value = "127.0.0.1:50051")]
    pub grpc: SocketAddr,

    /// Where WorkerService listens, for workers.
    #[arg(
        long,
        env = "PLUMB_WORKER_GRPC",
        value_name = "ADDR",
        default_value = "127.0.0.1:50052"
    )]
    pub worker_grpc: SocketAddr,

    /// A file with the secret that workers have to show; asked for when they come from other machines.
    #[arg(long, env = "PLUMB_WORKER_TOKEN_FILE", value_name = "FILE")]
    pub worker_token_file: Option<PathBuf>,

    /// Where the web page and its API listen.
    #[arg(long, env = "PLUMB_WEB", value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub web: SocketAddr,

    /// The folder that the coordinator keeps its state in; one coordinator at a time. Without it a restart forgets everything.
    #[arg(long, env = "PLUMB_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// How many ended runs are kept.
    #[arg(long, env = "PLUMB_KEEP_RUNS", value_name = "N", default_value_t = 1_000)]
    pub keep_runs: u32,

    /// How long ended runs are kept.
    #[arg(long, env = "PLUMB_KEEP_RUNS_FOR", value_name = "DURATION", default_value = "30d", value_parser = parse_duration)]
    pub keep_runs_for: Duration,

    /// Keeps nothing that a run could go on from after it has ended with failures: for a coordinator that ends with its run.
    #[arg(long, env = "PLUMB_FINAL_RUNS", hide = true)]
    pub final_runs: bool,

    /// How many tasks may run at once over all runs and workers [default: as many as there are slots].
    #[arg(long, env = "PLUMB_MAX_CONCURRENT", value_name = "N")]
    pub max_concurrent: Option<NonZeroU32>,

    /// A limit that runs share, by name; may be given several times. An op takes a unit of each pool that it names.
    #[arg(long = "pool", env = "PLUMB_POOLS", value_name = "NAME=N", value_delimiter = ',', value_parser = parse_pool)]
    pub pools: Vec<(PoolName, NonZeroU32)>,

    /// A folder below which jobs may read and write; may be given several times [default: wherever this user may].
    #[arg(
        long = "allow-root",
        env = "PLUMB_ALLOW_ROOT",
        value_name = "DIR",
        value_delimiter = ':'
    )]
    pub allow_root: Vec<PathBuf>,

    /// The folder that relative paths of sources start at [default: the working folder].
    #[arg(
        long,
        env = "PLUMB_DATA_ROOT",
        value_name = "DIR",
        default_value = ".",
        hide_default_value = true
    )]
    pub data_root: PathBuf,

    /// The folder that relative paths of sinks start at [default: the working folder].
    #[arg(
        long,
        env = "PLUMB_OUTPUT_ROOT",
        value_name = "DIR",
        default_value = ".",
        hide_default_value = true
    )]
    pub output_root: PathBuf,

    /// The folder that checkpoints are kept in, which every worker sees; a job may name another one [default: beside the
    /// files that the job writes].
    #[arg(long, env = "PLUMB_CHECKPOINT_ROOT", value_name = "DIR")]
    pub checkpoint_root: Option<PathBuf>,

    /// How long a lease lives after its worker was last heard.
    #[arg(long, env = "PLUMB_LEASE_TIME", value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub lease_time: Duration,

    /// How often workers send a heartbeat.
    #[arg(long, env = "PLUMB_HEARTBEAT_INTERVAL", value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub heartbeat_interval: Duration,

    /// A folder that the pages' styles and scripts are read from instead of those in the program, for work on them.
    #[arg(long, env = "PLUMB_UI_DIR", value_name = "DIR", hide = true)]
    pub ui_dir: Option<PathBuf>,

    /// Listen on addresses that other machines can reach, although nothing is encrypted and nobody is asked who they are.
    #[arg(long, env = "PLUMB_INSECURE")]
    pub insecure: bool,
}

/// What is wrong with the flags together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// An address that others can reach, without saying that this is meant.
    #[error(
        "{flag} {address} can be reached by other machines, and nothing is encrypted yet; \
         listen on 127.0.0.1, or say --insecure where the network is trusted"
    )]
    Exposed {
        /// The flag.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// WorkerService on an address that others can reach, without a secret.
    #[error(
        "--worker-grpc {address} can be reached by other machines, and nobody is asked for a token; \
         name one with --worker-token-file, listen on 127.0.0.1, or say --insecure where the network is trusted"
    )]
    WithoutToken {
        /// The address.
        address: SocketAddr,
    },
    /// Leases would end between two heartbeats.
    #[error("--lease-time {lease:?} must be at least 3 times --heartbeat-interval {heartbeat:?}, and at least 200ms")]
    LeaseTooShort {
        /// The lease time.
        lease: Duration,
        /// The heartbeat interval.
        heartbeat: Duration,
    },
    /// Heartbeats without a pause.
    #[error("--heartbeat-interval must be at least 10ms")]
    HeartbeatTooShort,
}

impl CoordinatorConfig {
    /// Checks what a single flag cannot know.
    ///
    /// # Errors
    /// [`ConfigError`] says which flags to change.
    pub fn check(&self) -> Result<(), ConfigError> {
        let address = self.worker_grpc;
        if !self.insecure && !address.ip().is_loopback() && self.worker_token_file.is_none() {
            return Err(ConfigError::WithoutToken { address });
        }
        for (flag, address) in [("--grpc", self.grpc), ("--web", self.web)] {
            if !self.insecure && !address.ip().is_loopback() {
                return Err(ConfigError::Exposed { flag, address });
            }
        }
        if self.heartbeat_interval < Duration::from_millis(10) {
            return Err(ConfigError::HeartbeatTooShort);
        }
        if self.lease_time < SHORTEST_LEASE || self.lease_time < self.heartbeat_interval * 3 {
            return Err(ConfigError::LeaseTooShort {
                lease: self.lease_time,
                heartbeat: self.heartbeat_interval,
            });
        }
        Ok(())
    }

    /// Returns what is added to a lease before it counts as over: clocks may run at different rates.
    pub fn lease_margin(&self) -> Duration {
        self.lease_time / 10
    }
}

impl Default for CoordinatorConfig {
    /// The defaults of the flags, whatever the environment says.
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        CoordinatorConfig {
            grpc: local(50_051),
            worker_grpc: local(50_052),
            worker_token_file: None,
            web: local(3_000),
            state: None,
            final_runs: false,
            keep_runs: 1_000,
            keep_runs_for: Duration::from_secs(30 * 24 * 3_600),
            max_concurrent: None,
            pools: Vec::new(),
            allow_root: Vec::new(),
            data_root: PathBuf::from("."),
            output_root: PathBuf::from("."),
            checkpoint_root: None,
            lease_time: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(1),
            ui_dir: None,
            insecure: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_can_reach_has_to_be_meant() {
        let mut config = CoordinatorConfig {
            web: SocketAddr::from(([0, 0, 0, 0], 3_000)),
            ..CoordinatorConfig::default()
        };
        assert!(matches!(
            config.check(),
            Err(ConfigError::Exposed { flag: "--web", .. })
        ));
        config.insecure = true;
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn workers_of_other_machines_have_to_show_a_token() {
        let address = SocketAddr::from(([0, 0, 0, 0], 50_052));
        let mut config = CoordinatorConfig {
            worker_grpc: address,
            ..CoordinatorConfig::default()
        };
        assert_eq!(config.check(), Err(ConfigError::WithoutToken { address }));
        config.worker_token_file = Some(PathBuf::from("token"));
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn a_lease_lasts_for_several_heartbeats() {
        let config = CoordinatorConfig {
            lease_time: Duration::from_secs(2),
            ..CoordinatorConfig::default()
        };
        assert!(matches!(config.check(), Err(ConfigError::LeaseTooShort { .. })));
    }
}
