//! Reading timelines back: of runs that go on after a restart, and of ended ones when somebody looks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use common::failure::Failure;
use common::ids::{OpId, RunId};
use common::job::Job;
use common::time::Time;

use super::chunk::{Scratch, Summary};
use super::failures::Failed;
use super::file::{self, Found, FrameFile, Note, TimelineError};
use super::run::RunTimeline;
use super::stored::Chunk;
use super::{Known, Shared};

/// What is being read, and the summary whose columns come next.
struct Reading {
    timeline: RunTimeline,
    summary: Option<Summary>,
    failures: BTreeMap<u64, Failure>,
    format_is_known: bool,
}

impl Reading {
    fn take(&mut self, found: Found, file: &Arc<File>) {
        let timeline = &mut self.timeline;
        match found {
            Found::Note(Note::Head { format, .. }) => self.format_is_known = file::can_read(format),
            Found::Note(Note::Lanes(lanes)) => {
                let known = Arc::make_mut(&mut timeline.lanes);
                lanes.into_iter().for_each(|(worker, slot)| known.push(worker, slot));
            }
            Found::Note(Note::Failure(id, failure)) => {
                self.failures.insert(id, failure);
            }
            Found::Note(Note::Buckets(buckets)) => {
                buckets.iter().for_each(|bucket| timeline.series.add_bucket(bucket));
            }
            Found::Note(Note::Chunk(summary)) => self.summary = Some(summary),
            Found::Note(Note::Epoch(epoch)) => timeline.epoch = epoch,
            Found::Note(Note::Restarted { rows }) => {
                timeline.restarts += 1;
                self.failures.split_off(&rows);
            }
            Found::Note(Note::Dropped(rows)) => timeline.dropped = rows,
            // They have a file of their own.
            Found::Note(Note::Lines { .. }) => {}
            Found::Note(Note::Ended(at)) => timeline.ended = Some(at),
            Found::Columns(place) => {
                if let Some(summary) = self.summary.take().filter(|summary| summary.first == timeline.rows()) {
                    timeline.push_chunk(Chunk::on_disk(summary, Arc::clone(file), place));
                }
            }
        }
    }

