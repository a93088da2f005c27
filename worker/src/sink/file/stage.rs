//! Staging: writes bytes to a file that belongs to one attempt, and counts and sums them on the way.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use common::failure::Failure;
use common::ids::{BatchId, LeaseId};
use common::job::{FileFormat, SingleFile};
use common::part::Part;

use super::disk;
use super::target::Target;
use crate::batch::Batch;
use crate::ops::OpContext;
use crate::sink::text::{RowWriter, csv_header};

/// A file that is being staged. It is removed again unless it gets as far as [`Staged::seal`].
pub(super) struct Staged<'a> {
    target: &'a Target,
    path: PathBuf,
    file: File,
    length: u64,
    checksum: crc32fast::Hasher,
    sealed: Sealed,
}

#[derive(PartialEq, Eq)]
enum Sealed {
    No,
    Yes,
}

impl<'a> Staged<'a> {
    /// Makes the empty file of an attempt.
    pub(super) fn create(target: &'a Target, batch: Option<BatchId>, lease: LeaseId) -> Result<Staged<'a>, Failure> {
        let path = target.staged(batch, lease);
        Ok(Staged {
            target,
            file: disk::create(&path)?,
            path,
            length: 0,
            checksum: crc32fast::Hasher::new(),
            sealed: Sealed::No,
        })
    }

    /// Appends bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.write_all(bytes)
            .map_err(|error| disk::failed("write", &self.path, &error))
    }

    /// Makes the file durable and returns it as a part.
    pub(super) fn seal(mut self, rows: u64) -> Result<Part, Failure> {
        disk::sync(&self.file, &self.path)?;
        disk::check_in_place(&self.file, &self.path)?;
        self.sealed = Sealed::Yes;
        Ok(Part {
            op: self.target.op,
            file: utf8_path(&self.path)?,
            offset: 0,
            length: self.length,
            checksum: self.checksum.clone().finalize(),
            rows,
        })
    }
}

impl Write for Staged<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.checksum.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if self.sealed == Sealed::No {
            // The attempt fails already, and the end of the run sweeps what cannot be removed now.
            let _ = disk::remove_file(&self.path);
        }
    }
}

/// Stages the rows of a batch; a batch without rows makes no part. The text is memory to be used again.
pub(super) fn stage_batch(
    target: &Target,
    batch: &Batch,
    text: &mut Vec<u8>,
    context: &OpContext,
) -> Result<Option<Part>, Failure> {
    if batch.rows() == 0 {
        return Ok(None);
    }
    let rows = RowWriter::new(target.format, batch)?;
    let mut staged = Staged::create(target, Some(context.batch), context.lease)?;
    text.clear();
    // The joined file has one header, which the join writes.
    match (target.format, target.single_file) {
        (FileFormat::Csv, SingleFile::Parts) => text.extend_from_slice(&csv_header(&target.columns)),
        (FileFormat::Csv, SingleFile::Join) | (FileFormat::Jsonl, _) => {}
    }
    rows.write_rows(text, &context.cancel, |bytes| staged.write_all(bytes))
        .map_err(|error| error.into_failure(|error| disk::failed("write", &staged.path, error)))?;
    staged.seal(batch.rows()).map(Some)
}

fn utf8_path(path: &std::path::Path) -> Result<String, Failure> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::permanent(format!("the path {} is not UTF-8", path.display())))
}
