//! `plumb activity`: what happened to a run as a whole.

use super::CommandError;
use crate::args::{FormatArgs, RunArgs};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::table::Table;

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
    match args.format.format() {
        Format::Json => {
            for entry in &entries {
                output::result(&serde_json::to_string(entry).expect("an entry has text keys only"));
            }
        }
        Format::Text => {
            let mut table = Table::with_header(["time", "by", "kind", "what"]);
            for entry in &entries {
                let by = entry.by.as_deref().unwrap_or("-");
                table.row([entry.time.as_str(), by, &entry.kind, &entry.message]);
            }
            output::result(&table.print());
        }
    }
    Ok(Exit::Ok)
}
