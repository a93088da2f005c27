//! `plumb worker`: runs a worker until it is asked to leave.

use super::CommandError;
use crate::exit::Exit;

/// Whom it works for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Prints no line when it is ready: a local cluster's output is the run's.
    #[arg(long, hide = true)]
    not_ready_line: bool,
}

pub(super) async fn execute(_args: Args) -> Result<Exit, CommandError> {
    Err(CommandError::Service("the worker is not in this build yet".to_owned()))
}
