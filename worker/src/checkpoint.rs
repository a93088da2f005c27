//! Checkpoints as files: the output of an op, where every worker sees it.
//!
//! Owns their names and bytes: Arrow IPC as the exchange sends it, in
//! `<checkpoint_uri>/.plumbline-r7-<seed>/op-2/000001/12-l1.57.arrow`, below a folder for every [`PER_FOLDER`] batches. The
//! lease in the name keeps attempts apart, so that nothing is ever written over, and the bytes are on the disk before
//! the op is said to have ended. Which of a batch's files counts is the coordinator's record, which holds its length and
//! its checksum; whoever reads that one deletes the others of its batch, which lost attempts left. The folder is
//! deleted when the run is forgotten.
//!
//! All of it is synchronous. Known weakness: what a killed attempt left of a batch that never goes on behind the
//! checkpoint stays until the run is forgotten.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use common::failure::Failure;
use common::ids::{BatchId, LeaseId, OpId};
use common::part::Part;
use common::slice::RunContext;

use crate::batch::Batch;
use crate::disk;

/// For how many batches files share a folder, so that a folder is quickly listed.
const PER_FOLDER: u64 = 256;

/// Writes a batch as the checkpoint of an op, durably, and says where.
pub(crate) fn write(run: &RunContext, op: OpId, id: BatchId, lease: LeaseId, batch: &Batch) -> Result<Part, Failure> {
    let path = path(run, op, id, lease)?;
    let bytes = batch
        .to_ipc()
        .map_err(|error| Failure::permanent(format!("the output cannot be written as a checkpoint: {error}")))?;
    let written = write_file(&path, &bytes);
    if written.is_err() {
        // The attempt fails already; what cannot be removed now goes with the run.
        let _ = disk::remove_file(&path);
    }
    written?;
    let file = path
        .to_str()
        .ok_or_else(|| Failure::permanent(format!("the path {} is not UTF-8", path.display())))?;
    Ok(Part {
        op,
        file: file.to_owned(),
        offset: 0,
        length: bytes.len() as u64,
        checksum: crc32fast::hash(&bytes),
        rows: batch.rows(),
    })
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut file = disk::create(path)?;
    file.write_all(bytes)
        .map_err(|error| disk::failed("write", path, &error))?;
    disk::sync(&file, path)?;
    disk::check_in_place(&file, path)
}

/// Reads the checkpoint that counts for a batch, and deletes what other attempts at it left.
pub(crate) fn read(id: BatchId, part: &Part) -> Result<Batch, Failure> {
    let path = Path::new(&part.file);
    let bytes = fs::read(path).map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            return Failure::retryable(format!("the checkpoint {} is gone", path.display()));
        }
        disk::failed("read", path, &error)
    })?;
    if bytes.len() as u64 != part.length || crc32fast::hash(&bytes) != part.checksum {
        return Err(Failure::retryable(format!(
            "the checkpoint {} is not what was written; leave the folders of a run alone as long as it is kept",
            path.display()
        )));
    }
    let batch = Batch::from_ipc(&bytes)
        .map_err(|error| Failure::retryable(format!("the checkpoint {} is no batch: {error}", path.display())))?;
    delete_others(id, path);
    Ok(batch)
}

/// Deletes what an attempt wrote; nothing there is fine.
pub(crate) fn abandon(run: &RunContext, op: OpId, id: BatchId, lease: LeaseId) -> Result<(), Failure> {
    disk::remove_file(&path(run, op, id, lease)?)
}

/// Deletes every checkpoint of a run; nothing there is fine.
pub(crate) fn sweep(run: &RunContext) -> Result<(), Failure> {
    if run.job.checkpoints().next().is_none() {
        return Ok(());
    }
    disk::remove_folder(&folder(run)?)
}

fn path(run: &RunContext, op: OpId, id: BatchId, lease: LeaseId) -> Result<PathBuf, Failure> {
    let folder = folder(run)?
        .join(format!("op-{}", op.0))
        .join(format!("{:06}", id.index / PER_FOLDER));
    Ok(folder.join(format!("{}{lease}.arrow", prefix(id))))
}

