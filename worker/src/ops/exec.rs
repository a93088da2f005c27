//! `exec`: sends the rows of a batch through a program of this machine.
//!
//! Only programs that the worker was started with ([`AllowedPrograms`]) are run, by the path that was found then, without a
//! shell; a worker that allows none does not announce the op. The program gets the rows as CSV or as lines on its standard
//! input, and gives rows back in the same format ([`process`] feeds it and watches over it); what it writes to its standard
//! error are lines of the task's log. Its environment is a few names of the worker's and four of Plumbline's.
//!
//! It may drop rows, so the place of a row that is left is not known: rows behind it are numbered as they are left. It may
//! not add any, or rows that were read would not be those that were loaded, filtered, rejected or failed.
//!
//! Known weakness: whoever allows an interpreter allows everything that it can be told.

mod allowed;
mod process;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray, UInt32Array};
use arrow_buffer::Buffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use common::failure::Failure;
use common::job::{CsvDialect, Exec, ExecFormat, FileFormat, OpKind};
use common::logs::LogLevel;
use csv::{ByteRecord, ReaderBuilder};

pub use allowed::{AllowedPrograms, UnknownProgram};

use self::process::{Ended, Fed, Program};
use super::reader::{self, SliceText};
use super::{CancelToken, ColumnNames, Op, OpContext, OpFactory, OpInput, OpOutput, OpenOp, wrong_kind};
use crate::batch::{Batch, Provenance};
use crate::column::TextColumn;
use crate::sink::text::{RowWriter, WriteError, csv_header};

/// Bytes behind the output in its buffer, so that every field can be looked at by 16 bytes.
const SLACK: usize = 64;
/// The exit status of a program that finds the rows wrong (`EX_DATAERR` of sysexits.h).
const BAD_ROWS: i32 = 65;
/// How many bytes of lines are collected before they are handed on.
const CHUNK: usize = 1 << 20;

pub(super) struct ExecFactory {
    allowed: AllowedPrograms,
}

impl ExecFactory {
    pub(super) fn new(allowed: AllowedPrograms) -> ExecFactory {
        ExecFactory { allowed }
    }

    fn config<'a>(&self, kind: &'a OpKind) -> Result<&'a Exec, Failure> {
        match kind {
            OpKind::Exec(exec) => Ok(exec),
            OpKind::Extract
            | OpKind::Select(_)
            | OpKind::Add(_)
            | OpKind::Filter(_)
            | OpKind::Require(_)
            | OpKind::Noop
            | OpKind::Write(_) => Err(wrong_kind(self, kind)),
        }
    }
}

impl OpFactory for ExecFactory {
    fn kind(&self) -> &'static str {
        "exec"
    }

    fn needs(&self, _kind: &OpKind, input: &[String], _later: ColumnNames) -> ColumnNames {
        input.iter().cloned().collect()
    }

    fn output(&self, kind: &OpKind, input: &SchemaRef) -> Result<SchemaRef, Failure> {
        let exec = self.config(kind)?;
        let text = |name: &String| Field::new(name, DataType::Utf8View, false);
        let given: Vec<Field> = if exec.columns.is_empty() {
            input.fields().iter().map(|field| text(field.name())).collect()
        } else {
            exec.columns.iter().map(text).collect()
        };
        Ok(Arc::new(Schema::new(given)))
    }

    fn open(&self, open: &OpenOp<'_>) -> Result<Box<dyn Op>, Failure> {
        let exec = self.config(open.kind())?;
        let path = self.allowed.path_of(&exec.program).ok_or_else(|| {
            let program = &exec.program;
            Failure::permanent(format!(
                "this worker does not allow the program {program:?}; start workers with --allow-exec {program}, all of them"
            ))
        })?;
        Ok(Box::new(ExecOp {
            path: path.to_owned(),
            exec: exec.clone(),
            output: open.output.clone(),
            name: open.run.job.op(open.op).name.clone(),
        }))
    }
}

