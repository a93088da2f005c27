//! The state folder: one coordinator at a time, and a generation that only ever rises.
//!
//! `coordinator.lock` is locked with flock for as long as the process lives; the kernel lets go of it when the process
//! dies, however it dies. `generation` holds a number in decimal, replaced by rename after fsync of file and folder,
//! so that a crash leaves the old number or the new one. Known weakness: flock does not reach over every network file
//! system; a state folder belongs on a local disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use common::ids::Generation;
use rustix::fs::{FlockOperation, flock};

const LOCK_FILE: &str = "coordinator.lock";
const GENERATION_FILE: &str = "generation";

/// A locked state folder.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    generation: Generation,
    /// Held, never read: closing it is what unlocks the folder.
    _lock: File,
}

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Another coordinator runs on it.
    #[error("the state folder {} is in use by another coordinator; stop it, or name another folder with --state", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The generation file holds no number.
    #[error("{} holds no generation; restore it from a copy, or name another folder with --state", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("failed to use the state folder {}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StateDir {
    /// Creates the folder if it is missing, locks it and raises the generation durably.
    ///
    /// # Errors
    /// [`StateDirError::InUse`] when another process holds the lock; others when the disk refuses.
    pub fn open(path: &Path) -> Result<StateDir, StateDirError> {
        let io_error = |source| StateDirError::Io {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(io_error)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK_FILE))
            .map_err(io_error)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StateDirError::InUse { path: path.to_owned() }),
            Err(errno) => return Err(io_error(errno.into())),
        }
        let generation = Generation(read_generation(path)?.0 + 1);
        write_generation(path, generation).map_err(io_error)?;
        Ok(StateDir {
            path: path.to_owned(),
            generation,
            _lock: lock,
        })
    }

    /// Returns the generation of this start.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn read_generation(folder: &Path) -> Result<Generation, StateDirError> {
    let path = folder.join(GENERATION_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(number) => Ok(Generation(number)),
            Err(_) => Err(StateDirError::Damaged { path }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Generation(0)),
        Err(source) => Err(StateDirError::Io { path, source }),
    }
}

fn write_generation(folder: &Path, generation: Generation) -> io::Result<()> {
    let staged = folder.join(format!("{GENERATION_FILE}.new"));
    let mut file = File::create(&staged)?;
    writeln!(file, "{}", generation.0)?;
    file.sync_all()?;
    fs::rename(&staged, folder.join(GENERATION_FILE))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_has_a_greater_generation() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = folder.path().join("state");
        let first = StateDir::open(&state).expect("a new folder").generation();
        let second = StateDir::open(&state).expect("the same folder").generation();
        assert_eq!((first, second), (Generation(1), Generation(2)));
    }

    #[test]
    fn a_second_coordinator_on_the_same_folder_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let _first = StateDir::open(folder.path()).expect("nobody else is here");
        assert!(matches!(
            StateDir::open(folder.path()),
            Err(StateDirError::InUse { .. })
        ));
    }

    #[test]
    fn a_damaged_generation_is_refused_and_not_started_over() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join(GENERATION_FILE), "seven").expect("writes");
        assert!(matches!(
            StateDir::open(folder.path()),
            Err(StateDirError::Damaged { .. })
        ));
    }
}
