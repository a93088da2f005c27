//! The sink that writes files: parts in a folder with a manifest, or one file in input order.
//!
//! Everything is staged in a hidden folder that belongs to the run: `<uri>/.plumbline-r7/` for a folder of parts,
//! `<parent>/.<file name>.plumbline-r7/` beside a single file. A staged file carries the lease in its name
//! (`part-000012-l1.57.csv`), so two attempts never write to the same one.
//!
//! | | committed batch | end of the run |
//! |---|---|---|
//! | folder | renamed to `<uri>/part-000012.csv` | the manifest names the parts, and is put in place last |
//! | folder, `if_exists: replace` | renamed within the hidden folder | the parts move out, then the manifest; what only the older manifest names is deleted |
//! | single file | stays staged | the parts are joined under an attempt's name, the file is renamed to its place |
//!
//! A run that failed or was cancelled keeps the committed parts of its folder, with a manifest that says so; it leaves
//! nothing of a single file, and leaves alone what it was to replace. A run that failed or completed with failures may
//! go on again, unless its coordinator ends with it: what a later end needs stays in the hidden folder until then, or
//! until the run is forgotten.
//!
//! [`target`] knows the names, [`stage`] writes parts, [`folder`] and [`single`] finish and publish.
//!
//! Known weakness: the parts of a replaced folder are put in place one by one, so a reader who does not go by the
//! manifest can see old and new parts together for a moment.

mod folder;
mod manifest;
mod single;
mod stage;
mod target;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use arrow_schema::SchemaRef;
use common::failure::Failure;
use common::ids::{BatchId, LeaseId, OpId};
use common::job::{FileSink as FileSpec, SingleFile};
use common::part::Part;
use common::slice::RunContext;
use common::state::RunState;

use self::target::Target;
use super::{Finish, Sink};
use crate::batch::Batch;
use crate::disk;
use crate::ops::OpContext;

/// A file sink that is open.
pub(super) struct FileSink {
    target: Target,
    /// The text of a part before it is written; kept to be used again.
    text: Mutex<Vec<u8>>,
}

impl FileSink {
    /// Works out the names; touches nothing.
    pub(super) fn new(run: &RunContext, op: OpId, spec: &FileSpec, input: &SchemaRef) -> Result<FileSink, Failure> {
        Ok(FileSink {
            target: Target::new(run, op, spec, input)?,
            text: Mutex::default(),
        })
    }
}

impl Sink for FileSink {
    fn stage(&self, batch: &Batch, context: &OpContext) -> Result<Vec<Part>, Failure> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        let part = stage::stage_batch(&self.target, batch, &mut text, context)?;
        Ok(part.into_iter().collect())
    }

    fn publish(&self, batch: Option<BatchId>, parts: &[Part]) -> Result<(), Failure> {
        for part in parts {
            self.target.check_staged(Path::new(&part.file))?;
            match (self.target.single_file, batch) {
                (SingleFile::Parts, Some(batch)) => folder::publish_part(&self.target, batch, part)?,
                (SingleFile::Parts, None) => folder::publish_manifest(&self.target, part)?,
                (SingleFile::Join, Some(_)) => {}
                (SingleFile::Join, None) => single::publish_joined(&self.target, part)?,
            }
        }
        Ok(())
    }

    fn abandon(&self, batch: Option<BatchId>, lease: LeaseId) -> Result<(), Failure> {
        disk::remove_file(&self.target.staged(batch, lease))?;
        disk::remove_empty_folder(&self.target.hidden)
    }

    fn finish(&self, finish: Finish<'_>) -> Result<Vec<Part>, Failure> {
        let (keeps_for_reopening, keeps) = (finish.keeps_for_reopening(), keeps_result(finish.state));
        let part = match self.target.single_file {
            SingleFile::Parts => folder::finish(&self.target, finish)?,
            SingleFile::Join if keeps => Some(single::join(&self.target, finish)?),
            SingleFile::Join => None,
        };
        if part.is_none() && !keeps_for_reopening {
            disk::remove_folder(&self.target.hidden)?;
        }
        Ok(part.into_iter().collect())
    }

    fn sweep(&self) -> Result<(), Failure> {
        disk::remove_folder(&self.target.hidden)
    }
}

/// Tells whether a run that ends so has a result that replaces another or stands as one file.
fn keeps_result(state: RunState) -> bool {
    match state {
        RunState::Succeeded | RunState::CompletedWithFailures => true,
        RunState::Queued | RunState::Running | RunState::Paused | RunState::Failed | RunState::Cancelled => false,
    }
}

#[cfg(test)]
mod tests;
