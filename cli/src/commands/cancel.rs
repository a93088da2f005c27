//! `plumb cancel`: cancels a run.

use super::{CommandError, follow};
use crate::args::{FormatArgs, RunArgs};
use crate::client::CancelMode;
use crate::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  plumb cancel r7
  plumb cancel r7 --after-running

Begun batches are given up; what was committed stays. A run that has ended is left as it is.";

/// Which run to cancel.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Lets the tasks that run end, instead of stopping them.
    #[arg(long)]
    after_running: bool,
    #[command(flatten)]
    format: FormatArgs,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mode = if args.after_running {
        CancelMode::AfterRunning
    } else {
        CancelMode::Now
    };
    let mut client = args.run.coordinator.connect().await?;
    let view = client.cancel(&args.run.run, mode).await?;
    follow::print(&view, args.format.format());
    Ok(Exit::Ok)
}
