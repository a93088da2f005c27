//! The folder of a local cluster's state, logs, spilled outputs and checkpoints.
//!
//! It goes with the cluster. A parent that is killed with SIGKILL cannot remove its own, so the next cluster does: the
//! owner holds a lock on a file in it, which the kernel gives up with the process, whatever ends it. A folder without
//! that file is one that is being made, and is left alone.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

const PREFIX: &str = "plumb-cluster-";
const LOCK: &str = "owner.lock";

/// A folder that is removed when it is dropped or closed.
#[derive(Debug)]
pub(super) struct Folder {
    folder: TempDir,
    /// Held for its lock.
    _lock: File,
}

impl Folder {
    /// Makes a folder, and removes those whose owners are gone.
    pub(super) fn make() -> io::Result<Folder> {
        Folder::make_in(&std::env::temp_dir())
    }

    fn make_in(parent: &Path) -> io::Result<Folder> {
        remove_orphans(parent);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        // Locked before it has its name: nobody finds it unlocked.
        let unnamed = folder.path().join("owner.lock.new");
        let lock = File::create_new(&unnamed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(&unnamed, folder.path().join(LOCK))?;
        Ok(Folder { folder, _lock: lock })
    }

    /// Returns where it is.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Removes it with all that is in it.
    pub(super) fn close(self) -> io::Result<()> {
        self.folder.close()
    }
}

/// Removes the folders whose owners ended without doing so. Others' folders, and what cannot be read, are left alone.
fn remove_orphans(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        match fs::remove_dir_all(entry.path()) {
            Ok(()) => tracing::debug!(folder = %entry.path().display(), "removed what a killed cluster left"),
            Err(error) => tracing::debug!(folder = %entry.path().display(), %error, "could not remove a folder"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_cluster_removes_what_a_killed_one_left_and_nothing_else() {
        let parent = tempfile::tempdir().expect("a temporary folder can be made");
        let living = Folder::make_in(parent.path()).expect("a folder can be made");
        let orphan = parent.path().join(format!("{PREFIX}orphan"));
        fs::create_dir(&orphan).expect("a folder can be made");
        File::create(orphan.join(LOCK)).expect("a file can be made");
        let unfinished = parent.path().join(format!("{PREFIX}unfinished"));
        fs::create_dir(&unfinished).expect("a folder can be made");
        let next = Folder::make_in(parent.path()).expect("a folder can be made");
        assert!(!orphan.exists());
        assert!(living.path().exists() && unfinished.exists());
        let path = next.path().to_owned();
        next.close().expect("the folder can be removed");
        assert!(!path.exists());
    }
}
