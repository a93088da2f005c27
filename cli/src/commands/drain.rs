//! `plumb drain`: tells a worker to finish what it holds and leave.

use super::{CommandError, workers};
use crate::args::CoordinatorArgs;
use crate::exit::Exit;
use crate::output::Format;

const EXAMPLES: &str = "\
Examples:
  plumb drain w2

The answer does not wait for the worker to leave; `plumb workers` shows whether it has.";

/// Which worker to drain.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The worker's name.
    worker: String,
    /// Prints the worker as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut client = args.coordinator.connect().await?;
    let worker = client.drain(&args.worker).await?;
    workers::print(&[worker], Format::from_flag(args.json));
    Ok(Exit::Ok)
}
