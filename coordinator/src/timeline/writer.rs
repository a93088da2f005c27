//! The thread that packs rows and writes them: nobody waits for it.
//!
//! It copies what it needs under the lock, works outside of it, and puts chunks in the place of their rows under it again.
//! An error of the disk is told once and tried again with the next round; frames are appended at the place where the
//! last whole one ended, so that half a frame is overwritten.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use common::ids::RunId;

use super::chunk::{self, Summary};
use super::file::{self, FrameFile, Frames, Note};
use super::logs;
use super::restore;
use super::run::RunTimeline;
use super::stored::{Chunk, Written};
use super::{End, Shared, TAKE_EVERY, WRITE_EVERY};

/// How long after the end of a run lines of its log are still taken.
const LATE_LINES: Duration = Duration::from_secs(2);

/// The files of the live runs, and what is in memory.
pub(super) struct Files {
    shared: Arc<Shared>,
    open: BTreeMap<RunId, Open>,
    /// Packed chunks in memory, oldest first.
    resident: VecDeque<(RunId, Weak<Chunk>)>,
    wrote: Instant,
    /// Runs that have ended and are not closed, and since when they are known to have.
    ending: BTreeMap<RunId, Instant>,
    /// Whether the last write failed, so that it is not told each time.
    health: Health,
}

#[derive(Debug)]
struct Open {
    rows: FrameFile,
    tail: FrameFile,
    logs: FrameFile,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    Failing,
}

/// Whether rows that make no chunk yet are written too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tails {
    Later,
    Now,
}

/// What is to be written of one run.
struct Batch {
    written: Written,
    notes: Vec<Note>,
    chunks: Vec<Arc<Chunk>>,
    /// The rows for the tail's file, and the place of the first one.
    tail: (u64, Vec<super::Row>),
    tail_is_emptied: bool,
}

impl Files {
    pub(super) fn new(shared: Arc<Shared>) -> Files {
        Files {
            shared,
            open: BTreeMap::new(),
            resident: VecDeque::new(),
            wrote: Instant::now(),
            ending: BTreeMap::new(),
            health: Health::Well,
        }
    }

    /// Works until the timelines are dropped.
    pub(super) fn run(mut self) {
        loop {
            let end = self.wait();
            let runs: Vec<RunId> = self.shared.take_over().runs.keys().copied().collect();
            for run in &runs {
                self.seal(*run);
            }
            let is_due = end == End::Closed || self.wrote.elapsed() >= WRITE_EVERY;
            if is_due {
                self.wrote = Instant::now();
            }
            for run in runs {
                self.write_or_tell(run, if is_due { Tails::Now } else { Tails::Later });
                if is_due {
                    self.write_logs_or_tell(run);
                }
            }
            self.finish_ended(end);
            self.delete_forgotten();
            self.evict();
            if end == End::Closed {
                return;
            }
        }
    }

    /// Waits until something came, or rows that came before are to be written.
    fn wait(&self) -> End {
        let has_unwritten = self.has_unwritten();
        let inbox = self.shared.inbox();
        let is_idle = inbox.events.is_empty() && inbox.end == End::Open && !has_unwritten;
        let woken = &self.shared.woken;
        let inbox = if is_idle {
            let nothing = |inbox: &mut super::Inbox| inbox.events.is_empty() && inbox.end == End::Open;
            woken.wait_while(inbox, nothing).unwrap_or_else(PoisonError::into_inner)
        } else {
            inbox
        };
        // Events are taken over some at a time.
        let open = |inbox: &mut super::Inbox| inbox.end == End::Open;
        let waited = woken.wait_timeout_while(inbox, TAKE_EVERY, open);
        waited.unwrap_or_else(PoisonError::into_inner).0.end
    }

    fn has_unwritten(&self) -> bool {
        let Some(_) = self.shared.folder else { return false };
        let state = self.shared.state();
        if !state.ended.is_empty() {
            return true;
        }
        let is_unwritten = |run: &RunTimeline| run.written.tail < run.rows() || !run.log.waiting().1.is_empty();
        state.runs.values().any(|run| !run.is_complete && is_unwritten(run))
    }

