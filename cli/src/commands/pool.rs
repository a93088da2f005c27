//! `plumb pool`: limits that runs share.

use super::CommandError;
use crate::args::{CoordinatorArgs, FormatArgs};
use crate::exit::Exit;
use crate::listing;

const EXAMPLES: &str = "\
Examples:
  plumb pool list
  plumb pool set geocoder 16

What is set holds over restarts of the coordinator, until it is started with another --pool of that name.";

/// What to do with pools.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Lists the pools and who holds units of them.
    List {
        #[command(flatten)]
        coordinator: CoordinatorArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Sets a pool's limit; one that was not there is made.
    Set {
        /// The pool's name.
        name: String,
        /// Its limit, at least 1.
        limit: u32,
        #[command(flatten)]
        coordinator: CoordinatorArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let (pools, format) = match args.action {
        Action::List { coordinator, format } => (coordinator.connect().await?.pools().await?, format),
        Action::Set {
            name,
            limit,
            coordinator,
            format,
        } => (vec![coordinator.connect().await?.set_pool(&name, limit).await?], format),
    };
    listing::print(format.format(), ["pool", "limit", "used", "held by"], &pools, |pool| {
        let holders = pool
            .holders
            .iter()
            .map(|holder| format!("{} {}", holder.run, holder.units));
        let held_by = holders.collect::<Vec<_>>().join(", ");
        [
            pool.name.clone(),
            pool.limit.to_string(),
            pool.used.to_string(),
            held_by,
        ]
    });
    Ok(Exit::Ok)
}
