//! `plumb cap`: the coordinator's own cap.

use super::CommandError;
use crate::args::CoordinatorArgs;
use crate::exit::Exit;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  plumb cap 64
  plumb cap none

What is set holds over restarts of the coordinator, until it is started with another --max-concurrent.";

/// What to set the cap to.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How many tasks may run at once over all runs and workers, or `none` to leave it to the slots.
    #[arg(value_name = "N")]
    cap: String,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let cap = match args.cap.as_str() {
        "none" => None,
        number => Some(
            number
                .parse()
                .map_err(|_| CommandError::Usage(format!("{number:?} is no cap; write a number of tasks, or none")))?,
        ),
    };
    let cap = args.coordinator.connect().await?.set_cap(cap).await?;
    output::result(&cap.map_or_else(|| "none".to_owned(), |cap| cap.to_string()));
    Ok(Exit::Ok)
}
