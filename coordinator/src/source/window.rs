//! One open file of the listing, read through one reused buffer.
//!
//! Owns the file and the buffer. Reads are positioned, so a scan may go back a little without ceremony. Every refill
//! is followed by a look at the file's etag: what was read before it is what was listed, or the file has changed.
//! Known weakness: a change within the clock tick of the file system that keeps the size goes unseen.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use common::slice::SourceFile;
use scan::BLOCK;

use super::error::SourceError;
use super::open;

/// The bytes read at once: fits the second-level cache, so that a scan may look at them twice.
pub(super) const BUFFER: usize = 256 << 10;

/// The bytes that are always at hand unless the file ends before: a block and the byte behind it.
pub(super) const LOOKAHEAD: usize = BLOCK + 1;

/// A file seen through its buffer.
#[derive(Debug)]
pub(super) struct Window {
    file: File,
    path: String,
    etag: String,
    end: u64,
    buffer: Vec<u8>,
    /// The file's offset of the first byte of the buffer.
    at: u64,
    /// How many bytes of the buffer are filled.
    filled: usize,
}

impl Window {
    /// Opens a file of the listing, which must be as it was listed.
    pub(super) fn open(listed: &SourceFile, buffer: usize) -> Result<Window, SourceError> {
        let file = open::reopen(&listed.path)?;
        let window = Window::new(file, listed, buffer);
        window.check_unchanged()?;
        Ok(window)
    }

    /// Looks at an open file through a buffer of so many bytes.
    pub(super) fn new(file: File, listed: &SourceFile, buffer: usize) -> Window {
        Window {
            file,
            path: listed.path.clone(),
            etag: listed.etag.clone(),
            end: listed.bytes,
            buffer: vec![0; buffer.max(2 * LOOKAHEAD)],
            at: 0,
            filled: 0,
        }
    }

    /// Returns the file's path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the offset behind the file's last byte.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Returns the bytes from an offset on: at least [`LOOKAHEAD`] of them, unless the file ends before.
    pub(super) fn from(&mut self, offset: u64) -> Result<&[u8], SourceError> {
        let wanted = (self.end - offset).min(LOOKAHEAD as u64);
        let held = self.at..=self.at + self.filled as u64;
        if !(held.contains(&offset) && held.contains(&(offset + wanted))) {
            self.refill(offset)?;
        }
        Ok(&self.buffer[(offset - self.at) as usize..self.filled])
    }

    /// Fails if the file is not what was listed.
    pub(super) fn check_unchanged(&self) -> Result<(), SourceError> {
        let metadata = self.file.metadata().map_err(|source| self.unreadable(source))?;
        if open::etag(&metadata) == self.etag {
            Ok(())
        } else {
            Err(SourceError::Changed {
                file: self.path.clone(),
            })
        }
    }

    fn refill(&mut self, offset: u64) -> Result<(), SourceError> {
        self.at = offset;
        self.filled = 0;
        let wanted = (self.end - offset).min(self.buffer.len() as u64) as usize;
        while self.filled < wanted {
            let place = offset + self.filled as u64;
            match self.file.read_at(&mut self.buffer[self.filled..wanted], place) {
                Ok(0) => {
                    return Err(SourceError::Changed {
                        file: self.path.clone(),
                    });
                }
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(error)),
            }
        }
        self.check_unchanged()
    }

    fn unreadable(&self, source: std::io::Error) -> SourceError {
        SourceError::Unreadable {
            file: self.path.clone(),
            source,
        }
    }
}
