//! `plumb retry`: tries the failed batches of a run again.

use super::{CommandError, follow};
use crate::args::CoordinatorArgs;
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  plumb retry r7
  plumb retry r7 --op load
  plumb retry r7 --batch 12 --batch 13.0.1
  plumb retry r7 && plumb watch r7

A run that has completed with failures or failed goes on where it was; what it committed stays. Failed batches get
attempts of their own. Asked again, there is nothing left to do, and that is no error.";

/// Which failed batches to try again.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The run's id, such as `r7`.
    run: String,
    /// Only batches that failed in the op of this name.
    #[arg(long, value_name = "NAME")]
    op: Option<String>,
    /// Only this batch; may be given several times.
    #[arg(long = "batch", value_name = "ID")]
    batches: Vec<String>,
    /// Prints the run's summary as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut client = Client::connect(&args.coordinator.coordinator).await?;
    let (view, batches) = client.retry_failed(&args.run, args.op, args.batches).await?;
    let format = Format::from_flag(args.json);
    if format == Format::Text {
        output::result(&format!("{batches} failed batches are tried again"));
    }
    follow::print(&view, format);
    Ok(Exit::Ok)
}
