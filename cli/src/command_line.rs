//! The command line as a whole: the commands, and what goes for each of them.

use clap::Parser;
use clap::builder::styling::{AnsiColor, Styles};

use crate::commands::Command;
use crate::logging::LogArgs;

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
