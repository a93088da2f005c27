//! `plumb coordinator`: runs a coordinator until it is asked to leave.

use super::CommandError;
use crate::exit::Exit;

/// Where it listens and what it keeps.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) async fn execute(_args: Args) -> Result<Exit, CommandError> {
    Err(CommandError::Service(
        "the coordinator is not in this build yet".to_owned(),
    ))
}
