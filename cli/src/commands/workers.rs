//! `plumb workers`: the workers a coordinator knows.

use super::CommandError;
use crate::args::CoordinatorArgs;
use crate::client::WorkerView;
use crate::exit::Exit;
use crate::listing;
use crate::output::Format;

const EXAMPLES: &str = "\
Examples:
  plumb workers
  plumb workers --json | jq -r .worker";

/// How to list the workers.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Prints one JSON object per worker and line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut client = args.coordinator.connect().await?;
    print(&client.workers().await?, Format::from_flag(args.json));
    Ok(Exit::Ok)
}

/// Prints workers.
pub(super) fn print(workers: &[WorkerView], format: Format) {
    let header = ["worker", "state", "busy", "session", "ops"];
    listing::print(format, header, workers, |worker| {
        let busy = format!("{}/{}", worker.busy, worker.slots);
        let (name, state, session) = (worker.worker.clone(), worker.state.clone(), worker.session.clone());
        [name, state, busy, session, worker.ops.join(", ")]
    });
}
