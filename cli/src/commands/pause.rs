//! `plumb pause`: lets a run begin nothing more until it is resumed.

use super::{CommandError, follow};
use crate::args::{FormatArgs, RunArgs};
use crate::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  plumb pause r7

What runs ends with its op; nothing new begins once the command is back, over restarts of the coordinator too.";

/// Which run to pause.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut client = args.run.coordinator.connect().await?;
    let view = client.pause(&args.run.run).await?;
    follow::print(&view, args.format.format());
    Ok(Exit::Ok)
}
