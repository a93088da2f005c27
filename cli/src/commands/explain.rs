//! `plumb explain`: why nothing more of a run begins now.

use super::CommandError;
use crate::args::{FormatArgs, RunArgs};
use crate::exit::Exit;
use crate::listing;

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
    let header = ["op", "waiting", "running", "backoff", "why nothing more begins"];
    listing::print(args.format.format(), header, &ops, |op| {
        let obstacles = op.obstacles.iter().map(|obstacle| obstacle.message.clone());
        let retry = op.next_retry.as_ref().map(|next| format!("next retry at {next}"));
        let why: Vec<String> = obstacles.chain(retry).collect();
        let [waiting, running, in_backoff] = [op.waiting, op.running, op.in_backoff].map(|count| count.to_string());
        [op.op.clone(), waiting, running, in_backoff, why.join("; ")]
    });
    Ok(Exit::Ok)
}