    /// Packs the rows of a run that make whole chunks.
    fn seal(&mut self, run: RunId) {
        loop {
            let state = self.shared.state();
            let Some(timeline) = state.runs.get(&run) else { return };
            let Some(rows) = timeline.to_seal() else { return };
            let first = timeline.tail_first;
            drop(state);
            let chunk = Arc::new(Chunk::in_memory(Summary::of(first, &rows), chunk::pack(&rows)));
            self.resident.push_back((run, Arc::downgrade(&chunk)));
            if let Some(timeline) = self.shared.state().runs.get_mut(&run) {
                timeline.seal(chunk);
            }
        }
    }

    fn write_or_tell(&mut self, run: RunId, tails: Tails) {
        match self.write(run, tails) {
            Ok(()) => self.health = Health::Well,
            Err(error) => {
                if self.health == Health::Well {
                    tracing::error!(%run, %error, "timelines cannot be written; what is not in memory any more will be missing");
                }
                self.health = Health::Failing;
            }
        }
    }

    fn write(&mut self, run: RunId, tails: Tails) -> io::Result<()> {
        let Some(folder) = self.shared.folder.clone() else {
            return Ok(());
        };
        let state = self.shared.state();
        let Some(timeline) = state.runs.get(&run).filter(|timeline| !timeline.is_complete) else {
            return Ok(());
        };
        let Some(batch) = Batch::of(timeline, tails) else {
            return Ok(());
        };
        let head = file::head(timeline.accepted, timeline.ops);
        drop(state);
        let shared = Arc::clone(&self.shared);
        let note = |written| {
            if let Some(timeline) = shared.state().runs.get_mut(&run) {
                timeline.written = written;
            }
        };
        let open = self.files_of(run, &folder)?;
        open.write_rows(&batch, &head)?;
        // What is there now is not written again when the tail finds no room: lanes have their numbers by their place.
        note(batch.written_without_tail());
        open.write_tail(&batch)?;
        note(batch.written);
        Ok(())
    }

    fn write_logs_or_tell(&mut self, run: RunId) {
        if let Err(error) = self.write_logs(run) {
            if self.health == Health::Well {
                tracing::error!(%run, %error, "what tasks log cannot be written");
            }
            self.health = Health::Failing;
        }
    }

    /// Writes the lines that wait; without a state folder into a file without a name.
    fn write_logs(&mut self, run: RunId) -> io::Result<()> {
        loop {
            let state = self.shared.state();
            let Some(timeline) = state.runs.get(&run) else {
                return Ok(());
            };
            let (first, waiting) = timeline.log.waiting();
            let dropped = timeline.log.dropped;
            drop(state);
            if waiting.is_empty() {
                return Ok(());
            }
            let block = &waiting[..waiting.len().min(logs::BLOCK_LINES)];
            let lines = u32::try_from(block.len()).expect("is at most BLOCK_LINES");
            let mut frames = Frames::default();
            let place = frames.lines(&Note::Lines { first, lines, dropped }, &logs::pack(block));
            let open = match self.shared.folder.clone() {
                Some(folder) => self.files_of(run, &folder)?,
                None => self.nameless_of(run)?,
            };
            let begin = open.logs.append(&frames)?;
            let file = Arc::clone(&open.logs.file);
            if let Some(timeline) = self.shared.state().runs.get_mut(&run) {
                timeline.log.written(lines, file, place.behind(begin));
            }
        }
    }

