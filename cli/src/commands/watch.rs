//! `plumb watch`: follows a run to its end.

use super::{CommandError, follow};
use crate::args::RunArgs;
use crate::exit::Exit;
use crate::output::Format;

const EXAMPLES: &str = "\
Examples:
  plumb watch r7
  plumb watch r7 --json | tail -1

Ctrl-C detaches; the run goes on.";

/// Which run to follow.
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
    let client = args.run.coordinator.connect().await?;
    follow::follow(client, &args.run.run, Format::from_flag(args.json)).await
}