struct ExecOp {
    path: PathBuf,
    exec: Exec,
    output: SchemaRef,
    /// The op's name, for the program.
    name: String,
}

impl Op for ExecOp {
    fn run(&mut self, input: OpInput, context: &OpContext) -> Result<OpOutput, Failure> {
        let batch = input.into_batch()?;
        let rows_in = batch.rows();
        let program = Program {
            path: &self.path,
            args: &self.exec.args,
            environment: self.environment(context),
            most_bytes: process::most_bytes(batch.bytes_held()),
        };
        let feed = |stdin: &mut dyn Write| self.feed(&batch, &context.cancel, stdin);
        let say = |line: &str| context.task_log.say(LogLevel::Info, line);
        let ended = program.run(feed, say, &context.cancel)?;
        context.cancel.check()?;
        let written = self.judge(ended)?;
        let records = self.read(written, &context.cancel)?;
        let rows_out = records.num_rows() as u64;
        if rows_out > rows_in {
            return Err(Failure::permanent(format!(
                "{} made {rows_out} rows of {rows_in}; a program may change and drop rows, not add any",
                self.exec.program
            )));
        }
        let provenance = what_is_left(batch.provenance(), rows_in, rows_out);
        Ok(OpOutput::of(Batch::new(records, provenance), rows_in))
    }
}

impl ExecOp {
    /// What the program finds in its environment: nothing of the worker's that is secret.
    fn environment(&self, context: &OpContext) -> Vec<(&'static str, OsString)> {
        let passed = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];
        let passed = passed
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        let told = [
            ("PLUMBLINE_RUN", context.run.to_string()),
            ("PLUMBLINE_OP", self.name.clone()),
            ("PLUMBLINE_BATCH", context.batch.to_string()),
            ("PLUMBLINE_ATTEMPT", context.attempt.0.to_string()),
        ];
        passed.chain(told.map(|(name, value)| (name, value.into()))).collect()
    }

    /// Writes the rows to the program; one that does not want all of them may stop reading.
    fn feed(&self, batch: &Batch, cancel: &CancelToken, stdin: &mut dyn Write) -> Result<Fed, Failure> {
        let written = match self.exec.format {
            ExecFormat::Csv => {
                let rows = RowWriter::new(FileFormat::Csv, batch)?;
                let mut text = csv_header(&batch.schema());
                rows.write_rows(&mut text, cancel, |text| stdin.write_all(text))
            }
            ExecFormat::Lines => write_lines(batch, cancel, stdin)?,
        };
        match written {
            Ok(()) => Ok(Fed::All),
            Err(WriteError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Fed::Refused),
            Err(error) => Err(error
                .into_failure(|error| Failure::retryable(format!("cannot write to {}: {error}", self.exec.program)))),
        }
    }

    /// Returns what the program wrote, or the failure that its end is.
    fn judge(&self, ended: Ended) -> Result<Vec<u8>, Failure> {
        let program = &self.exec.program;
        let Ended {
            status,
            written,
            last_words,
        } = ended;
        if status.success() {
            return Ok(written);
        }
        let said = last_words.map_or_else(String::new, |line| format!(": {line}"));
        Err(match status.code() {
            Some(BAD_ROWS) => Failure::bad_input(format!("{program} refuses the rows (exit status {BAD_ROWS}){said}")),
            Some(code) => Failure::retryable(format!("{program} ended with exit status {code}{said}")),
            None => Failure::retryable(format!("{program} was ended by a signal ({status}){said}")),
        })
    }

    fn read(&self, written: Vec<u8>, cancel: &CancelToken) -> Result<RecordBatch, Failure> {
        match self.exec.format {
            ExecFormat::Csv => self.read_csv(written, cancel),
            ExecFormat::Lines => self.read_lines(&written),
        }
    }

    fn read_csv(&self, mut written: Vec<u8>, cancel: &CancelToken) -> Result<RecordBatch, Failure> {
        let names: Vec<String> = self.output.fields().iter().map(|field| field.name().clone()).collect();
        let begin = self.end_of_header(&names, &written)?;
        let length = written.len() - begin;
        written.resize(written.len() + SLACK, 0);
        let text = SliceText {
            path: &format!("what {} wrote", self.exec.program),
            first_line: 1 + memchr::memchr_iter(b'\n', &written[..begin]).count() as u64,
            bytes: Buffer::from_vec(written).slice(begin),
            length,
        };
        reader::read(text, &CsvDialect::default(), &names, &self.output, cancel)
    }

    /// Checks the header, and returns where the rows begin.
    fn end_of_header(&self, names: &[String], written: &[u8]) -> Result<usize, Failure> {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(written);
        let mut header = ByteRecord::new();
        // Reading memory cannot fail, and records may have any number of fields.
        let is_there = reader.read_byte_record(&mut header).unwrap_or(false);
        if is_there && header.iter().eq(names.iter().map(String::as_bytes)) {
            return Ok(usize::try_from(reader.position().byte())
                .unwrap_or(written.len())
                .min(written.len()));
        }
        let found: Vec<_> = header.iter().take(20).map(String::from_utf8_lossy).collect();
        let found = if is_there {
            found.join(",")
        } else {
            "nothing at all".to_owned()
        };
        Err(Failure::permanent(format!(
            "{} wrote the header {found}, the job expects {}; name the columns that it writes in exec.columns",
            self.exec.program,
            names.join(",")
        )))
    }

    fn read_lines(&self, written: &[u8]) -> Result<RecordBatch, Failure> {
        let text = std::str::from_utf8(written).map_err(|error| {
            let line = 1 + memchr::memchr_iter(b'\n', &written[..error.valid_up_to()]).count();
            Failure::bad_input(format!("what {} wrote, line {line}: is not UTF-8", self.exec.program))
        })?;
        let values = StringViewArray::from_iter_values(text.split_terminator('\n'));
        let options = RecordBatchOptions::new().with_row_count(Some(values.len()));
        let column: ArrayRef = Arc::new(values);
        RecordBatch::try_new_with_options(self.output.clone(), vec![column], &options)
            .map_err(|error| Failure::permanent(format!("lines are no column: {error}")))
    }
}

