//! `plumb logs`: what the tasks of a run logged, and the errors of attempts.

use super::CommandError;
use crate::args::RunArgs;
use crate::client::{Follow, LogsWanted};
use crate::exit::Exit;
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  plumb logs r7
  plumb logs r7 --follow --level warn
  plumb logs r7 --op load --batch 12 --grep 'status 5'

Times are seconds since the run was accepted, by the clock of the worker. An attempt keeps at most 1,000 lines and 64 KiB,
a run 64 MiB; what is beyond is counted at the end.";

/// Which lines to print.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Prints lines of this op only.
    #[arg(long, value_name = "NAME")]
    op: Option<String>,
    /// Prints lines of this batch only, such as `12` or `12.0.1`.
    #[arg(long, value_name = "ID")]
    batch: Option<String>,
    /// Prints lines of at least this level: debug, info, warn or error.
    #[arg(long, value_name = "LEVEL")]
    level: Option<common::logs::LogLevel>,
    /// Prints lines that have this text in them only.
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Waits for more lines until the run has ended.
    #[arg(long, short)]
    follow: bool,
    /// Prints one JSON object per line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut client = args.run.coordinator.connect().await?;
    let wanted = LogsWanted {
        op: args.op.unwrap_or_default(),
        batch: args.batch.unwrap_or_default(),
        level: args.level,
        text: args.grep.unwrap_or_default(),
        follow: if args.follow { Follow::UntilTheEnd } else { Follow::No },
    };
    let format = Format::from_flag(args.json);
    let dropped = client
        .logs(&args.run.run, &wanted, |line| match format {
            Format::Json => output::result(&serde_json::to_string(&line).expect("a line has text keys only")),
            Format::Text => output::result(&line.to_text()),
        })
        .await?;
    if dropped > 0 {
        output::message(&format!("{dropped} lines of the run were not kept"));
    }
    Ok(Exit::Ok)
}