    fn nameless_of(&mut self, run: RunId) -> io::Result<&mut Open> {
        match self.open.entry(run) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Open {
                rows: FrameFile::nameless()?,
                tail: FrameFile::nameless()?,
                logs: FrameFile::nameless()?,
            })),
        }
    }

    fn files_of(&mut self, run: RunId, folder: &Path) -> io::Result<&mut Open> {
        match self.open.entry(run) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(place) => {
                let [rows, tail, logs] = restore::open(folder, run)?;
                Ok(place.insert(Open { rows, tail, logs }))
            }
        }
    }

    /// Closes the files of runs that have ended and are written, some time after: what tasks log may come behind their
    /// reports.
    fn finish_ended(&mut self, end: End) {
        let ended = std::mem::take(&mut self.shared.state().ended);
        for run in ended {
            let since = *self.ending.entry(run).or_insert_with(Instant::now);
            if end == End::Open && since.elapsed() < LATE_LINES {
                self.shared.state().ended.push(run);
                continue;
            }
            self.ending.remove(&run);
            match self.finish(run) {
                Ok(()) => {}
                Err(error) => {
                    if self.health == Health::Well {
                        tracing::error!(%run, %error, "the end of a run's timeline cannot be written; it is tried again");
                    }
                    self.health = Health::Failing;
                    self.shared.state().ended.push(run);
                }
            }
        }
    }

    fn finish(&mut self, run: RunId) -> io::Result<()> {
        self.seal(run);
        self.write(run, Tails::Now)?;
        self.write_logs(run)?;
        let state = self.shared.state();
        let timeline = state.runs.get(&run).filter(|timeline| !timeline.is_complete);
        let ended = timeline.and_then(|timeline| Some((timeline.ended?, file::head(timeline.accepted, timeline.ops))));
        drop(state);
        let (Some(folder), Some((ended, head))) = (self.shared.folder.clone(), ended) else {
            return Ok(());
        };
        let open = self.files_of(run, &folder)?;
        let mut frames = Frames::default();
        if open.rows.is_empty() {
            frames.note(&head);
        }
        frames.note(&Note::Ended(ended));
        open.rows.append(&frames)?;
        open.rows.file.sync_data()?;
        let has_logged = !open.logs.is_empty();
        self.open.remove(&run);
        if !has_logged {
            remove_if_there(fs::remove_file(file::logs_path(&folder, run)))?;
        }
        remove_if_there(fs::remove_file(file::tail_path(&folder, run)))?;
        let mut state = self.shared.state();
        if let Some(timeline) = state.runs.get_mut(&run) {
            timeline.is_complete = true;
            state.note_loaded(run);
        }
        Ok(())
    }

    fn delete_forgotten(&mut self) {
        let forgotten = std::mem::take(&mut self.shared.state().forgotten);
        for run in forgotten {
            self.open.remove(&run);
            let Some(folder) = &self.shared.folder else { continue };
            for path in file::paths(folder, run) {
                if let Err(error) = remove_if_there(fs::remove_file(&path)) {
                    tracing::warn!(%run, %error, "a forgotten run's timeline cannot be deleted; the next start tries again");
                }
            }
        }
    }

    /// Lets go of the oldest chunks in memory beyond the bound.
    fn evict(&mut self) {
        self.resident.retain(|(_, chunk)| chunk.strong_count() > 0);
        let sizes = self
            .resident
            .iter()
            .filter_map(|(_, chunk)| Some(chunk.upgrade()?.resident()));
        let mut bytes: usize = sizes.sum();
        while bytes > self.shared.resident_bytes
            && let Some((run, chunk)) = self.resident.pop_front()
        {
            let Some(chunk) = chunk.upgrade() else { continue };
            bytes -= chunk.resident();
            if let Err(error) = self.spill(run, &chunk) {
                tracing::error!(%run, %error, "rows of a timeline are dropped: they cannot be written");
                if let Some(timeline) = self.shared.state().runs.get_mut(&run) {
                    timeline.drop_chunk(&chunk);
                }
            }
            chunk.evict();
        }
    }

    /// Writes a chunk into a file without a name, unless it is on the disk already.
    fn spill(&mut self, run: RunId, chunk: &Chunk) -> io::Result<()> {
        let Some(bytes) = chunk.unwritten() else { return Ok(()) };
        if self.shared.folder.is_some() {
            return Err(io::Error::other("the state folder takes no more"));
        }
        let open = self.nameless_of(run)?;
        let mut frames = Frames::default();
        let place = frames.chunk(&chunk.summary, &bytes);
        let begin = open.rows.append(&frames)?;
        chunk.written(Arc::clone(&open.rows.file), place.behind(begin));
        Ok(())
    }
}

