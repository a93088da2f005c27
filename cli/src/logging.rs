//! Logs: to standard error, as text for people or JSON for collectors.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Which log lines are written, and how.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// Which log lines to show: a level, or levels by target, as in `info` or `warn,scheduler=debug`.
    /// [default: info for `coordinator` and `worker`, warn otherwise]
    #[arg(long, global = true, env = "PLUMB_LOG", value_name = "LEVELS", help_heading = "Logs")]
    pub(crate) log: Option<Targets>,
    /// How log lines look.
    #[arg(
        long,
        global = true,
        env = "PLUMB_LOG_FORMAT",
        value_enum,
        default_value = "text",
        help_heading = "Logs"
    )]
    pub(crate) log_format: LogFormat,
}

impl LogArgs {
    /// Returns the levels asked for, or else the given ones, as they are written on the command line.
    pub(crate) fn levels_or(&self, default: &str) -> String {
        self.log.as_ref().map_or_else(|| default.to_owned(), Targets::to_string)
    }
}

/// Starts logging, once, at the levels asked for or else at the given ones.
pub(crate) fn start(args: &LogArgs, default: &str) {
    let levels = args
        .log
        .clone()
        .unwrap_or_else(|| default.parse().expect("the default levels are valid"));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let layer = match args.log_format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(levels)).init();
}
