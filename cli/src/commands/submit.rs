//! `plumb submit`: hands a job to a coordinator.

use std::path::PathBuf;

use super::{CommandError, follow, system};
use crate::args::{CoordinatorArgs, SpecArgs};
use crate::exit::Exit;
use crate::output::{self, Format};

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
    /// Waits for the run's end and prints its summary. Ctrl-C detaches; the run goes on.
    #[arg(long)]
    wait: bool,
    /// Prints the summary as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut spec = args.spec.load()?;
    let here = std::env::current_dir().map_err(system("find the current folder"))?;
    let sinks = here.join(args.output.unwrap_or_default());
    spec.resolve(&here, &sinks);
    let mut client = args.coordinator.connect().await?;
    let run = client.submit(&spec).await?;
    output::result(&serde_json::json!({ "run": run }).to_string());
    let format = Format::from_flag(args.json);
    if args.wait {
        return follow::follow(client, &run, format).await;
    }
    if format == Format::Text {
        output::message(&format!(
            "watch it with: plumb watch {run} --coordinator {}",
            client.addresses()
        ));
    }
    Ok(Exit::Ok)
}
