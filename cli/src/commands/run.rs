//! `plumb run`: a job on a local cluster of real processes that lives as long as the run.

use std::path::PathBuf;

use common::state::Reopening;

use super::gantt::charts;
use super::{CommandError, follow, resolve_here, system};
use crate::args::SpecArgs;
use crate::client::{CancelMode, Client, RunView};
use crate::cluster::{Cluster, ClusterOptions, Logs, Ports};
use crate::exit::Exit;
use crate::logging::LogArgs;
use crate::output::{self, Format, Screen};
use crate::progress::Progress;
use crate::signals::Signals;
use crate::spec::Spec;
use crate::timeline::{TimelineRow, to_json_lines};

const EXAMPLES: &str = "\
Examples:
  plumb run data/jobs/prio_dynamic_job.yaml
  plumb run job.yaml --workers 4 --slots 2 --set schedule.max_concurrent=6
  plumb run job.yaml --output results --timeline timeline.jsonl --json | tail -1

Relative paths in the spec start at this folder. Ctrl-C cancels the run and leaves nothing behind.";

/// A job, and the cluster to run it on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    size: SizeArgs,
    /// A program that the job may run with the `exec` op; may be given several times. [default: none]
    #[arg(long = "allow-exec", value_name = "PROGRAM")]
    allow_exec: Vec<String>,
    /// Where relative paths of sinks start. [default: this folder]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Writes the timeline there, as `plumb timeline --json` prints it.
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
    /// Prints the summary as one line of JSON, the last on standard output.
    #[arg(long)]
    json: bool,
}

/// How large a local cluster is.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SizeArgs {
    /// How many worker processes to start.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(super) workers: u32,
    /// How many tasks each of them runs at once.
    #[arg(long, default_value_t = 2, value_name = "M", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) slots: u32,
}

/// A run that has ended, and what it did.
pub(super) struct Finished {
    pub(super) view: RunView,
    pub(super) rows: Vec<TimelineRow>,
}

pub(super) async fn execute(args: Args, log: &LogArgs) -> Result<Exit, CommandError> {
    let mut spec = args.spec.load()?;
    super::worker::allowed_programs(&args.allow_exec)?;
    resolve_here(&mut spec, args.output)?;
    let options = ClusterOptions {
        // Nobody could retry there.
        reopening: Reopening::Never,
        ports: Ports::any(),
        workers: args.size.workers,
        slots: args.size.slots,
        allow_exec: args.allow_exec,
        logs: Logs::Screen,
        levels: log.levels_or("warn,plumbline::log_sink=info"),
    };
    let screen = Screen::new();
    let mut signals = Signals::listen().map_err(system("listen for signals"))?;
    let mut cluster = tokio::select! {
        started = Cluster::start(&options, &screen) => started?,
        // What was started so far is killed with what is dropped here.
        () = signals.next() => return Ok(Exit::Cancelled),
    };
    let finished = run_to_end(&mut cluster, &spec, &screen, &mut signals).await;
    tokio::select! {
        () = cluster.stop() => {}
        () = signals.next() => output::message("asked twice to stop: the cluster was killed"),
    }
    let finished = finished?;
    if let Some(file) = &args.timeline {
        std::fs::write(file, to_json_lines(&finished.rows)).map_err(|source| CommandError::Write {
            file: file.clone(),
            source,
        })?;
    }
    let format = Format::from_flag(args.json);
    if format == Format::Text {
        output::result(&charts(&finished.view, &finished.rows, output::width()));
    }
    follow::print(&finished.view, format);
    Ok(Exit::of_run(finished.view.summary.state))
}

/// Runs a job on a cluster to its end; the first request to stop cancels it.
pub(super) async fn run_to_end(
    cluster: &mut Cluster,
    spec: &Spec,
    screen: &Screen,
    signals: &mut Signals,
) -> Result<Finished, CommandError> {
    let mut client = cluster.client().await?;
    let run = client.submit(spec).await?;
    let mut progress = Progress::begin(screen);
    let view = watch_to_end(cluster, &mut client, &run, &mut progress, screen, signals).await;
    progress.end();
    let view = view?;
    let rows = client.timeline(&run).await?;
    Ok(Finished { view, rows })
}

async fn watch_to_end(
    cluster: &mut Cluster,
    client: &mut Client,
    run: &str,
    progress: &mut Progress,
    screen: &Screen,
    signals: &mut Signals,
) -> Result<RunView, CommandError> {
    let mut watch = client.watch(run).await?;
    let mut last = None;
    let mut cancelled = false;
    loop {
        tokio::select! {
            biased;
            () = signals.next() => {
                if cancelled {
                    return Err(CommandError::Service("asked twice to stop".to_owned()));
                }
                screen.line("cancelling the run");
                client.cancel(run, CancelMode::Now).await?;
                cancelled = true;
            }
            error = cluster.lost() => return Err(error.into()),
            update = watch.next() => match update? {
                Some(view) => {
                    progress.update(&view);
                    last = Some(view);
                }
                None => break,
            },
        }
    }
    match last {
        Some(view) => Ok(view),
        None => Ok(client.run(run).await?),
    }
}
