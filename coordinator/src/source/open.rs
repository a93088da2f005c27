//! Opens regular files and nothing else, and tells what they are.
//!
//! Nothing is opened that could block or act on being opened: the file's kind is looked at before and after. The
//! kernel's own files (`/proc`, `/sys`) look regular and are refused by their file system.

use std::fs::{File, FileType, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use common::slice::{FrozenSource, SourceFile};
use rustix::fs::{CWD, Mode, OFlags};

use super::error::SourceError;

/// How files are opened: to read, never through a last symlink, never waiting for a writer.
pub(super) const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Opens a file of a frozen listing again. Its path was resolved then; whether it is the same file, its etag says.
pub(super) fn reopen(path: &str) -> Result<File, SourceError> {
    let descriptor = rustix::fs::openat(CWD, path, FLAGS, Mode::empty())
        .map_err(|error| unreadable(Path::new(path), error.into()))?;
    Ok(File::from(descriptor))
}

/// Looks whether the files of a frozen listing are what they were.
///
/// # Errors
/// [`SourceError::Changed`] or [`SourceError::Unreadable`] for the first that is not.
pub fn check_unchanged(source: &FrozenSource) -> Result<(), SourceError> {
    for listed in &source.files {
        let path = Path::new(&listed.path);
        let found = reopen(&listed.path)?
            .metadata()
            .map_err(|error| unreadable(path, error))?;
        if etag(&found) != listed.etag {
            return Err(SourceError::Changed {
                file: listed.path.clone(),
            });
        }
    }
    Ok(())
}

/// Spells a file's etag.
pub(super) fn etag(metadata: &Metadata) -> String {
    SourceFile::etag_of(metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

/// Refuses what is not a regular file, before it is opened.
pub(super) fn check_kind(path: &Path, kind: FileType) -> Result<(), SourceError> {
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(not_a_file(path, what))
}

/// Refuses what turned out not to be a regular file of a real file system.
pub(super) fn check_opened(path: &Path, file: &File) -> Result<Metadata, SourceError> {
    let metadata = file.metadata().map_err(|error| unreadable(path, error))?;
    check_kind(path, metadata.file_type())?;
    if is_of_the_kernel(file).map_err(|error| unreadable(path, error))? {
        return Err(not_a_file(path, "a file of the kernel"));
    }
    Ok(metadata)
}

#[cfg(target_os = "linux")]
fn is_of_the_kernel(file: &File) -> io::Result<bool> {
    const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;
    let kind = rustix::fs::fstatfs(file)?.f_type;
    Ok(kind == rustix::fs::PROC_SUPER_MAGIC || kind == SYSFS_MAGIC)
}

#[cfg(not(target_os = "linux"))]
fn is_of_the_kernel(_file: &File) -> io::Result<bool> {
    Ok(false)
}

fn not_a_file(path: &Path, what: &'static str) -> SourceError {
    SourceError::NotAFile {
        path: path.display().to_string(),
        what,
    }
}

/// Names the file that could not be read.
pub(super) fn unreadable(path: &Path, source: io::Error) -> SourceError {
    SourceError::Unreadable {
        file: path.display().to_string(),
        source,
    }
}
