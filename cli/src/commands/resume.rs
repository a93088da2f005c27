//! `plumb resume`: lets a paused run go on.

use super::{CommandError, follow};
use crate::args::{FormatArgs, RunArgs};
use crate::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  plumb resume r7";

/// Which run to resume.
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
    let view = client.resume(&args.run.run).await?;
    follow::print(&view, args.format.format());
    Ok(Exit::Ok)
}
