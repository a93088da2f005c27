//! The `plumb` binary as a user calls it: a command line, its output, its exit code.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::process::Process;
use crate::report::RunReport;
use crate::repository;
use crate::scratch::Scratch;

/// How long a command may take: a minute for what should take seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Builds a call of `plumb` in a test's folder.
#[derive(Debug)]
pub struct Plumb {
    command: Command,
    folder: PathBuf,
    name: String,
}

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code; 128 and more for a signal, as shells say it.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// Returns the binary: named in `PLUMB_BIN`, or built beside this test.
///
/// # Panics
/// If it is not there.
pub fn binary() -> PathBuf {
    let named = std::env::var_os("PLUMB_BIN").map(PathBuf::from);
    let binary = named.unwrap_or_else(|| repository::build().join("plumb"));
    assert!(
        binary.is_file(),
        "{} is not there: build it with `make build`",
        binary.display()
    );
    binary
}

impl Plumb {
    /// Begins a call with the words of a command, such as `["spec", "check"]`.
    pub fn new<W: AsRef<OsStr>>(scratch: &Scratch, words: impl IntoIterator<Item = W>) -> Plumb {
        let words: Vec<_> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        let name = words
            .first()
            .map_or_else(|| "plumb".to_owned(), |word| word.to_string_lossy().into_owned());
        let mut command = Command::new(binary());
        command.args(&words).current_dir(scratch.folder());
        // What configures the user's own cluster must not configure a test's.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("PLUMB_") {
                command.env_remove(variable);
            }
        }
        scratch.mark_as_ours(&mut command);
        command.env("TMPDIR", scratch.temporary());
        Plumb {
            command,
            folder: scratch.folder().to_owned(),
            name,
        }
    }

    /// Adds a word.
    #[must_use]
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Plumb {
        self.command.arg(word);
        self
    }

    /// Adds words.
    #[must_use]
    pub fn args<W: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = W>) -> Plumb {
        self.command.args(words);
        self
    }

    /// Calls it in another folder: relative paths of a spec start there.
    #[must_use]
    pub fn in_folder(mut self, folder: impl AsRef<std::path::Path>) -> Plumb {
        self.command.current_dir(folder);
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Plumb {
        self.command.env(name, value);
        self
    }

    /// Takes from it the power of root to read and write what permissions forbid. A test that is not root's has none.
    #[must_use]
    pub fn bound_by_permissions(self) -> Plumb {
        if !rustix::process::geteuid().is_root() {
            return self;
        }
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search"]);
        command.arg(self.command.get_program()).args(self.command.get_args());
        command.current_dir(&self.folder);
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Plumb { command, ..self }
    }

    /// Starts it as a process that goes on; its output goes to files of that name.
    pub fn start_as(self, name: &str) -> Process {
        Process::start(name, &self.folder, self.command)
    }

    /// Calls it and waits for its end.
    ///
    /// # Panics
    /// If it takes too long.
    pub fn call(self) -> Ended {
        let name = format!("call-{}-{}", self.name, std::process::id());
        let folder = tempfile::tempdir_in(&self.folder).expect("a folder for a command's output");
        let mut process = Process::start(&name, folder.path(), self.command);
        let status = process.wait(PATIENCE);
        let by_signal = std::os::unix::process::ExitStatusExt::signal(&status);
        let code = status.code().unwrap_or_else(|| 128 + by_signal.unwrap_or_default());
        Ended {
            code,
            stdout: process.stdout(),
            stderr: process.log(),
        }
    }
}

impl Ended {
    /// Checks the exit code.
    ///
    /// # Panics
    /// If it is another one.
    pub fn expect_code(self, code: i32) -> Ended {
        assert_eq!(self.code, code, "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Reads the summary, which is the last line on standard output.
    ///
    /// # Panics
    /// If there is none.
    pub fn report(&self) -> RunReport {
        let line = self.stdout.lines().last();
        RunReport::read(line.unwrap_or_else(|| panic!("no summary was printed; stderr:\n{}", self.stderr)))
    }
}
