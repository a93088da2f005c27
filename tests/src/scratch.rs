//! A test's own folder: inputs, outputs, state, temporary files; and the mark that its processes carry.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::wait::until;

/// The environment variable that carries the mark. Local clusters take `PLUMB_*` out, and this one stays.
const MARK: &str = "TEST_SCRATCH";

static SCRATCHES: AtomicU32 = AtomicU32::new(0);

/// A folder that goes with the test.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    mark: String,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

impl Scratch {
    /// Makes a folder with one for temporary files in it.
    ///
    /// # Panics
    /// If the disk refuses.
    pub fn new() -> Scratch {
        let folder = tempfile::Builder::new()
            .prefix("plumb-test-")
            .tempdir()
            .expect("a temporary folder");
        fs::create_dir(folder.path().join("tmp")).expect("a folder for temporary files");
        let number = SCRATCHES.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{number}", std::process::id());
        Scratch { folder, mark }
    }

    /// Returns a path in the folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file in the folder and returns its path.
    ///
    /// # Panics
    /// If the disk refuses.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Lets a command's process, and what it starts, count among the test's.
    pub fn mark_as_ours(&self, command: &mut Command) {
        command.env(MARK, &self.mark);
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.path("tmp")
    }

    /// Returns the command lines of the living processes that came from this test, by process id.
    ///
    /// # Panics
    /// If /proc cannot be read.
    pub fn processes(&self) -> BTreeMap<u32, String> {
        let wanted = format!("{MARK}={}", self.mark);
        let marked = |pid: u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let ours = environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == wanted.as_bytes());
            let line = ours.then(|| fs::read(format!("/proc/{pid}/cmdline")).ok()).flatten()?;
            // A process that has ended and was not waited for has no command line.
            (!line.is_empty()).then(|| (pid, String::from_utf8_lossy(&line).replace('\0', " ")))
        };
        let entries = fs::read_dir("/proc").expect("Linux has /proc");
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter_map(marked).collect()
    }

    /// Waits until none of the test's processes is left.
    ///
    /// # Panics
    /// If one stays.
    pub fn expect_no_process(&self) {
        until(&format!("no process is left of {}", self.mark), || {
            let left = self.processes();
            left.is_empty().then_some(())
        });
    }

    /// Checks that nothing temporary is left.
    ///
    /// # Panics
    /// If something is.
    pub fn expect_no_temporary_file(&self) {
        let left = files_below(&self.temporary());
        assert!(left.is_empty(), "temporary files are left: {left:?}");
    }

    /// Returns every file below a folder of the scratch, hidden ones too, as relative paths in order.
    pub fn files_in(&self, name: &str) -> Vec<String> {
        files_below(&self.path(name))
    }
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let relative = path.strip_prefix(folder).expect("it was found below");
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
