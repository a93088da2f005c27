//! `plumb worker`: runs a worker until it is asked to leave.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use common::ids::WorkerName;
use common::units::{ByteSize, parse_duration};
use proto::token::WorkerToken;
use tokio::sync::oneshot;
use worker::{AllowedPrograms, Worker, WorkerConfig};

use super::{CommandError, system};
use crate::exit::Exit;
use crate::signals::Signals;
use crate::{memory, output};

const EXAMPLES: &str = "\
Examples:
  plumb worker
  plumb worker --coordinator http://10.0.0.7:50052 --slots 8 --name w1
  plumb worker --coordinator http://10.0.0.7:50052 --worker-token-file token --exchange 0.0.0.0:50053

When it is ready it prints one line on standard output:
  ready worker=w1 exchange=http://127.0.0.1:40001
The first SIGTERM or Ctrl-C drains it: it finishes what it holds, hands over the rest, and leaves. The second ends it at once.";

/// Whom it works for, and with what.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The coordinator's WorkerService; of several, separated by commas, the first that answers.
    #[arg(
        long,
        env = "PLUMB_COORDINATOR",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:50052"
    )]
    coordinator: Vec<String>,
    /// A file with the secret that the coordinator asks its workers for.
    #[arg(long, env = "PLUMB_WORKER_TOKEN_FILE", value_name = "FILE")]
    worker_token_file: Option<PathBuf>,
    /// The name under which it is known; a later process of the same name takes its place [default: host and process id].
    #[arg(long, env = "PLUMB_NAME", value_name = "NAME")]
    name: Option<String>,
    /// How many tasks it runs at once [default: as many as there are processors, or as a container's share of them allows].
    #[arg(long, env = "PLUMB_SLOTS", value_name = "N")]
    slots: Option<NonZeroU32>,
    /// Where the exchange listens, from which other workers fetch parked outputs; port 0 takes any free one.
    #[arg(long, env = "PLUMB_EXCHANGE", value_name = "ADDR", default_value = "127.0.0.1:0")]
    exchange: SocketAddr,
    /// How other workers reach the exchange [default: where it listens; on 0.0.0.0, the address that reaches the coordinator].
    #[arg(long, env = "PLUMB_ADVERTISE", value_name = "URL")]
    advertise: Option<String>,
    /// How much memory batches may take; parked outputs that do not fit beside what runs are spilled [default: half of what a memory limit,
    /// such as a container's, leaves after 64 MiB for the program and 32 MiB a slot; 256 MiB where there is no limit].
    #[arg(long, env = "PLUMB_PARKING_MEMORY", value_name = "SIZE")]
    parking_memory: Option<ByteSize>,
    /// The folder for spilled outputs [default: the system's for temporary files].
    #[arg(long, env = "PLUMB_SPILL_DIR", value_name = "DIR")]
    spill_dir: Option<PathBuf>,
    /// How long it may take to leave when it is asked to.
    #[arg(long, env = "PLUMB_DRAIN_GRACE", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    drain_grace: Duration,
    /// A program that jobs may run with the `exec` op: a name, looked for in PATH now, or an absolute path; may be given several
    /// times. Whoever submits jobs chooses its arguments, so a shell or an interpreter allows everything. [default: none]
    #[arg(
        long = "allow-exec",
        env = "PLUMB_ALLOW_EXEC",
        value_name = "PROGRAM",
        value_delimiter = ','
    )]
    allow_exec: Vec<String>,
    /// Words for people and tools, shown beside the worker.
    #[arg(long = "label", env = "PLUMB_LABELS", value_name = "KEY=VALUE", value_delimiter = ',', value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Let the exchange listen on an address that other machines can reach, although nothing is encrypted and there is no worker token.
    #[arg(long, env = "PLUMB_INSECURE")]
    insecure: bool,
    /// Prints no line when it is ready: a local cluster's output is the run's.
    #[arg(long, hide = true)]
    not_ready_line: bool,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut signals = Signals::listen().map_err(system("listen for signals"))?;
    let quiet = args.not_ready_line;
    let config = configure(args)?;
    let name = config.name.clone();
    let advertised = config.advertise.clone();
    let (handle, shutdown) = worker::shutdown();
    let (ready, became_ready) = oneshot::channel();
    let working = Worker::new(config).run(shutdown, ready);
    tokio::pin!(working);
    let announce = async {
        if let Ok(ready) = became_ready.await
            && !quiet
        {
            let exchange = advertised.unwrap_or_else(|| format!("http://{}", ready.exchange));
            output::result(&format!("ready worker={name} exchange={exchange}"));
        }
    };
    tokio::pin!(announce);
    let mut announced = false;
    let mut asked = 0_u32;
    loop {
        tokio::select! {
            outcome = &mut working => {
                return outcome.map(|()| Exit::Ok).map_err(|error| CommandError::Service(error.to_string()));
            }
            () = &mut announce, if !announced => announced = true,
            () = signals.next() => {
                asked += 1;
                match asked {
                    1 => handle.drain(),
                    2 => handle.leave_now(),
                    _ => return Err(CommandError::Service("asked three times to stop: left at once".to_owned())),
                }
            }
        }
    }
}

