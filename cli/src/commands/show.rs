//! `plumb show`: a run as it is now.

use super::{CommandError, follow};
use crate::args::CoordinatorArgs;
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  plumb show r7
  plumb show r7 --json | jq .rows";

/// Which run to show.
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
    let view = client.run(&args.run).await?;
    follow::print(&view, Format::from_flag(args.json));
    if let Some(reason) = &view.stalled {
        output::message(&format!("stalled: {reason}"));
    }
    Ok(Exit::Ok)
}
