//! `plumb submit`: hands a job to a coordinator.

use std::path::PathBuf;

use super::follow::MadeArgs;
use super::{CommandError, resolve_here};
use crate::args::{CoordinatorArgs, SpecArgs};
use crate::exit::Exit;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  plumb submit job.yaml
  plumb submit job.yaml --wait --json | tail -1
  plumb submit job.yaml --set schedule.order=breadth_first --coordinator http://10.0.0.7:50051

The first line on standard output is {\"run\": ID}. Relative paths in the spec start at this folder.";

/// A job, and where to run it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
    /// Where relative paths of sinks start. [default: this folder]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    then: MadeArgs,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut spec = args.spec.load()?;
    resolve_here(&mut spec, args.output)?;
    let mut client = args.coordinator.connect().await?;
    let run = client.submit(&spec).await?;
    output::result(&serde_json::json!({ "run": run }).to_string());
    args.then.made(client, &run).await
}
