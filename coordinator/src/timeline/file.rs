//! A run's timeline on disk: frames one behind the other in a file that only grows, and a short file of rows that are in
//! no full chunk yet.
//!
//! `rN.rows` begins with a [`Note::Head`]. A chunk is a note of its [`Summary`] and a frame of its columns; lanes,
//! failures and closed buckets of the series stand between, before any row that needs them. `rN.tail` holds the rows
//! behind the last chunk, a few at a time; it is emptied when they are in one. Every frame has its length in front and a
//! CRC-32 behind, so a torn end is seen and cut off; `rN.logs` holds what tasks logged in the same way. Nothing is synced while a run goes on: a kill of the process loses
//! what was not written yet, a machine that loses its power may lose what it had not put on the disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::failure::Failure;
use common::ids::{RunId, WorkerName};
use common::time::Time;
use serde::{Deserialize, Serialize};

use super::chunk::Summary;
use super::series::Bucket;

/// The newest format that is known. Raised with every change of a stored type.
const FORMAT: u32 = 1;
/// What a frame has beside its content: its kind, its length and its checksum.
const FRAME_BYTES: u64 = 9;
/// The longest frame that can be.
const LONGEST: u32 = 64 << 20;
const NOTE: u8 = 1;
const COLUMNS: u8 = 2;

/// What a frame says, unless it is a chunk's columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Note {
    /// The first one of a file.
    Head { format: u32, accepted: Time, ops: u32 },
    /// The next lanes.
    Lanes(Vec<(WorkerName, u32)>),
    /// Why the attempt at a place failed.
    Failure(u64, Failure),
    /// Closed buckets of the series.
    Buckets(Vec<Bucket>),
    /// The columns in the next frame are those of this chunk.
    Chunk(Summary),
    /// The next frame has so many lines of the log, from this number on; so many were not kept before.
    Lines { first: u64, lines: u32, dropped: u64 },
    /// What was sealed has changed so often.
    Epoch(u32),
    /// The coordinator was started again, so that some moments may be missing: what was said of rows from this one on
    /// is void.
    Restarted { rows: u64 },
    /// Rows that could not be kept.
    Dropped(u64),
    /// The run has ended; nothing follows.
    Ended(Time),
}

/// Where the columns of a chunk are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    offset: u64,
    length: u32,
}

/// A frame that was found.
#[derive(Debug)]
pub(crate) enum Found {
    Note(Note),
    Columns(Place),
}

/// Why a timeline cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read what is kept of a timeline: {reason}")]
pub struct TimelineError {
    /// What went wrong.
    pub reason: String,
}

/// Frames that wait to be written together.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    pub(crate) fn note(&mut self, note: &Note) {
        let content = postcard::to_allocvec(note).expect("no note has a form that postcard does not know");
        self.frame(NOTE, &content);
    }

    /// Adds a chunk, and returns where its columns are behind the first of these frames.
    pub(crate) fn chunk(&mut self, summary: &Summary, columns: &[u8]) -> Place {
        self.note(&Note::Chunk(*summary));
        let offset = self.bytes.len() as u64 + 5;
        self.frame(COLUMNS, columns);
        let length = u32::try_from(columns.len()).expect("a chunk is small");
        Place { offset, length }
    }

    /// Adds lines of the log, and returns where they are behind the first of these frames.
    pub(crate) fn lines(&mut self, note: &Note, packed: &[u8]) -> Place {
        self.note(note);
        let offset = self.bytes.len() as u64 + 5;
        self.frame(COLUMNS, packed);
        let length = u32::try_from(packed.len()).expect("a block is small");
        Place { offset, length }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn frame(&mut self, kind: u8, content: &[u8]) {
        let begin = self.bytes.len();
        let length = u32::try_from(content.len()).expect("a frame is small");
        self.bytes.push(kind);
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(content);
        let checksum = crc32fast::hash(&self.bytes[begin..]);
        self.bytes.extend(checksum.to_le_bytes());
    }
}

/// A file of frames that is appended to.
#[derive(Debug)]
pub(crate) struct FrameFile {
    pub(crate) file: Arc<File>,
    end: u64,
}

impl FrameFile {
    /// Appends frames and returns where the first of them begins.
    pub(crate) fn append(&mut self, frames: &Frames) -> io::Result<u64> {
        self.file.write_all_at(&frames.bytes, self.end)?;
        let begin = self.end;
        self.end += frames.bytes.len() as u64;
        Ok(begin)
    }