    /// Adds the rows of the tail's file that are in no chunk.
    fn take_tail(&mut self, tail: &File) -> io::Result<()> {
        let mut summary = None;
        let mut chunks: Vec<(Summary, file::Place)> = Vec::new();
        let length = tail.metadata()?.len();
        file::scan(tail, length, &mut |found| match found {
            Found::Note(Note::Chunk(found)) => summary = Some(found),
            Found::Columns(place) => chunks.extend(summary.take().map(|summary| (summary, place))),
            Found::Note(_) => {}
        })?;
        let mut scratch = Scratch::default();
        for (summary, place) in chunks {
            let bytes = file::columns(tail, place)?;
            let rows = super::chunk::rows(&bytes, summary.rows as usize, &mut scratch);
            let rows = rows.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            for (id, row) in (summary.first..).zip(rows) {
                if id == self.timeline.rows() {
                    self.timeline.push(row);
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> RunTimeline {
        let mut timeline = self.timeline;
        let rows = timeline.rows();
        let mut failures = self.failures;
        failures.split_off(&rows);
        timeline.restore_failures(&failures);
        timeline.note_written();
        timeline
    }
}

impl RunTimeline {
    /// Groups the failures that were kept; the batches and workers are those of the rows.
    fn restore_failures(&mut self, found: &BTreeMap<u64, Failure>) {
        let mut scratch = Scratch::default();
        let mut next = found.iter().peekable();
        let chunks = Arc::clone(&self.chunks);
        let failures = Arc::make_mut(&mut self.failures);
        let lanes = &self.lanes;
        let mut add = |id: u64, task: &super::Task, failure: &Failure| {
            let (worker, _) = lanes.name(task.lane);
            failures.add(&Failed {
                id,
                op: task.op,
                batch: task.batch_id(),
                worker: &worker,
                ended: task.ended.unwrap_or(task.started),
                failure,
            });
        };
        for chunk in chunks.iter() {
            let end = chunk.summary.first + u64::from(chunk.summary.rows);
            if next.peek().is_none_or(|(id, _)| **id >= end) {
                continue;
            }
            let Ok(rows) = chunk.rows(&mut scratch) else { continue };
            while let Some((id, failure)) = next.next_if(|(id, _)| **id < end) {
                let place = id.checked_sub(chunk.summary.first);
                let place = place.and_then(|place| usize::try_from(place).ok());
                if let Some(row) = place.and_then(|place| rows.get(place)) {
                    add(*id, &row.task, failure);
                }
            }
        }
        for (id, failure) in next {
            let place = id
                .checked_sub(self.tail_first)
                .and_then(|place| usize::try_from(place).ok());
            if let Some(row) = place.and_then(|place| self.tail.get(place)) {
                add(*id, &row.task, failure);
            }
        }
    }
}

impl Shared {
    /// Reads the timeline of a live run, or begins one; nothing that cannot be read stands in a run's way.
    pub(super) fn resume(&self, run: RunId, accepted: Time, job: &Job) -> RunTimeline {
        let (ops, last_op) = (job.ops.len(), job.last_op());
        let Some(folder) = &self.folder else {
            return RunTimeline::new(accepted, ops, last_op);
        };
        let mut timeline = match read(folder, run, RunTimeline::new(accepted, ops, last_op)) {
            Ok(timeline) => timeline,
            Err(error) => {
                tracing::warn!(%run, %error, "what was kept of a run's timeline cannot be read; it begins anew");
                for path in file::paths(folder, run) {
                    // That it cannot be deleted is told when it cannot be written.
                    let _ = fs::remove_file(path);
                }
                RunTimeline::new(accepted, ops, last_op)
            }
        };
        timeline.ended = None;
        timeline.note_restart();
        timeline
    }

    /// Reads the timeline of an ended run, or of one that nobody began.
    pub(super) fn load(&self, known: &Known) -> Result<RunTimeline, TimelineError> {
        let timeline = RunTimeline::new(known.accepted, known.ops, OpId(u16::MAX));
        let Some(folder) = &self.folder else {
            return Ok(timeline);
        };
        let mut timeline = read(folder, known.run, timeline).map_err(|error| TimelineError {
            reason: error.to_string(),
        })?;
        if let Some(ended) = known.ended {
            if timeline.ended.is_none() {
                // It ended, and its last rows were not written.
                timeline.restarts += 1;
            }
            timeline.finish(ended);
            timeline.is_complete = true;
        }
        Ok(timeline)
    }

    /// Deletes the files of runs that are none of these.
    pub(super) fn delete_unknown(&self, known: &[RunId]) {
        let Some(folder) = &self.folder else { return };
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let run = name
                .to_str()
                .and_then(|name| name.split_once('.'))
                .map(|(run, _)| run.parse());
            if let Some(Ok(run)) = run
                && !known.contains(&run)
            {
                // What cannot be deleted now is tried again at the next start.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn read(folder: &Path, run: RunId, timeline: RunTimeline) -> io::Result<RunTimeline> {
    let path = file::rows_path(folder, run);
    let mut reading = Reading {
        timeline,
        summary: None,
        failures: BTreeMap::new(),
        format_is_known: false,
    };
    let opened = match File::open(&path) {
        Ok(opened) => Arc::new(opened),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(reading.timeline),
        Err(error) => return Err(error),
    };
    let length = opened.metadata()?.len();
    let whole = file::scan(&opened, length, &mut |found| reading.take(found, &opened))?;
    if whole == 0 {
        // A full disk, or a kill in the first write, left a file without its first frame: nothing was kept yet.
        return Ok(reading.timeline);
    }
    if !reading.format_is_known {
        let problem = "its format is not known to this program";
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    match File::open(file::tail_path(folder, run)) {
        Ok(tail) => reading.take_tail(&tail)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut timeline = reading.finish();
    match File::open(file::logs_path(folder, run)) {
        Ok(logs) => read_logs(&Arc::new(logs), &mut timeline)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(timeline)
}

fn read_logs(logs: &Arc<File>, timeline: &mut RunTimeline) -> io::Result<()> {
    let mut next = None;
    file::scan(logs, logs.metadata()?.len(), &mut |found| match found {
        Found::Note(Note::Lines { first, lines, dropped }) => next = Some((first, lines, dropped)),
        Found::Columns(place) => {
            if let Some((first, lines, dropped)) = next.take() {
                timeline.log.dropped = dropped;
                timeline.log.found(first, lines, Arc::clone(logs), place);
            }
        }
        Found::Note(_) => {}
    })?;
    Ok(())
}

/// Opens a run's files to append to them, torn ends cut off.
pub(super) fn open(folder: &Path, run: RunId) -> io::Result<[FrameFile; 3]> {
    let rows = FrameFile::open(&file::rows_path(folder, run), |_| ())?;
    let tail = FrameFile::open(&file::tail_path(folder, run), |_| ())?;
    let logs = FrameFile::open(&file::logs_path(folder, run), |_| ())?;
    Ok([rows, tail, logs])
}
