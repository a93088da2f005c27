//! One real process of a test: its first line, its log, signals, and its end.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::{PATIENCE, until, within};

/// A process; killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts a process whose output goes to files beside each other.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(name: &str, folder: &std::path::Path, mut command: Command) -> Process {
        let stdout = folder.join(format!("{name}.out"));
        let stderr = folder.join(format!("{name}.log"));
        let create = |path| File::create(path).expect("a file for a process's output");
        command
            .stdin(Stdio::null())
            .stdout(create(&stdout))
            .stderr(create(&stderr));
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Process {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
        }
    }

    /// Returns the name it was started with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns everything it has written to standard output.
    pub fn stdout(&self) -> String {
        lossy(&self.stdout)
    }

    /// Returns everything it has written to standard error: its log.
    pub fn log(&self) -> String {
        lossy(&self.stderr)
    }

    /// Waits for its first line on standard output.
    ///
    /// # Panics
    /// If it ends or takes too long before that.
    pub fn first_line(&mut self) -> String {
        let deadline = std::time::Instant::now() + PATIENCE;
        until(&format!("{} prints its first line", self.name), || {
            if let Some((line, _)) = self.stdout().split_once('\n') {
                return Some(line.to_owned());
            }
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(
                ended.is_none(),
                "{} ended before it was ready ({ended:?}):\n{}",
                self.name,
                self.log()
            );
            assert!(
                std::time::Instant::now() < deadline,
                "{} is not ready:\n{}",
                self.name,
                self.log()
            );
            None
        })
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a child has an id");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// Asks it to leave with SIGTERM and waits for its end.
    ///
    /// # Panics
    /// If it takes too long.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(PATIENCE)
    }

    /// Tells how it ended, if it has.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it takes too long.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let name = self.name.clone();
        within(patience, &format!("{name} ends"), || {
            self.child.try_wait().expect("a child can be waited for")
        })
    }

    /// Checks that it logged no error.
    ///
    /// # Panics
    /// If it did.
    pub fn expect_no_error_in_log(&self) {
        let log = self.log();
        let errors: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(" ERROR ") || line.contains("panicked at"))
            .collect();
        assert!(errors.is_empty(), "{} logged errors:\n{}", self.name, errors.join("\n"));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // The test's folder may be gone already.
            let log = fs::read(&self.stderr).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            eprintln!("---- the last of {}'s log\n{tail}", self.name);
        }
    }
}

fn lossy(path: &PathBuf) -> String {
    let mut bytes = Vec::new();
    let mut file = fs::File::open(path).expect("a process's output is a file");
    file.read_to_end(&mut bytes).expect("a file can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}