    /// Tells whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Empties the file.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.end = 0;
        Ok(())
    }

    /// Makes a file without a name, which goes with the process.
    pub(crate) fn nameless() -> io::Result<FrameFile> {
        let name = format!("plumbline-timeline-{}-{}", std::process::id(), uuid::Uuid::new_v4());
        let path = std::env::temp_dir().join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        fs::remove_file(&path)?;
        Ok(FrameFile {
            file: Arc::new(file),
            end: 0,
        })
    }

    /// Opens a file, or makes it, and calls `found` with every whole frame; what is torn behind them is cut off.
    pub(crate) fn open(path: &Path, mut found: impl FnMut(Found)) -> io::Result<FrameFile> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let length = file.metadata()?.len();
        let end = scan(&file, length, &mut found)?;
        if end < length {
            file.set_len(end)?;
        }
        Ok(FrameFile {
            file: Arc::new(file),
            end,
        })
    }
}

/// Looks at every frame of a file that nobody writes to; columns are not read. Returns where the last whole one ends.
pub(crate) fn scan(file: &File, length: u64, found: &mut dyn FnMut(Found)) -> io::Result<u64> {
    let mut at = 0;
    let mut content = Vec::new();
    while at + FRAME_BYTES <= length {
        let mut head = [0; 5];
        file.read_exact_at(&mut head, at)?;
        let size = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        let end = at + FRAME_BYTES + u64::from(size);
        if size > LONGEST || end > length {
            break;
        }
        let is_last = end == length;
        let place = Place {
            offset: at + 5,
            length: size,
        };
        match head[0] {
            // A chunk's columns are checked when they are read; only the last frame can be torn.
            COLUMNS if !is_last => found(Found::Columns(place)),
            COLUMNS => match columns(file, place) {
                Ok(_) => found(Found::Columns(place)),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => break,
                Err(error) => return Err(error),
            },
            NOTE => {
                content.resize(size as usize + 4, 0);
                file.read_exact_at(&mut content, at + 5)?;
                let (body, checksum) = content.split_at(size as usize);
                let is_whole = frame_checksum(NOTE, body).to_le_bytes() == *checksum;
                let note = is_whole.then(|| postcard::from_bytes(body).ok()).flatten();
                match note {
                    Some(note) => found(Found::Note(note)),
                    None if is_last => break,
                    None => return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is damaged")),
                }
            }
            0 | 3.. => break,
        }
        at = end;
    }
    Ok(at)
}

/// Reads the columns of a chunk.
pub(crate) fn columns(file: &File, place: Place) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; place.length as usize + 4];
    file.read_exact_at(&mut bytes, place.offset)?;
    let checksum = bytes.split_off(place.length as usize);
    if frame_checksum(COLUMNS, &bytes).to_le_bytes() != *checksum {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a checksum does not fit"));
    }
    Ok(bytes)
}

impl Place {
    /// Returns how many bytes there are.
    pub(crate) fn length(self) -> u32 {
        self.length
    }

    /// Returns the place as seen from the file's begin, when the frames begin there.
    pub(crate) fn behind(self, begin: u64) -> Place {
        Place {
            offset: self.offset + begin,
            ..self
        }
    }
}

fn frame_checksum(kind: u8, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

/// The note that a file begins with.
pub(crate) fn head(accepted: Time, ops: usize) -> Note {
    Note::Head {
        format: FORMAT,
        accepted,
        ops: u32::try_from(ops).unwrap_or(u32::MAX),
    }
}

/// Tells whether this program can read a file of a format.
pub(crate) fn can_read(format: u32) -> bool {
    format == FORMAT
}

/// Where a run's chunks are in a folder.
pub(crate) fn rows_path(folder: &Path, run: RunId) -> PathBuf {
    folder.join(format!("{run}.rows"))
}

/// Returns all files of a run.
pub(crate) fn paths(folder: &Path, run: RunId) -> [PathBuf; 3] {
    [rows_path(folder, run), tail_path(folder, run), logs_path(folder, run)]
}

/// Where a run's log is in a folder.
pub(crate) fn logs_path(folder: &Path, run: RunId) -> PathBuf {
    folder.join(format!("{run}.logs"))
}

/// Where a run's last rows are in a folder.
pub(crate) fn tail_path(folder: &Path, run: RunId) -> PathBuf {
    folder.join(format!("{run}.tail"))
}