/// Writes the values of the only column, a line each.
fn write_lines(batch: &Batch, cancel: &CancelToken, stdin: &mut dyn Write) -> Result<Result<(), WriteError>, Failure> {
    let schema = batch.schema();
    let column = TextColumn::of(schema.field(0).name(), batch.records().column(0))?;
    let mut text = Vec::with_capacity(CHUNK + CHUNK / 8);
    for row in 0..batch.records().num_rows() {
        let begin = text.len();
        column.append(row, &mut text);
        if memchr::memchr(b'\n', &text[begin..]).is_some() {
            return Err(Failure::bad_input(format!(
                "column {:?} has a value with a line break; send it as csv",
                schema.field(0).name()
            )));
        }
        text.push(b'\n');
        if text.len() >= CHUNK {
            if let Err(failure) = cancel.check() {
                return Ok(Err(WriteError::Stopped(failure)));
            }
            if let Err(error) = stdin.write_all(&text) {
                return Ok(Err(WriteError::Io(error)));
            }
            text.clear();
        }
    }
    Ok(stdin.write_all(&text).map_err(WriteError::Io))
}

/// The places of the rows that are left: those of the first ones, as nobody knows which were dropped.
fn what_is_left(before: &Provenance, rows_in: u64, rows_out: u64) -> Provenance {
    let mut provenance = before.clone();
    if rows_out < rows_in {
        let left = 0..usize::try_from(rows_out).unwrap_or(usize::MAX);
        let place = |row| u32::try_from(before.place(row)).unwrap_or(u32::MAX);
        provenance.places = Some(UInt32Array::from_iter_values(left.map(place)));
    }
    provenance
}

#[cfg(test)]
mod tests;
