//! Which files a run may read, and what its relative paths are relative to.
//!
//! A path is resolved first (every symlink followed), then compared with the roots, then opened without following any
//! symlink, so that nothing can be swapped in between. Outside the roots nothing is told apart: what does not exist
//! there is *outside* too.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::error::SourceError;
use super::open;

/// Where sources are looked for.
#[derive(Clone, Debug)]
pub struct Roots {
    base: PathBuf,
    allowed: AllowedRoots,
}

/// Which folders files may be read from.
#[derive(Clone, Debug)]
pub enum AllowedRoots {
    /// Whatever the user of this process may read: for a coordinator that only its own machine can reach.
    Anywhere,
    /// Only what lies below one of these folders.
    Below(Vec<AllowedRoot>),
}

/// A folder below which files may be read, held open.
#[derive(Clone, Debug)]
pub struct AllowedRoot {
    given: PathBuf,
    path: PathBuf,
    folder: Arc<OwnedFd>,
}

impl AllowedRoots {
    /// Opens the folders, which must exist.
    pub fn below(folders: &[PathBuf]) -> Result<AllowedRoots, SourceError> {
        let mut roots = Vec::new();
        for given in folders {
            let given = std::path::absolute(given).map_err(|error| open::unreadable(given, error))?;
            let path = given.canonicalize().map_err(|error| open::unreadable(&given, error))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = rustix::fs::openat(CWD, &path, flags, Mode::empty())
                .map_err(|error| open::unreadable(&given, error.into()))?;
            roots.push(AllowedRoot {
                given,
                path,
                folder: Arc::new(folder),
            });
        }
        Ok(AllowedRoots::Below(roots))
    }
}

impl Roots {
    /// Makes roots from the folder that relative paths start at and from what may be read.
    pub fn new(base: &Path, allowed: AllowedRoots) -> Result<Roots, SourceError> {
        let base = std::path::absolute(base).map_err(|error| open::unreadable(base, error))?;
        Ok(Roots { base, allowed })
    }

    /// Returns the absolute form of a path, unresolved.
    pub(super) fn absolute(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// Follows every symlink of an absolute path; the result lies below a root.
    pub(super) fn resolve(&self, path: &Path) -> Result<PathBuf, SourceError> {
        self.check_spelling(path)?;
        let resolved = path.canonicalize().map_err(|error| {
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
                SourceError::Missing {
                    path: path.display().to_string(),
                    base: self.base.display().to_string(),
                }
            } else {
                open::unreadable(path, error)
            }
        })?;
        match &self.allowed {
            AllowedRoots::Anywhere => Ok(resolved),
            AllowedRoots::Below(roots) if roots.iter().any(|root| resolved.starts_with(&root.path)) => Ok(resolved),
            AllowedRoots::Below(_) => Err(outside(path)),
        }
    }

    /// Opens a resolved path to read.
    pub(super) fn open(&self, resolved: &Path) -> Result<File, SourceError> {
        let kind = resolved
            .symlink_metadata()
            .map_err(|error| open::unreadable(resolved, error))?
            .file_type();
        open::check_kind(resolved, kind)?;
        let opened = match &self.allowed {
            AllowedRoots::Anywhere => rustix::fs::openat(CWD, resolved, open::FLAGS, Mode::empty()),
            AllowedRoots::Below(roots) => {
                let inner = |root: &AllowedRoot| resolved.strip_prefix(&root.path).ok().map(Path::to_owned);
                let (folder, inner) = roots
                    .iter()
                    .find_map(|root| Some((&root.folder, inner(root)?)))
                    .ok_or_else(|| outside(resolved))?;
                open_beneath(folder, &inner)
            }
        };
        match opened {
            Ok(descriptor) => Ok(File::from(descriptor)),
            // A symlink took the place of a resolved part of the path.
            Err(Errno::LOOP | Errno::XDEV) => Err(outside(resolved)),
            Err(error) => Err(open::unreadable(resolved, error.into())),
        }
    }

    /// Refuses a path that is spelt outside the roots, before anything is looked up there.
    fn check_spelling(&self, path: &Path) -> Result<(), SourceError> {
        let AllowedRoots::Below(roots) = &self.allowed else {
            return Ok(());
        };
        let mut spelt = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => {
                    spelt.pop();
                }
                Component::CurDir => {}
                Component::Prefix(_) | Component::RootDir | Component::Normal(_) => spelt.push(part),
            }
        }
        let is_below = |root: &AllowedRoot| spelt.starts_with(&root.given) || spelt.starts_with(&root.path);
        if roots.iter().any(is_below) {
            Ok(())
        } else {
            Err(outside(path))
        }
    }
}

/// Opens a path below a folder, following no symlink on the way.
#[cfg(target_os = "linux")]
fn open_beneath(folder: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;

    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(folder, path, open::FLAGS, Mode::empty(), resolve) {
        // Kernels before 5.6, and sandboxes that do not know the call.
        Err(Errno::NOSYS | Errno::PERM) => open_step_by_step(folder, path),
        opened => opened,
    }
}

/// Opens a path below a folder, following no symlink on the way.
#[cfg(not(target_os = "linux"))]
fn open_beneath(folder: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    open_step_by_step(folder, path)
}

/// Opens a path of plain names folder by folder, each relative to the one before, none through a symlink.
fn open_step_by_step(folder: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let mut current = None;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else {
            return Err(Errno::XDEV);
        };
        let flags = match parts.peek() {
            Some(_) => open::FLAGS | OFlags::DIRECTORY,
            None => open::FLAGS,
        };
        let parent = current.as_ref().unwrap_or(folder);
        current = Some(rustix::fs::openat(parent, name, flags, Mode::empty())?);
    }
    current.ok_or(Errno::ISDIR)
}

fn outside(path: &Path) -> SourceError {
    SourceError::OutsideRoots {
        path: path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_step_by_step_follows_no_symlink() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("real")).expect("is made");
        std::fs::write(folder.path().join("real/file"), "x").expect("is written");
        std::os::unix::fs::symlink("real", folder.path().join("alias")).expect("is linked");
        std::os::unix::fs::symlink("file", folder.path().join("real/alias")).expect("is linked");
        let root = OwnedFd::from(File::open(folder.path()).expect("is there"));
        assert!(open_step_by_step(&root, Path::new("real/file")).is_ok());
        for refused in ["alias/file", "real/alias", "../x", "/etc/passwd", ""] {
            assert!(open_step_by_step(&root, Path::new(refused)).is_err(), "{refused}");
        }
    }
}
