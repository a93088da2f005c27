//! `plumb activity`: what happened to a run as a whole.

use super::CommandError;
use crate::args::{FormatArgs, RunArgs};
use crate::exit::Exit;
use crate::listing;

const EXAMPLES: &str = "\
Examples:
  plumb activity r7
  plumb activity r7 --json | jq -c 'select(.by == \"web\")'

Commands say who gave them: `grpc` for the command line and other clients, `web`, or `policy` for the run's own.";

/// Whose activity to list.
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
    let entries = client.activity(&args.run.run).await?;
    let header = ["time", "by", "kind", "what"];
    listing::print(args.format.format(), header, &entries, |entry| {
        let by = entry.by.clone().unwrap_or_else(|| "-".to_owned());
        [entry.time.clone(), by, entry.kind.clone(), entry.message.clone()]
    });
    Ok(Exit::Ok)
}