/// Turns flags into a configuration, or says which of them cannot be.
fn configure(args: Args) -> Result<WorkerConfig, CommandError> {
    if !args.insecure && args.worker_token_file.is_none() && !args.exchange.ip().is_loopback() {
        return Err(CommandError::Usage(format!(
            "--exchange {} can be reached by other machines, and nothing is encrypted yet; \
             name a --worker-token-file, listen on 127.0.0.1, or say --insecure where the network is trusted",
            args.exchange
        )));
    }
    let name = args.name.unwrap_or_else(default_name);
    let name = WorkerName::new(&name).map_err(|error| CommandError::Usage(format!("--name {name}: {error}")))?;
    let processors = available_parallelism()
        .ok()
        .and_then(|count| u32::try_from(count.get()).ok());
    let slots = args
        .slots
        .or(processors.and_then(NonZeroU32::new))
        .unwrap_or(NonZeroU32::MIN);
    if slots.get() > common::limits::MAX_SLOTS {
        return Err(CommandError::Usage(format!(
            "--slots {slots}: a worker has at most {} slots; start more workers",
            common::limits::MAX_SLOTS
        )));
    }
    let mut config = WorkerConfig::new(args.coordinator, name, slots);
    let token = args.worker_token_file.as_deref().map(WorkerToken::read).transpose();
    config.token = token.map_err(|error| CommandError::Usage(error.to_string()))?;
    config.exchange = args.exchange;
    config.advertise = args.advertise;
    let limit = memory::limit();
    config.parking_memory = args
        .parking_memory
        .unwrap_or_else(|| memory::parking_share(limit, slots));
    let memory_limit = limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
    tracing::info!(slots, %memory_limit, parking_memory = %config.parking_memory, "configured");
    config.drain_grace = args.drain_grace;
    config.allowed_programs = allowed_programs(&args.allow_exec)?;
    config.labels = args.labels.into_iter().collect();
    if let Some(folder) = args.spill_dir {
        config.spill_dir = folder;
    }
    Ok(config)
}

/// Finds the programs that jobs may run.
pub(super) fn allowed_programs(names: &[String]) -> Result<AllowedPrograms, CommandError> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    AllowedPrograms::find(names, &search).map_err(|error| CommandError::Usage(format!("--allow-exec: {error}")))
}

/// Names a worker so that two of one machine, and two of two, differ.
fn default_name() -> String {
    let uname = rustix::system::uname();
    let host: String = uname
        .nodename()
        .to_string_lossy()
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-')
        .take(60)
        .collect();
    format!("{host}-{}", std::process::id())
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("write KEY=VALUE, as in zone=a".to_owned()),
    }
}
