//! `plumb batches`: a run's batches that are in flight, committing or failed.

use super::CommandError;
use crate::args::RunArgs;
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::table::Table;

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
    match Format::from_flag(args.json) {
        Format::Json => {
            for batch in &batches {
                output::result(&serde_json::to_string(batch).expect("a batch has text keys only"));
            }
        }
        Format::Text => {
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
            let mut table = Table::with_header(header);
            for batch in &batches {
                table.row([
                    batch.batch.as_str(),
                    batch.state.as_str(),
                    batch.op.as_deref().unwrap_or("-"),
                    &batch.attempt.to_string(),
                    &batch.crashes.to_string(),
                    batch.worker.as_deref().unwrap_or("-"),
                    &batch.first_line.map_or_else(|| "-".to_owned(), |line| line.to_string()),
                    &batch
                        .bytes
                        .map_or_else(|| "-".to_owned(), |bytes| format!("{}..{}", bytes.start, bytes.end)),
                    batch.failure.as_deref().unwrap_or(""),
                ]);
            }
            output::result(&table.print());
            for batch in &batches {
                if let Some(row) = &batch.bad_row {
                    let (line, byte, text) = (row.line, row.byte, &row.text);
                    output::result(&format!("{}: line {line}, byte {byte}: {text:?}", batch.batch));
                }
            }
        }
    }
    Ok(Exit::Ok)
}
