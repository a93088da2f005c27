//! Files and folders of sinks and checkpoints, durably, with errors that name the path and say what to do.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::failure::Failure;

/// Attempts to make a file in a folder that others remove when they find it empty.
const CREATE_ATTEMPTS: usize = 8;

/// Turns an error of the file system into a failure that names the path.
pub(crate) fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    let is = |kinds: &[ErrorKind]| kinds.contains(&error.kind());
    let hint = if is(&[ErrorKind::StorageFull, ErrorKind::QuotaExceeded]) {
        "; free some space, or write to another disk"
    } else if is(&[ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem]) {
        "; let the worker's user write there"
    } else if is(&[ErrorKind::NotADirectory, ErrorKind::AlreadyExists]) {
        "; a file is where a folder should be: move it away"
    } else if is(&[ErrorKind::IsADirectory]) {
        "; a folder is where a file should be: move it away"
    } else {
        ""
    };
    Failure::retryable(format!("cannot {what} {}: {error}{hint}", path.display()))
}

/// Makes an empty file, with the folders above it; what an earlier try left there is gone.
pub(crate) fn create(path: &Path) -> Result<File, Failure> {
    let mut attempt = 1;
    loop {
        if let Some(folder) = path.parent() {
            create_folder(folder)?;
        }
        match OpenOptions::new().write(true).create(true).truncate(true).open(path) {
            Ok(file) => return Ok(file),
            // Somebody removed the folder in between, because it was empty.
            Err(error) if error.kind() == ErrorKind::NotFound && attempt < CREATE_ATTEMPTS => attempt += 1,
            Err(error) => return Err(failed("create", path, &error)),
        }
    }
}

/// Makes a folder and those above it, and makes their names durable.
pub(crate) fn create_folder(folder: &Path) -> Result<(), Failure> {
    if folder.is_dir() {
        return Ok(());
    }
    let missing: Vec<&Path> = folder.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    fs::create_dir_all(folder).map_err(|error| failed("create the folder", folder, &error))?;
    for parent in missing.iter().filter_map(|created| created.parent()) {
        sync_folder(parent)?;
    }
    Ok(())
}

/// Makes a file's bytes and its name durable.
pub(crate) fn sync(file: &File, path: &Path) -> Result<(), Failure> {
    file.sync_all().map_err(|error| failed("write", path, &error))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes sure that a path still names the file that was written: somebody may have removed it, or the folder above it.
pub(crate) fn check_in_place(file: &File, path: &Path) -> Result<(), Failure> {
    let written = file.metadata().map_err(|error| failed("look at", path, &error))?;
    match fs::metadata(path) {
        Ok(found) if (found.dev(), found.ino()) == (written.dev(), written.ino()) => Ok(()),
        Ok(_) | Err(_) => Err(Failure::retryable(format!(
            "{} was removed while it was written; leave the folders of a run alone until it has ended",
            path.display()
        ))),
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Failure> {
    match File::open(folder).and_then(|opened| opened.sync_all()) {
        // Removed by another attempt that found it empty, so there is no name to keep.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.map_err(|error| failed("sync the folder", folder, &error)),
    }
}

/// Gives a staged file its final name, durably. If that was done before, nothing happens.
pub(crate) fn publish(staged: &Path, place: &Path, length: u64) -> Result<(), Failure> {
    put_in_place(staged, place, length)?;
    place.parent().map_or(Ok(()), sync_folder)
}

/// Gives a staged file its final name, which is durable when its folder is synced. If that was done before, nothing
/// happens.
pub(crate) fn put_in_place(staged: &Path, place: &Path, length: u64) -> Result<(), Failure> {
    if let Some(folder) = place.parent() {
        create_folder(folder)?;
    }
    match fs::rename(staged, place) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => check_published(staged, place, length),
        Err(error) => Err(failed("put in place", place, &error)),
    }
}

fn check_published(staged: &Path, place: &Path, length: u64) -> Result<(), Failure> {
    match fs::metadata(place) {
        Ok(found) if found.is_file() && found.len() == length => Ok(()),
        Ok(_) | Err(_) => Err(Failure::permanent(format!(
            "the committed output {} is gone and {} is not it; somebody else changed these files: run the job again",
            staged.display(),
            place.display()
        ))),
    }
}

/// Removes a file. If there is none, nothing happens.
pub(crate) fn remove_file(path: &Path) -> Result<(), Failure> {
    ignoring_absence(fs::remove_file(path)).map_err(|error| failed("remove", path, &error))
}

/// Removes a folder with everything in it. If there is none, nothing happens.
pub(crate) fn remove_folder(path: &Path) -> Result<(), Failure> {
    ignoring_absence(fs::remove_dir_all(path)).map_err(|error| failed("remove the folder", path, &error))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Removes a folder if nothing is in it.
pub(crate) fn remove_empty_folder(path: &Path) -> Result<(), Failure> {
    match ignoring_absence(fs::remove_dir(path)) {
        Err(error) if error.kind() != ErrorKind::DirectoryNotEmpty => Err(failed("remove the folder", path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn ignoring_absence(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(()) | Err(_) => result,
    }
}
