//! `plumb explain`: why nothing more of a run begins now.

use super::CommandError;
use crate::args::{FormatArgs, RunArgs};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::table::Table;

const EXAMPLES: &str = "\
Examples:
  plumb explain r7
  plumb explain r7 --json | jq -c 'select(.waiting > 0) | [.op, .obstacles[].kind]'";

/// Which run to explain.
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
    let ops = client.explain(&args.run.run).await?;
    match args.format.format() {
        Format::Json => {
            for op in &ops {
                output::result(&serde_json::to_string(op).expect("an explanation has text keys only"));
            }
        }
        Format::Text => {
            let mut table = Table::with_header(["op", "waiting", "running", "backoff", "why nothing more begins"]);
            for op in &ops {
                let obstacles: Vec<&str> = op.obstacles.iter().map(|obstacle| obstacle.message.as_str()).collect();
                let retry = op.next_retry.as_ref().map(|next| format!("next retry at {next}"));
                let why = obstacles
                    .iter()
                    .copied()
                    .chain(retry.as_deref())
                    .collect::<Vec<_>>()
                    .join("; ");
                let counts = [op.waiting, op.running, op.in_backoff].map(|count| count.to_string());
                table.row([op.op.as_str(), &counts[0], &counts[1], &counts[2], &why]);
            }
            output::result(&table.print());
        }
    }
    Ok(Exit::Ok)
}
