//! `plumb runs`: lists runs, newest first.

use super::CommandError;
use crate::args::CoordinatorArgs;
use crate::exit::Exit;
use crate::listing;
use crate::output::Format;
use crate::summary::seconds;

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
    let summaries: Vec<_> = runs.iter().map(|run| &run.summary).collect();
    let header = ["run", "job", "state", "wall time", "batches", "rows loaded"];
    listing::print(Format::from_flag(args.json), header, &summaries, |summary| {
        [
            summary.run.clone(),
            summary.job.clone(),
            summary.state.as_str().to_owned(),
            seconds(Some(summary.wall_seconds)),
            format!("{}/{}", summary.batches.committed, summary.batches.total),
            summary.rows.loaded.to_string(),
        ]
    });
    Ok(Exit::Ok)
}
