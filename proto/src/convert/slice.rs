//! Slices, the frozen source, and what a worker is told of a run.

use std::sync::Arc;

use common::slice::{BadRow, ByteSlice, FileId, FrozenSource, RunContext, Slice, SourceFile};

use super::ids::run_id;
use super::{InvalidMessage, required};
use crate::v1;

impl From<&Slice> for v1::Slice {
    fn from(slice: &Slice) -> Self {
        let kind = match slice {
            Slice::Bytes(bytes) => v1::slice::Kind::Bytes(v1::ByteSlice {
                file: bytes.file.0,
                start: bytes.start,
                end: bytes.end,
                first_line: bytes.first_line,
                first_row: bytes.first_row,
                rows: bytes.rows,
                rows_before: bytes.rows_before,
            }),
        };
        v1::Slice { kind: Some(kind) }
    }
}

impl TryFrom<v1::Slice> for Slice {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Slice) -> Result<Self, InvalidMessage> {
        match wire.kind {
            Some(v1::slice::Kind::Bytes(bytes)) => ByteSlice::try_from(bytes)
                .map(Slice::Bytes)
                .map_err(|error| error.within("bytes")),
            None => Err(InvalidMessage::missing("kind")),
        }
    }
}

impl TryFrom<v1::ByteSlice> for ByteSlice {
    type Error = InvalidMessage;

    fn try_from(wire: v1::ByteSlice) -> Result<Self, InvalidMessage> {
        if wire.end < wire.start {
            return Err(InvalidMessage::new("end", "lies before the start"));
        }
        Ok(ByteSlice {
            file: FileId(wire.file),
            start: wire.start,
            end: wire.end,
            first_line: wire.first_line,
            first_row: wire.first_row,
            rows: wire.rows,
            rows_before: wire.rows_before,
        })
    }
}

impl From<&Slice> for v1::BatchSlice {
    fn from(slice: &Slice) -> Self {
        match slice {
            Slice::Bytes(bytes) => v1::BatchSlice {
                file: bytes.file.0,
                start: bytes.start,
                end: bytes.end,
                first_line: bytes.first_line,
                rows: bytes.rows,
            },
        }
    }
}

impl From<&BadRow> for v1::BadRow {
    fn from(row: &BadRow) -> Self {
        v1::BadRow {
            line: row.line,
            byte: row.byte,
            text: row.text.clone(),
        }
    }
}

impl From<&SourceFile> for v1::SourceFile {
    fn from(file: &SourceFile) -> Self {
        v1::SourceFile {
            path: file.path.clone(),
            bytes: file.bytes,
            etag: file.etag.clone(),
            data_start: file.data_start,
        }
    }
}

impl From<v1::SourceFile> for SourceFile {
    fn from(wire: v1::SourceFile) -> Self {
        SourceFile {
            path: wire.path,
            bytes: wire.bytes,
            etag: wire.etag,
            data_start: wire.data_start,
        }
    }
}

impl From<&FrozenSource> for v1::FrozenSource {
    fn from(source: &FrozenSource) -> Self {
        v1::FrozenSource {
            files: source.files.iter().map(Into::into).collect(),
            columns: source.columns.clone(),
        }
    }
}

impl From<v1::FrozenSource> for FrozenSource {
    fn from(wire: v1::FrozenSource) -> Self {
        FrozenSource {
            files: wire.files.into_iter().map(Into::into).collect(),
            columns: wire.columns,
        }
    }
}

impl From<&RunContext> for v1::RunContext {
    fn from(context: &RunContext) -> Self {
        v1::RunContext {
            run: context.run.0,
            job: Some(context.job.as_ref().into()),
            source: Some(context.source.as_ref().into()),
            seed: context.seed,
        }
    }
}

impl TryFrom<v1::RunContext> for RunContext {
    type Error = InvalidMessage;

    fn try_from(wire: v1::RunContext) -> Result<Self, InvalidMessage> {
        let spec = wire.job.ok_or_else(|| InvalidMessage::missing("job"))?;
        let job = common::job::Job::try_from(spec)
            .map_err(|invalid| InvalidMessage::new("job", format!("is no job: {invalid}")))?;
        let source: FrozenSource = required("source", wire.source)?;
        Ok(RunContext {
            run: run_id("run", wire.run)?,
            job: Arc::new(job),
            source: Arc::new(source),
            seed: wire.seed,
        })
    }
}
