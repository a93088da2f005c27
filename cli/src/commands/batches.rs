//! `plumb batches`: a run's batches that are in flight, committing or failed.

use super::CommandError;
use crate::args::RunArgs;
use crate::exit::Exit;
use crate::listing;
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  plumb batches r7
  plumb batches r7 --json | jq -r 'select(.state == \"failed\") | .failure'";

/// Whose batches to list.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// The most batches to list.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    limit: usize,
    /// Prints one JSON object per batch and line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let mut client = args.run.coordinator.connect().await?;
    let batches = client.batches(&args.run.run, args.limit).await?;
    let format = Format::from_flag(args.json);
    let header = [
        "batch",
        "state",
        "op",
        "attempt",
        "crashes",
        "worker",
        "from line",
        "bytes",
        "failure",
    ];
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    listing::print(format, header, &batches, |batch| {
        let bytes = batch.bytes.as_ref();
        [
            batch.batch.clone(),
            batch.state.as_str().to_owned(),
            or_dash(batch.op.clone()),
            batch.attempt.to_string(),
            batch.crashes.to_string(),
            or_dash(batch.worker.clone()),
            or_dash(batch.first_line.map(|line| line.to_string())),
            or_dash(bytes.map(|bytes| format!("{}..{}", bytes.start, bytes.end))),
            batch.failure.clone().unwrap_or_default(),
        ]
    });
    if format == Format::Text {
        for batch in &batches {
            if let Some(row) = &batch.bad_row {
                let (line, byte, text) = (row.line, row.byte, &row.text);
                output::result(&format!("{}: line {line}, byte {byte}: {text:?}", batch.batch));
            }
        }
    }
    Ok(Exit::Ok)
}
