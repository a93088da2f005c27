//! The command line: what every command shares. Each command's own arguments stand beside what it does.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Parser};

use crate::client::{Client, ClientError};
use crate::commands::Command;
use crate::logging::LogArgs;
use crate::output::Format;
use crate::spec::{Spec, SpecError};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  plumb demo                                        three jobs on a local cluster, with charts
  plumb run job.yaml                                run a job here, on processes that end with it
  plumb run job.yaml --set schedule.max_concurrent=8 --workers 4
  plumb submit job.yaml --wait                      run a job on a cluster that is there
  plumb spec check job.yaml                         find mistakes without running anything

Exit codes: 0 ok, 1 failed, 2 wrong command line or spec, 3 completed with failures, 4 cancelled,
69 no coordinator answers, 130 detached from a run that goes on.";

/// Runs a chain of ops over the batches of large tables, depth first.
#[derive(Debug, Parser)]
#[command(name = "plumb", version, styles = STYLES, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Logs.
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Ends the process when the process of this id, its parent, ends in any way.
    #[arg(long, global = true, hide = true, value_name = "PID")]
    pub(crate) exit_with_parent: Option<u32>,
}

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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_typo_is_answered_with_the_flag_that_was_meant() {
        let error =
            Cli::try_parse_from(["plumb", "run", "job.yaml", "--wokers", "4"]).expect_err("there is no such flag");
        assert!(error.to_string().contains("'--workers'"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
