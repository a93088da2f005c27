//! `plumb workers`: the workers a coordinator knows.

use super::CommandError;
use crate::args::CoordinatorArgs;
use crate::client::WorkerView;
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::table::Table;

const EXAMPLES: &str = "\
Examples:
  plumb workers
  plumb workers --json | jq -r .worker";

/// How to list the workers.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Prints one JSON object per worker and line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut client = args.coordinator.connect().await?;
    print(&client.workers().await?, Format::from_flag(args.json));
    Ok(Exit::Ok)
}

/// Prints workers.
pub(super) fn print(workers: &[WorkerView], format: Format) {
    match format {
        Format::Json => {
            for worker in workers {
                output::result(&serde_json::to_string(worker).expect("a worker has text keys only"));
            }
        }
        Format::Text => {
            let mut table = Table::with_header(["worker", "state", "busy", "session", "ops"]);
            for worker in workers {
                table.row([
                    worker.worker.as_str(),
                    &worker.state,
                    &format!("{}/{}", worker.busy, worker.slots),
                    &worker.session,
                    &worker.ops.join(", "),
                ]);
            }
            output::result(&table.print());
        }
    }
}
