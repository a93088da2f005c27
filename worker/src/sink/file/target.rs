//! The names of a file sink: where things are staged and where they end up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use common::failure::Failure;
use common::ids::{BatchId, LeaseId, OpId, RunId};
use common::job::{FileFormat, FileSink as FileSpec, IfExists, SingleFile};
use common::slice::RunContext;

/// Where a write op of a run puts its files.
pub(super) struct Target {
    pub(super) run: RunId,
    pub(super) job: String,
    pub(super) op: OpId,
    pub(super) format: FileFormat,
    pub(super) single_file: SingleFile,
    pub(super) if_exists: IfExists,
    /// The columns that are written.
    pub(super) columns: Arc<Schema>,
    /// The folder of the parts, or the single file.
    pub(super) place: PathBuf,
    /// The run's hidden folder, where everything is staged.
    pub(super) hidden: PathBuf,
}

impl Target {
    /// Works out the names of an op's files.
    pub(super) fn new(run: &RunContext, op: OpId, spec: &FileSpec, columns: &SchemaRef) -> Result<Target, Failure> {
        // Through components, which drops a slash at the end.
        let place: PathBuf = Path::new(&spec.uri).components().collect();
        if !place.is_absolute() {
            return Err(Failure::permanent(format!(
                "the sink's uri {:?} is no absolute path; the coordinator should have made it one",
                spec.uri
            )));
        }
        let hidden = match spec.single_file {
            SingleFile::Parts => place.join(format!(".plumbline-{}", run.run)),
            SingleFile::Join => {
                let Some(name) = place.file_name() else {
                    return Err(Failure::permanent(format!(
                        "the sink's uri {:?} names no file",
                        spec.uri
                    )));
                };
                let mut hidden = std::ffi::OsString::from(".");
                hidden.push(name);
                hidden.push(format!(".plumbline-{}", run.run));
                place.with_file_name(hidden)
            }
        };
        Ok(Target {
            run: run.run,
            job: run.job.name.clone(),
            op,
            format: spec.format,
            single_file: spec.single_file,
            if_exists: spec.if_exists,
            columns: Arc::clone(columns),
            place,
            hidden,
        })
    }

    /// Returns the name of a batch's part in the result.
    pub(super) fn part_name(&self, batch: BatchId) -> String {
        format!("{}.{}", part_stem(batch), self.format.extension())
    }

    /// Returns where an attempt stages the part of a batch, or what it makes of the whole run.
    pub(super) fn staged(&self, batch: Option<BatchId>, lease: LeaseId) -> PathBuf {
        let extension = self.format.extension();
        self.hidden.join(match (batch, self.single_file) {
            (Some(batch), _) => format!("{}-{lease}.{extension}", part_stem(batch)),
            (None, SingleFile::Parts) => format!("manifest-{lease}.json"),
            (None, SingleFile::Join) => format!("joined-{lease}.{extension}"),
        })
    }

    /// Refuses a staged file that lies elsewhere: it was staged by another run, or by a job with other paths.
    pub(super) fn check_staged(&self, file: &Path) -> Result<(), Failure> {
        if file.parent() == Some(&self.hidden) {
            return Ok(());
        }
        Err(Failure::permanent(format!(
            "the part {} does not lie in {}, where this run stages its output",
            file.display(),
            self.hidden.display()
        )))
    }
}

fn part_stem(batch: BatchId) -> String {
    let halves: String = batch.halves.turns().map(|turn| format!(".{turn}")).collect();
    format!("part-{:06}{halves}", batch.index)
}
