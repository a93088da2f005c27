//! `plumb runs`: lists runs, newest first.

use super::CommandError;
use crate::args::CoordinatorArgs;
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::summary::seconds;
use crate::table::Table;

const EXAMPLES: &str = "\
Examples:
  plumb runs
  plumb runs --limit 1000 --json | jq -r 'select(.state == \"failed\") | .run'";

/// Which runs to list.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The most runs to list.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Prints one summary per line as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut client = args.coordinator.connect().await?;
    let runs = client.runs(args.limit).await?;
    match Format::from_flag(args.json) {
        Format::Json => {
            for run in &runs {
                output::result(&run.summary.to_json());
            }
        }
        Format::Text => {
            let mut table = Table::with_header(["run", "job", "state", "wall time", "batches", "rows loaded"]);
            for run in &runs {
                let summary = &run.summary;
                table.row([
                    summary.run.as_str(),
                    &summary.job,
                    summary.state.as_str(),
                    &seconds(Some(summary.wall_seconds)),
                    &format!("{}/{}", summary.batches.committed, summary.batches.total),
                    &summary.rows.loaded.to_string(),
                ]);
            }
            output::result(&table.print());
        }
    }
    Ok(Exit::Ok)
}