impl Batch {
    /// Collects what is not written of a run; nothing when there is nothing.
    fn of(timeline: &RunTimeline, tails: Tails) -> Option<Batch> {
        let before = timeline.written;
        let chunks = timeline.chunks[before.chunks..].to_vec();
        if chunks.is_empty() && tails == Tails::Later {
            return None;
        }
        let mut written = Written {
            chunks: timeline.chunks.len(),
            lanes: timeline.lanes.len(),
            failures: timeline.rows(),
            epoch: timeline.epoch,
            restarts: timeline.restarts,
            dropped: timeline.dropped,
            tail: timeline.rows(),
            ..before
        };
        let mut notes = Vec::new();
        let rows = before.tail;
        notes.extend((before.restarts..written.restarts).map(|_| Note::Restarted { rows }));
        if written.lanes > before.lanes {
            notes.push(Note::Lanes(timeline.lanes.iter().skip(before.lanes).cloned().collect()));
        }
        let failures = timeline.failures.from(before.failures);
        notes.extend(failures.map(|(id, failure)| Note::Failure(id, failure.clone())));
        let mut buckets = timeline.series.closed_from(before.buckets).to_vec();
        written.buckets = buckets.last().map_or(before.buckets, |bucket| bucket.t_us);
        if timeline.ended.is_some() {
            buckets.extend(timeline.series.last().cloned());
        }
        if written.buckets > before.buckets || timeline.ended.is_some() {
            notes.push(Note::Buckets(buckets));
        }
        if written.epoch != before.epoch {
            notes.push(Note::Epoch(written.epoch));
        }
        if written.dropped != before.dropped {
            notes.push(Note::Dropped(written.dropped));
        }
        let tail_is_emptied = !chunks.is_empty();
        let from = if tail_is_emptied {
            timeline.tail_first
        } else {
            before.tail.max(timeline.tail_first)
        };
        let place = usize::try_from(from - timeline.tail_first).unwrap_or(usize::MAX);
        let tail = (from, timeline.tail.get(place..).unwrap_or_default().to_vec());
        let is_something = written != before || !chunks.is_empty();
        is_something.then_some(Batch {
            written,
            notes,
            chunks,
            tail,
            tail_is_emptied,
        })
    }
}

impl Batch {
    /// Returns what is written when all but the tail is.
    fn written_without_tail(&self) -> Written {
        Written {
            tail: self.tail.0,
            ..self.written
        }
    }
}

impl Open {
    /// Appends all but the rows that make no chunk: as a whole, or nothing of it.
    fn write_rows(&mut self, batch: &Batch, head: &Note) -> io::Result<()> {
        let mut frames = Frames::default();
        if self.rows.is_empty() {
            frames.note(head);
        }
        batch.notes.iter().for_each(|note| frames.note(note));
        let mut places = Vec::new();
        for chunk in &batch.chunks {
            if let Some(bytes) = chunk.unwritten() {
                places.push((chunk, frames.chunk(&chunk.summary, &bytes)));
            }
        }
        if !frames.is_empty() {
            let begin = self.rows.append(&frames)?;
            for (chunk, place) in places {
                chunk.written(Arc::clone(&self.rows.file), place.behind(begin));
            }
        }
        Ok(())
    }

    /// Appends the rows that make no chunk.
    fn write_tail(&mut self, batch: &Batch) -> io::Result<()> {
        if batch.tail_is_emptied && !self.tail.is_empty() {
            self.tail.clear()?;
        }
        let (first, rows) = &batch.tail;
        let mut frames = Frames::default();
        for (first, rows) in (*first..)
            .step_by(chunk::CHUNK_ROWS)
            .zip(rows.chunks(chunk::CHUNK_ROWS))
        {
            frames.chunk(&Summary::of(first, rows), &chunk::pack(rows));
        }
        if !frames.is_empty() {
            self.tail.append(&frames)?;
        }
        Ok(())
    }
}

/// That a file is not there is as good as that it was deleted.
fn remove_if_there(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(()) | Err(_) => removed,
    }
}
