//! `plumb`: the one program a user needs.
//!
//! Owns the process: arguments, logs, the runtime, the exit code. Commands are in `commands`; what they share is
//! beside them: the spec loader, the client, the local cluster, the charts.

mod args;
mod client;
mod cluster;
mod command_line;
mod commands;
mod exit;
mod gantt;
mod listing;
mod logging;
mod memory;
mod output;
mod parent;
mod progress;
mod signals;
mod spec;
mod summary;
mod table;
mod timeline;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::command_line::Cli;
use crate::exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(parent) = cli.exit_with_parent
        && let Err(error) = parent::exit_with(parent)
    {
        output::message(&format!("error: cannot be tied to the parent process: {error}"));
        return Exit::Failed.into();
    }
    logging::start(&cli.log, cli.command.default_log());
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::message(&format!("error: {error:#}"));
            Exit::Failed.into()
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    // One thread drives all connections; children are tied to it, so it is the main one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(cli.command.execute(&cli.log));
    // What still blocks after a second request to stop must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(exit) => Ok(exit),
        Err(error) => {
            output::message(&format!("error: {error}"));
            Ok(error.exit())
        }
    }
}
