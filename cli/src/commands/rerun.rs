//! `plumb rerun`: runs the later ops of an ended run again, in a new run.

use std::path::PathBuf;

use super::follow::MadeArgs;
use super::{CommandError, resolve_here};
use crate::args::CoordinatorArgs;
use crate::client::Rerun;
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::spec::Spec;

const EXAMPLES: &str = "\
Examples:
  plumb rerun r7 --from load
  plumb rerun r7 --from load job.yaml --set ops.load.write.csv.uri=out/again.csv --wait

Batches begin at their checkpoint before that op, and nothing before it is done again; a batch that never came there begins
at its source. What comes behind the checkpoint may be changed in the spec; what comes before has to be as in the run.
The first line on standard output is {\"run\": ID, \"batches_at_checkpoints\": N}.";

/// Which run, and from where.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The id of a run that has ended, such as `r7`.
    #[arg(value_name = "RUN")]
    run: String,
    /// The op to begin with, by its name; an op before it has `checkpoint: true`.
    #[arg(long, value_name = "OP")]
    from: String,
    /// The spec with other later ops, YAML or JSON; `-` reads standard input. [default: the run's own]
    #[arg(value_name = "SPEC")]
    spec: Option<PathBuf>,
    /// Changes a field of SPEC, as in `plumb submit`.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "spec")]
    overrides: Vec<String>,
    /// Where relative paths of sinks start. [default: this folder]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Names the request: asked again under the same name, it stands for the run that was made. [default: a new name]
    #[arg(long, value_name = "NAME")]
    request_id: Option<String>,
    #[command(flatten)]
    then: MadeArgs,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    let spec = match &args.spec {
        None => None,
        Some(file) => {
            let mut spec = Spec::load(file, &args.overrides)?;
            resolve_here(&mut spec, args.output)?;
            Some(spec)
        }
    };
    let mut client = args.coordinator.connect().await?;
    let rerun = client.rerun(&args.run, &args.from, spec.as_ref(), args.request_id);
    let Rerun {
        run,
        at_checkpoints,
        files_gone,
    } = rerun.await?;
    output::result(&serde_json::json!({ "run": run, "batches_at_checkpoints": at_checkpoints }).to_string());
    if args.then.format() == Format::Text {
        let gone = match files_gone {
            0 => String::new(),
            some => format!("; the last checkpoints of {some} are gone"),
        };
        output::message(&format!(
            "{at_checkpoints} batches begin at checkpoints, the others at their source{gone}"
        ));
    }
    args.then.made(client, &run).await
}
