//! What commands share of their arguments. Each command's own arguments stand beside what it does.

use std::path::PathBuf;

use clap::ArgAction;

use crate::client::{Client, ClientError};
use crate::output::Format;
use crate::spec::{Spec, SpecError};

/// Which coordinator to talk to.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CoordinatorArgs {
    /// The coordinator's JobService; of several, separated by commas, the first that answers.
    #[arg(
        long,
        env = "PLUMB_COORDINATOR",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:50051"
    )]
    pub(crate) coordinator: Vec<String>,
}

impl CoordinatorArgs {
    /// Connects to it.
    pub(crate) async fn connect(&self) -> Result<Client, ClientError> {
        Client::connect(&self.coordinator).await
    }
}

/// Which run to look at or to tell something, and of which coordinator.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The run's id, such as `r7`.
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) coordinator: CoordinatorArgs,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct FormatArgs {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl FormatArgs {
    /// Returns what is asked for.
    pub(crate) fn format(self) -> Format {
        Format::from_flag(self.json)
    }
}

/// A spec and what is changed in it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SpecArgs {
    /// The job's spec, YAML or JSON; `-` reads standard input.
    #[arg(value_name = "SPEC")]
    pub(crate) spec: PathBuf,
    /// Changes a field: a dotted path, ops by name or index, as in `ops.load.max_concurrent=2`; `null` takes it out.
    #[arg(long = "set", value_name = "KEY=VALUE", action = ArgAction::Append)]
    pub(crate) overrides: Vec<String>,
}

impl SpecArgs {
    /// Reads the spec.
    pub(crate) fn load(&self) -> Result<Spec, SpecError> {
        Spec::load(&self.spec, &self.overrides)
    }
}