/// Returns what the names of a batch's files begin with, and of no other batch's.
fn prefix(id: BatchId) -> String {
    format!("{id}-")
}

fn folder(run: &RunContext) -> Result<PathBuf, Failure> {
    let root = run.job.checkpoint_uri.as_deref().map(Path::new);
    let root = root.filter(|root| root.is_absolute()).ok_or_else(|| {
        Failure::permanent("the job names no absolute folder for checkpoints; the coordinator should have")
    })?;
    Ok(root.join(format!(".plumbline-{}-{:016x}", run.run, run.seed)))
}

/// What cannot be deleted goes with the run.
fn delete_others(id: BatchId, counts: &Path) {
    let Some(folder) = counts.parent() else { return };
    let prefix = prefix(id);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_of_batch = name.to_str().is_some_and(|name| name.starts_with(&prefix));
        if is_of_batch && counts.file_name() != Some(&name) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use common::ids::Generation;

    use super::*;
    use crate::testing::{batch_of, run_of_ops};

    const OP: OpId = OpId(1);

    fn lease(sequence: u64) -> LeaseId {
        LeaseId {
            generation: Generation(1),
            sequence,
        }
    }

    fn run_in(folder: &Path) -> RunContext {
        let mut run = run_of_ops();
        let job = Arc::make_mut(&mut run.job);
        job.checkpoint_uri = Some(folder.to_str().expect("UTF-8").to_owned());
        job.ops[OP.index()].checkpoint = common::job::Checkpointing::Yes;
        run
    }

    fn files(folder: &Path) -> usize {
        let entries = fs::read_dir(folder).expect("is a folder").flatten();
        entries
            .map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 })
            .sum()
    }

    #[test]
    fn what_is_written_is_read_again_and_what_lost_attempts_left_of_the_batch_goes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = run_in(folder.path());
        let id = BatchId::whole(1);
        write(&run, OP, id, lease(1), &batch_of(3)).expect("is written");
        write(&run, OP, BatchId::whole(10), lease(2), &batch_of(3)).expect("is written");
        let part = write(&run, OP, id, lease(3), &batch_of(5)).expect("is written");
        assert_eq!(files(folder.path()), 3);
        let back = read(id, &part).expect("is read");
        assert_eq!(back.records(), batch_of(5).records());
        assert_eq!(files(folder.path()), 2, "that of the other batch stays");
        abandon(&run, OP, BatchId::whole(10), lease(2)).expect("is removed");
        abandon(&run, OP, BatchId::whole(10), lease(2)).expect("is gone already");
        assert_eq!(files(folder.path()), 1);
        sweep(&run).expect("is removed");
        sweep(&run).expect("is gone already");
        assert_eq!(files(folder.path()), 0);
    }

    #[test]
    fn a_checkpoint_that_is_gone_or_was_changed_is_not_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = run_in(folder.path());
        let id = BatchId::whole(1);
        let part = write(&run, OP, id, lease(1), &batch_of(3)).expect("is written");
        let mut bytes = fs::read(&part.file).expect("is there");
        bytes[100] ^= 1;
        fs::write(&part.file, bytes).expect("is written");
        let failure = read(id, &part).expect_err("was changed");
        assert!(failure.message.contains("not what was written"), "{failure:?}");
        fs::remove_file(&part.file).expect("is there");
        let failure = read(id, &part).expect_err("is gone");
        assert!(failure.message.contains("is gone"), "{failure:?}");
    }

    #[test]
    fn a_disk_that_refuses_fails_the_attempt_with_what_to_do() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("is written");
        let failure = write(&run_in(&file), OP, BatchId::whole(1), lease(1), &batch_of(3)).expect_err("is no folder");
        assert!(failure.kind.may_be_retried(), "{failure:?}");
        assert!(
            failure.message.contains("a file is where a folder should be"),
            "{failure:?}"
        );
    }
}
