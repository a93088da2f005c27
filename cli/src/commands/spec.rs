//! `plumb spec`: looks at a spec without running it.

use super::CommandError;
use crate::args::SpecArgs;
use crate::exit::Exit;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  plumb spec check job.yaml
  plumb spec canon job.yaml > job.json
  plumb spec canon job.yaml --set batch.whole_input=true | jq '{job: .}' | grpcurl -plaintext -d @ \\
      127.0.0.1:50051 plumbline.v1.JobService/SubmitJob";

/// What to do with a spec.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Finds everything that is wrong with a spec, with lines and columns.
    Check(SpecArgs),
    /// Prints the canonical JSON of a spec, as grpcurl and other tools take it.
    Canon(SpecArgs),
}

pub(super) fn execute(args: &Args) -> Result<Exit, CommandError> {
    match &args.action {
        Action::Check(args) => {
            let spec = args.load()?;
            let ops: Vec<&str> = spec.job().ops.iter().map(|op| op.name.as_str()).collect();
            output::result(&format!("{}: ok, {}", spec.job().name, ops.join(" -> ")));
        }
        Action::Canon(args) => output::result(&args.load()?.canonical_json()),
    }
    Ok(Exit::Ok)
}
