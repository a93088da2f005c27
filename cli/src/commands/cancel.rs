//! `plumb cancel`: cancels a run.

use super::{CommandError, follow};
use crate::args::CoordinatorArgs;
use crate::client::Client;
use crate::exit::Exit;
use crate::output::Format;

const EXAMPLES: &str = "\
Examples:
  plumb cancel r7

Begun batches are given up; what was committed stays. A run that has ended is left as it is.";

/// Which run to cancel.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The run's id, such as `r7`.
    run: String,
    /// Prints the summary as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut client = Client::connect(&args.coordinator.coordinator).await?;
    let view = client.cancel(&args.run).await?;
    follow::print(&view, Format::from_flag(args.json));
    Ok(Exit::Ok)
}
