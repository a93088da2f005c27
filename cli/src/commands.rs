//! The commands, one file each: its arguments, and what it does with the rest of the program.

mod activity;
mod batches;
mod cancel;
mod cap;
mod coordinator;
mod demo;
mod drain;
mod explain;
mod follow;
mod gantt;
mod health;
mod limits;
mod logs;
mod pause;
mod pool;
mod rerun;
mod resume;
mod retry;
mod run;
mod runs;
mod show;
mod spec;
mod submit;
mod timeline;
mod watch;
mod worker;
mod workers;

use std::io;
use std::path::PathBuf;

use crate::client::ClientError;
use crate::cluster::ClusterError;
use crate::exit::Exit;
use crate::logging::LogArgs;
use crate::spec::{Spec, SpecError};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Runs the three sample jobs on a local cluster, compares them, and stays up.
    Demo(demo::Args),
    /// Runs a job here: starts a local cluster of real processes, runs, leaves.
    Run(run::Args),
    /// Submits a job to a coordinator.
    Submit(submit::Args),
    /// Follows a run to its end.
    Watch(watch::Args),
    /// Lists runs, newest first.
    Runs(runs::Args),
    /// Shows a run as it is now.
    Show(show::Args),
    /// Cancels a run.
    Cancel(cancel::Args),
    /// Lets a run begin nothing more until it is resumed.
    Pause(pause::Args),
    /// Lets a paused run go on.
    Resume(resume::Args),
    /// Changes limits of a run while it goes on.
    Limits(limits::Args),
    /// Explains why nothing more of a run begins now.
    Explain(explain::Args),
    /// Lists or sets limits that runs share.
    Pool(pool::Args),
    /// Sets the coordinator's own cap.
    Cap(cap::Args),
    /// Lists what happened to a run as a whole: commands and milestones.
    Activity(activity::Args),
    /// Tries the failed batches of a run again.
    Retry(retry::Args),
    /// Runs the later ops of an ended run again, from its checkpoints.
    Rerun(rerun::Args),
    /// Prints a run's timeline: every attempt of every task.
    Timeline(timeline::Args),
    /// Prints what the tasks of a run logged.
    Logs(logs::Args),
    /// Draws a run's Gantt chart.
    Gantt(gantt::Args),
    /// Lists a run's batches that are in flight, committing or failed.
    Batches(batches::Args),
    /// Lists the workers.
    Workers(workers::Args),
    /// Tells a worker to finish what it holds and leave.
    Drain(drain::Args),
    /// Checks a spec, or prints its canonical JSON.
    Spec(spec::Args),
    /// Tells whether a coordinator is up, for health checks.
    Health(health::Args),
    /// Runs a coordinator.
    Coordinator(coordinator::Args),
    /// Runs a worker.
    Worker(worker::Args),
}

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The spec is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The coordinator is away, or said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The local cluster is gone.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// A file of results could not be written.
    #[error("cannot write {file:?}: {source}")]
    Write {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A service could not be started, or ended with an error.
    #[error("{0}")]
    Service(String),
    /// Something of the system failed.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What went wrong.
        source: io::Error,
    },
}

impl CommandError {
    /// Returns the exit code that tells scripts about it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            CommandError::Spec(_) | CommandError::Usage(_) => Exit::Usage,
            CommandError::Client(error) | CommandError::Cluster(ClusterError::Client(error)) => error.exit(),
            CommandError::Cluster(_)
            | CommandError::Write { .. }
            | CommandError::Service(_)
            | CommandError::System { .. } => Exit::Failed,
        }
    }
}

impl Command {
    /// Returns the levels of log lines that are shown unless the user names others.
    pub(crate) fn default_log(&self) -> &'static str {
        match self {
            Command::Coordinator(_) | Command::Worker(_) => "info",
            Command::Demo(_)
            | Command::Run(_)
            | Command::Submit(_)
            | Command::Watch(_)
            | Command::Runs(_)
            | Command::Show(_)
            | Command::Cancel(_)
            | Command::Pause(_)
            | Command::Resume(_)
            | Command::Limits(_)
            | Command::Explain(_)
            | Command::Pool(_)
            | Command::Cap(_)
            | Command::Activity(_)
            | Command::Retry(_)
            | Command::Rerun(_)
            | Command::Timeline(_)
            | Command::Logs(_)
            | Command::Gantt(_)
            | Command::Batches(_)
            | Command::Workers(_)
            | Command::Drain(_)
            | Command::Spec(_)
            | Command::Health(_) => "warn",
        }
    }

    /// Does it.
    pub(crate) async fn execute(self, log: &LogArgs) -> Result<Exit, CommandError> {
        match self {
            Command::Demo(args) => Box::pin(demo::execute(args, log)).await,
            Command::Run(args) => Box::pin(run::execute(args, log)).await,
            Command::Submit(args) => submit::execute(args).await,
            Command::Watch(args) => watch::execute(args).await,
            Command::Runs(args) => runs::execute(args).await,
            Command::Show(args) => show::execute(args).await,
            Command::Cancel(args) => cancel::execute(args).await,
            Command::Pause(args) => pause::execute(args).await,
            Command::Resume(args) => resume::execute(args).await,
            Command::Limits(args) => limits::execute(args).await,
            Command::Explain(args) => explain::execute(args).await,
            Command::Pool(args) => pool::execute(args).await,
            Command::Cap(args) => cap::execute(args).await,
            Command::Activity(args) => activity::execute(args).await,
            Command::Retry(args) => retry::execute(args).await,
            Command::Rerun(args) => rerun::execute(args).await,
            Command::Timeline(args) => timeline::execute(args).await,
            Command::Logs(args) => logs::execute(args).await,
            Command::Gantt(args) => gantt::execute(args).await,
            Command::Batches(args) => batches::execute(args).await,
            Command::Workers(args) => workers::execute(args).await,
            Command::Drain(args) => drain::execute(args).await,
            Command::Spec(args) => spec::execute(&args),
            Command::Health(args) => health::execute(args).await,
            Command::Coordinator(args) => Box::pin(coordinator::execute(args)).await,
            Command::Worker(args) => Box::pin(worker::execute(args)).await,
        }
    }
}

/// Makes the relative paths of a spec absolute: those of the source from this folder, those of the sinks from another, if it is named.
fn resolve_here(spec: &mut Spec, output: Option<PathBuf>) -> Result<(), CommandError> {
    let here = std::env::current_dir().map_err(system("find the current folder"))?;
    spec.resolve(&here, &here.join(output.unwrap_or_default()));
    Ok(())
}

/// Names the attempt that an error of the system stopped.
fn system(what: &'static str) -> impl FnOnce(io::Error) -> CommandError {
    move |source| CommandError::System { what, source }
}
