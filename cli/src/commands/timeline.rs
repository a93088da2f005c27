//! `plumb timeline`: every attempt of a run's tasks.

use super::CommandError;
use crate::args::RunArgs;
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::summary::seconds;
use crate::table::Table;
use crate::timeline::{TimelineRow, to_json_lines};

const EXAMPLES: &str = "\
Examples:
  plumb timeline r7
  plumb timeline r7 --json | jq -c 'select(.attempt > 1)'

Times are seconds since the run was accepted, by the clock of the worker that ran the attempt.";

/// Whose timeline to print.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Prints one JSON object per attempt and line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut client = args.run.coordinator.connect().await?;
    match Format::from_flag(args.json) {
        // Printed as it comes, so that a run of any size can be read.
        Format::Json => {
            let print = |rows: Vec<TimelineRow>| {
                if !rows.is_empty() {
                    output::result(&to_json_lines(&rows));
                }
            };
            client.timeline_pages(&args.run.run, print).await?;
        }
        Format::Text => {
            let rows = client.timeline(&args.run.run).await?;
            let mut table = Table::with_header(["task", "attempt", "worker", "state", "queued", "started", "finished"]);
            for row in &rows {
                let task = row
                    .batch
                    .as_ref()
                    .map_or(row.op.clone(), |batch| format!("{}[{batch}]", row.op));
                table.row([
                    task.as_str(),
                    &row.attempt.to_string(),
                    &format!("{}/{}", row.worker, row.slot),
                    row.state.as_str(),
                    &seconds(Some(row.queued)),
                    &seconds(row.started),
                    &seconds(row.finished),
                ]);
            }
            output::result(&table.print());
        }
    }
    Ok(Exit::Ok)
}
