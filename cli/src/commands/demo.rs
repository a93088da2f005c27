//! `plumb demo`: the three sample jobs, one after another, on a local cluster that stays up.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use common::state::Reopening;

use super::gantt::charts;
use super::run::{SizeArgs, run_to_end};
use super::{CommandError, system};
use crate::cluster::{Cluster, ClusterOptions, Logs, Ports};
use crate::exit::Exit;
use crate::logging::LogArgs;
use crate::output::{self, Screen};
use crate::signals::Signals;
use crate::spec::Spec;
use crate::summary::compare;

const JOBS: [&str; 3] = ["static_job", "dynamic_job", "prio_dynamic_job"];

const EXAMPLES: &str = "\
Examples:
  plumb demo
  plumb demo --grpc 127.0.0.1:0 --worker-grpc 127.0.0.1:0 --web 127.0.0.1:0 --once";

/// The cluster to show the sample jobs on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where JobService listens; port 0 takes any free one.
    #[arg(long, env = "PLUMB_GRPC", value_name = "ADDR", default_value = "127.0.0.1:50051")]
    grpc: SocketAddr,
    /// Where WorkerService listens.
    #[arg(
        long,
        env = "PLUMB_WORKER_GRPC",
        value_name = "ADDR",
        default_value = "127.0.0.1:50052"
    )]
    worker_grpc: SocketAddr,
    /// Where the web page is.
    #[arg(long, env = "PLUMB_WEB", value_name = "ADDR", default_value = "127.0.0.1:3000")]
    web: SocketAddr,
    #[command(flatten)]
    size: SizeArgs,
    /// The folder of the sample jobs.
    #[arg(long, value_name = "DIR", default_value = "data/jobs")]
    jobs: PathBuf,
    /// Leaves after the comparison instead of staying up.
    #[arg(long)]
    once: bool,
}

pub(super) async fn execute(args: Args, log: &LogArgs) -> Result<Exit, CommandError> {
    let specs = load(&args.jobs)?;
    for (flag, variable, address) in [
        ("--grpc", "PLUMB_GRPC", args.grpc),
        ("--worker-grpc", "PLUMB_WORKER_GRPC", args.worker_grpc),
        ("--web", "PLUMB_WEB", args.web),
    ] {
        check_free(flag, variable, address)?;
    }
    let options = ClusterOptions {
        reopening: Reopening::Possible,
        ports: Ports {
            grpc: args.grpc,
            worker_grpc: args.worker_grpc,
            web: args.web,
        },
        workers: args.size.workers,
        slots: args.size.slots,
        allow_exec: Vec::new(),
        logs: Logs::Files,
        levels: log.levels_or("info"),
    };
    let screen = Screen::new();
    let mut signals = Signals::listen().map_err(system("listen for signals"))?;
    let mut cluster = tokio::select! {
        started = Cluster::start(&options, &screen) => started?,
        () = signals.next() => return Ok(Exit::Cancelled),
    };
    let shown = show_all(&mut cluster, &specs, &screen, &mut signals).await;
    let stay = !args.once && matches!(shown, Ok(Exit::Ok));
    let shown = if stay {
        output::result(&where_to_look(&cluster, &args));
        tokio::select! {
            () = signals.next() => shown,
            error = cluster.lost() => Err(error.into()),
        }
    } else {
        shown
    };
    tokio::select! {
        () = cluster.stop() => {}
        () = signals.next() => output::message("asked twice to stop: the cluster was killed"),
    }
    shown
}

fn load(folder: &std::path::Path) -> Result<Vec<Spec>, CommandError> {
    if !folder.is_dir() {
        return Err(CommandError::Usage(format!(
            "there are no sample jobs in {folder:?}; run this in the repository's folder, or name theirs with --jobs"
        )));
    }
    let here = std::env::current_dir().map_err(system("find the current folder"))?;
    let mut specs = Vec::new();
    for name in JOBS {
        let mut spec = Spec::load(&folder.join(format!("{name}.yaml")), &[])?;
        spec.resolve(&here, &here);
        specs.push(spec);
    }
    Ok(specs)
}

/// Says which flag to use when a port is taken, before anything is started.
fn check_free(flag: &str, variable: &str, address: SocketAddr) -> Result<(), CommandError> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => Err(CommandError::Service(format!(
            "cannot listen on {address}: {error}; choose another address with {flag} ADDR or {variable}, \
             as in {flag} {}:0 for any free port",
            address.ip()
        ))),
    }
}

async fn show_all(
    cluster: &mut Cluster,
    specs: &[Spec],
    screen: &Screen,
    signals: &mut Signals,
) -> Result<Exit, CommandError> {
    let mut summaries = Vec::new();
    for spec in specs {
        screen.line(&format!("running {}", spec.job().name));
        let finished = run_to_end(cluster, spec, screen, signals).await?;
        let view = &finished.view;
        output::result(&format!("\n{}\n", charts(view, &finished.rows, output::width())));
        output::result(&view.summary.to_text());
        output::result("\n");
        let exit = Exit::of_run(view.summary.state);
        if exit != Exit::Ok {
            return Ok(exit);
        }
        summaries.push(finished.view.summary);
    }
    output::result(&compare(&summaries));
    Ok(Exit::Ok)
}

fn where_to_look(cluster: &Cluster, args: &Args) -> String {
    let addresses = cluster.addresses();
    let grpc = &addresses.grpc;
    format!(
        "\nThe cluster stays up.\n\
         \x20 page      http://{web}\n\
         \x20 logs      {logs}\n\
         \x20 submit    plumb submit {jobs}/two_knobs.yaml --wait --coordinator http://{grpc}\n\
         \x20 the same  jq '{{job: .}}' {jobs}/prio_dynamic_job.json | grpcurl -plaintext -d @ {grpc} plumbline.v1.JobService/SubmitJob\n\
         \x20 look      plumb runs --coordinator http://{grpc}\n\
         Ctrl-C ends all of it.",
        web = addresses.web,
        logs = cluster.folder().join("*.log").display(),
        jobs = args.jobs.display(),
    )
}
