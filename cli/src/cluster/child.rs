//! One process of a local cluster.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use common::state::Reopening;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStderr, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::{ClusterOptions, Logs, log_file};
use crate::output::Screen;

/// How many of the last lines of a log an error shows.
const LAST_LINES: usize = 5;

/// How long the last lines of a process that has ended may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A child process, killed when dropped.
pub(super) struct Child {
    name: String,
    process: tokio::process::Child,
    log: Option<PathBuf>,
    ended: Option<String>,
    reported: bool,
    /// Hands the child's log lines to the screen.
    relay: JoinSet<()>,
}

impl Child {
    pub(super) fn coordinator(options: &ClusterOptions, folder: &Path, screen: &Screen) -> io::Result<Child> {
        let mut command = this_program(options)?;
        command
            .arg("coordinator")
            .args(["--grpc", &options.ports.grpc.to_string()])
            .args(["--worker-grpc", &options.ports.worker_grpc.to_string()])
            .args(["--web", &options.ports.web.to_string()])
            .arg("--state")
            .arg(folder.join("state"))
            .args(match options.reopening {
                Reopening::Possible => None,
                Reopening::Never => Some("--final-runs"),
            })
            .arg("--checkpoint-root")
            .arg(folder.join("checkpoints"))
            .stdout(Stdio::piped());
        Child::spawn("coordinator".to_owned(), command, options, folder, screen)
    }

    pub(super) fn worker(
        options: &ClusterOptions,
        number: u32,
        coordinator: &str,
        folder: &Path,
        screen: &Screen,
    ) -> io::Result<Child> {
        let name = format!("w{number}");
        let mut command = this_program(options)?;
        command
            .args(["worker", "--not-ready-line"])
            .args(["--coordinator", &format!("http://{coordinator}")])
            .args(["--slots", &options.slots.to_string()])
            .args(["--name", &name])
            .args(options.allow_exec.iter().flat_map(|program| ["--allow-exec", program]))
            // The stdout sink writes there.
            .stdout(Stdio::inherit());
        Child::spawn(name, command, options, folder, screen)
    }

    fn spawn(
        name: String,
        mut command: Command,
        options: &ClusterOptions,
        folder: &Path,
        screen: &Screen,
    ) -> io::Result<Child> {
        let log = match options.logs {
            Logs::Screen => {
                command.stderr(Stdio::piped());
                None
            }
            Logs::Files => {
                let path = log_file(folder, &name);
                command.stderr(File::create(&path)?);
                Some(path)
            }
        };
        command
            .env("TMPDIR", folder)
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut process = command.spawn()?;
        let mut relay = JoinSet::new();
        if let Some(lines) = process.stderr.take() {
            relay.spawn(relay_lines(lines, screen.clone()));
        }
        Ok(Child {
            name,
            process,
            log,
            ended: None,
            reported: false,
            relay,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn take_stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.process.stdout.take().expect("the coordinator's output is piped"))
    }

    /// Tells how the process ended, if it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.process.try_wait()
        {
            self.ended = Some(describe(status));
        }
        self.ended.clone()
    }

    /// Tells how the process ended, once.
    pub(super) fn newly_ended(&mut self) -> Option<String> {
        let how = self.ended()?;
        let first = !std::mem::replace(&mut self.reported, true);
        first.then_some(how)
    }

    /// Waits for the process's end.
    pub(super) async fn wait(&mut self) -> String {
        match self.process.wait().await {
            Ok(status) => describe(status),
            Err(error) => error.to_string(),
        }
    }

    /// Asks the process to leave in order.
    pub(super) fn terminate(&mut self) {
        let pid = self.process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::debug!(name = self.name, %error, "a process was gone before it was asked to leave");
        }
    }

    /// Waits for the process's end, and kills it when it takes too long.
    pub(super) async fn wait_or_kill(&mut self, deadline: Instant) {
        if timeout_at(deadline, self.process.wait()).await.is_err() {
            tracing::warn!(name = self.name, "a process did not leave in time and was killed");
            if let Err(error) = self.process.kill().await {
                tracing::warn!(name = self.name, %error, "a process could not be killed");
            }
        }
        // Its last lines are still on their way: the pipe ends when the process has.
        let rest = async { while self.relay.join_next().await.is_some() {} };
        let _ = timeout(LAST_WORDS, rest).await;
    }

    /// Returns the end of the log, where the screen has not shown it already.
    pub(super) fn last_words(&self) -> String {
        let Some(text) = self.log.as_ref().and_then(|path| std::fs::read_to_string(path).ok()) else {
            return String::new();
        };
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ");
        format!("; its last lines:\n  {last}")
    }
}

/// Begins the command line that every child has in common.
fn this_program(options: &ClusterOptions) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--exit-with-parent", &std::process::id().to_string()])
        .args(["--log", &options.levels]);
    // What configures a cluster of the user's own must not configure this one.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PLUMB_") && name != "PLUMB_LOG_FORMAT" {
            command.env_remove(name);
        }
    }
    Ok(command)
}

async fn relay_lines(stderr: ChildStderr, screen: Screen) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        screen.line(&line);
    }
}

fn describe(status: ExitStatus) -> String {
    status.to_string()
}
