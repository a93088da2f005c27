//! `plumb gantt`: a run's timeline as a chart.

use super::CommandError;
use crate::args::RunArgs;
use crate::client::RunView;
use crate::exit::Exit;
use crate::gantt::{by_batch, by_slot};
use crate::output;
use crate::timeline::TimelineRow;

const EXAMPLES: &str = "\
Examples:
  plumb gantt r7
  plumb gantt r7 --width 160";

/// Whose chart to draw.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// How many columns the chart has. [default: the terminal's]
    #[arg(long, value_name = "COLUMNS")]
    width: Option<usize>,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut client = args.run.coordinator.connect().await?;
    let view = client.run(&args.run.run).await?;
    let rows = client.timeline(&args.run.run).await?;
    output::result(&charts(&view, &rows, args.width.unwrap_or_else(output::width)));
    Ok(Exit::Ok)
}

/// Draws a run's two charts: by batch and by slot.
pub(super) fn charts(view: &RunView, rows: &[TimelineRow], width: usize) -> String {
    format!("{}\n{}", by_batch(rows, &view.ops, width), by_slot(rows, width))
}
