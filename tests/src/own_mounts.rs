//! Small disks for tests: file systems of a few hundred kilobytes that only the test sees.
//!
//! [`within`] calls the test's own program once more, in a mount namespace of its own and for this test alone; all that
//! is mounted there goes with it. Mounting wants root, and `unshare` and `mount` of util-linux.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skip;

/// Tells the second call that it is one.
const INSIDE: &str = "TEST_OWN_MOUNTS";

/// Runs a test in a mount namespace of its own, or says why it is skipped. The closure has to be written in the test's
/// function itself, whose name is taken from it.
///
/// # Panics
/// If the test fails there.
pub fn within<F: FnOnce()>(test: F) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let able = rustix::process::geteuid().is_root() && works(Command::new("unshare").args(["--mount", "true"]));
    if skip::unless(able.then_some(()), "only root may mount small disks, with unshare").is_none() {
        return;
    }
    let path = std::any::type_name::<F>();
    let path = path.trim_end_matches("::{{closure}}");
    let (_, name) = path.split_once("::").expect("a test is in a crate");
    let here = std::env::current_exe().expect("a test is a program");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let inside = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(here)
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "yes")
        .env("TMPDIR", folder.path())
        .output()
        .expect("unshare can be called");
    let (out, err) = (
        String::from_utf8_lossy(&inside.stdout),
        String::from_utf8_lossy(&inside.stderr),
    );
    assert!(
        inside.status.success() && out.contains("1 passed"),
        "in its own mounts:\n{out}\n{err}"
    );
}

/// A file system of its own that holds little.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts one at a folder, which is made.
    ///
    /// # Panics
    /// If it cannot be mounted: [`within`] has to be around.
    pub fn mount(folder: PathBuf, bytes: u64) -> SmallDisk {
        fs::create_dir_all(&folder).expect("a folder for the disk");
        let options = format!("size={bytes},mode=0777");
        let mut mount = Command::new("mount");
        assert!(
            works(mount.args(["-t", "tmpfs", "-o", &options, "small"]).arg(&folder)),
            "a small disk is mounted"
        );
        SmallDisk { folder }
    }

    /// Returns a path on the disk.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// Fills the disk to the last byte.
    ///
    /// # Panics
    /// If anything but a lack of room ends that.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("an empty file fits");
        for piece in [1 << 16, 1 << 12, 1] {
            let bytes = vec![0; piece];
            let full = loop {
                if let Err(error) = ballast.write_all(&bytes) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
    }

    /// Makes room again.
    ///
    /// # Panics
    /// If the disk was not filled.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("the disk was filled");
    }

    fn ballast(&self) -> PathBuf {
        self.path("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        works(Command::new("umount").arg("--lazy").arg(&self.folder));
    }
}

fn works(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
