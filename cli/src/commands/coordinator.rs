//! `plumb coordinator`: runs a coordinator until it is asked to leave.

use coordinator::{BindError, Coordinator, CoordinatorConfig};
use tokio::sync::oneshot;

use super::{CommandError, system};
use crate::exit::Exit;
use crate::signals::Signals;
use crate::{memory, output};

const EXAMPLES: &str = "\
Examples:
  plumb coordinator
  plumb coordinator --state /var/lib/plumb --max-concurrent 64 --allow-root /data
  plumb coordinator --grpc 127.0.0.1:0 --worker-grpc 127.0.0.1:0 --web 127.0.0.1:0

When it is ready it prints one line on standard output:
  ready grpc=127.0.0.1:50051 worker-grpc=127.0.0.1:50052 web=127.0.0.1:3000
The first SIGTERM or Ctrl-C ends it in order, the second at once.";

/// Where it listens and what it keeps.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    config: CoordinatorConfig,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    memory::use_small_pages();
    let mut signals = Signals::listen().map_err(system("listen for signals"))?;
    let coordinator = Coordinator::bind(args.config).map_err(|error| match error {
        BindError::Config(error) => CommandError::Usage(error.to_string()),
        BindError::State(_)
        | BindError::Timelines(_)
        | BindError::Journal(_)
        | BindError::Root(_)
        | BindError::Token(_)
        | BindError::InUse { .. }
        | BindError::Listen { .. } => CommandError::Service(error.to_string()),
    })?;
    let addresses = coordinator.addresses();
    output::result(&format!(
        "ready grpc={} worker-grpc={} web={}",
        addresses.grpc, addresses.worker_grpc, addresses.web
    ));
    let (stop, stopped) = oneshot::channel::<()>();
    // A sender that is dropped asks to stop as well.
    let serving = coordinator.run(async {
        let _ = stopped.await;
    });
    tokio::pin!(serving);
    let served = |outcome: Result<(), coordinator::RunError>| match outcome {
        Ok(()) => Ok(Exit::Ok),
        Err(error) => Err(CommandError::Service(error.to_string())),
    };
    tokio::select! {
        outcome = &mut serving => return served(outcome),
        () = signals.next() => {}
    }
    drop(stop);
    tokio::select! {
        outcome = &mut serving => served(outcome),
        () = signals.next() => Err(CommandError::Service("asked twice to stop: left at once".to_owned())),
    }
}
