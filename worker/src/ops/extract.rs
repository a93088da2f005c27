//! `extract`: reads the batch's slice of the source.
//!
//! The slice's bytes are read at once into one buffer; the columns that the chain needs become views into it. The
//! buffer comes from a pool ([`super::buffers`]) and goes back to it with the last view. The file must be the one that
//! was listed when the run was accepted: its etag is compared before and after reading.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use common::failure::Failure;
use common::job::OpKind;
use common::slice::{ByteSlice, RunContext, Slice, SourceFile};

use super::buffers::{BufferPool, PooledBuffer};
use super::reader::{self, SliceText};
use super::{ColumnNames, Op, OpContext, OpFactory, OpInput, OpOutput, OpenOp};
use crate::batch::{Batch, Provenance};

/// Bytes behind the slice in its buffer, so that every field can be looked at by 16 bytes.
const SLACK: usize = 64;
/// The largest slice: views have 31-bit offsets.
const MAX_SLICE_BYTES: u64 = i32::MAX as u64 - SLACK as u64;

pub(super) struct ExtractFactory;

impl OpFactory for ExtractFactory {
    fn kind(&self) -> &'static str {
        "extract"
    }

    fn needs(&self, _kind: &OpKind, _input: &[String], later: ColumnNames) -> ColumnNames {
        later
    }

    fn output(&self, _kind: &OpKind, input: &SchemaRef) -> Result<SchemaRef, Failure> {
        Ok(input.clone())
    }

    fn open(&self, open: &OpenOp<'_>) -> Result<Box<dyn Op>, Failure> {
        Ok(Box::new(Extract {
            run: open.run.clone(),
            output: open.output.clone(),
            open_file: None,
            buffers: BufferPool::default(),
        }))
    }
}

struct Extract {
    run: Arc<RunContext>,
    /// The needed columns.
    output: SchemaRef,
    /// The file of the last slice, by its place in the listing: slices of a file mostly follow each other.
    open_file: Option<(u32, File)>,
    buffers: BufferPool,
}

impl Op for Extract {
    fn run(&mut self, input: OpInput, context: &OpContext) -> Result<OpOutput, Failure> {
        let slice = match input {
            OpInput::Slice(Slice::Bytes(slice)) => slice,
            OpInput::Batch(_) => return Err(Failure::permanent("extract was given a batch; it reads slices only")),
        };
        let run = Arc::clone(&self.run);
        let Some(file) = run.source.files.get(slice.file.0 as usize) else {
            return Err(Failure::permanent(format!(
                "the run's listing has no file {}",
                slice.file.0
            )));
        };
        let bytes = self.read(&slice, file)?;
        context.cancel.check()?;
        let text = SliceText {
            path: &file.path,
            first_line: slice.first_line,
            bytes: bytes.into_buffer(),
            length: slice.end.saturating_sub(slice.start) as usize,
        };
        let dialect = &run.job.source.csv;
        let records = reader::read(text, dialect, &run.source.columns, &self.output, &context.cancel)?;
        let provenance = Provenance {
            file: slice.file,
            start: slice.start,
            first_line: slice.first_line,
            first_row: slice.first_row,
            rows_before: slice.rows_before,
            places: None,
        };
        let rows = records.num_rows() as u64;
        Ok(OpOutput::of(Batch::new(records, provenance), rows))
    }

    fn close(&mut self) -> Result<(), Failure> {
        self.open_file = None;
        Ok(())
    }
}

impl Extract {
    fn read(&mut self, slice: &ByteSlice, listed: &SourceFile) -> Result<PooledBuffer, Failure> {
        let length = slice.end.saturating_sub(slice.start);
        if length > MAX_SLICE_BYTES {
            return Err(Failure::permanent(format!(
                "{}: a batch of {length} bytes is too large, at most {MAX_SLICE_BYTES} bytes are possible; \
                 set batch.rows or batch.bytes",
                listed.path
            )));
        }
        let result = self.read_bytes(slice, listed, length as usize);
        if result.is_err() {
            // Opened anew by the next attempt: the file may have been moved away and put back.
            self.open_file = None;
        }
        result
    }

    fn read_bytes(&mut self, slice: &ByteSlice, listed: &SourceFile, length: usize) -> Result<PooledBuffer, Failure> {
        let io = |what, error: std::io::Error| {
            Failure::retryable(format!("cannot {what} the source file {}: {error}", listed.path))
        };
        let file = match self.open_file.take() {
            Some((id, file)) if id == slice.file.0 => file,
            Some(_) | None => File::open(&listed.path).map_err(|error| io("open", error))?,
        };
        check_unchanged(&file, listed).map_err(|error| io("look at", error))??;
        let mut bytes = self.buffers.take(length + SLACK);
        file.read_exact_at(&mut bytes.as_mut_slice()[..length], slice.start)
            .map_err(|error| io("read", error))?;
        check_unchanged(&file, listed).map_err(|error| io("look at", error))??;
        self.open_file = Some((slice.file.0, file));
        Ok(bytes)
    }
}

fn check_unchanged(file: &File, listed: &SourceFile) -> std::io::Result<Result<(), Failure>> {
    let found = file.metadata()?;
    if SourceFile::etag_of(found.ino(), found.size(), found.mtime(), found.mtime_nsec()) == listed.etag {
        return Ok(Ok(()));
    }
    Ok(Err(Failure::permanent(format!(
        "{} has changed since the run was accepted; submit the job again",
        listed.path
    ))))
}
