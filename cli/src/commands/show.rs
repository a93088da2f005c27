//! `plumb show`: a run as it is now.

use super::{CommandError, follow};
use crate::args::RunArgs;
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
    #[command(flatten)]
    run: RunArgs,
    /// Prints the summary as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut client = args.run.coordinator.connect().await?;
    let view = client.run(&args.run.run).await?;
    follow::print(&view, Format::from_flag(args.json));
    if let Some(reason) = &view.stalled {
        output::message(&format!("stalled: {reason}"));
    }
    Ok(Exit::Ok)
}
