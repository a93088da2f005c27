//! Where fields and records end: the offsets of delimiters and line feeds outside quotes.
//!
//! The text is taken in pieces, 64 bytes at a time, through bit masks: where quotes are gives what is inside quotes,
//! and from that follows which delimiters and line feeds count. On the way it is checked that the text is RFC 4180: a
//! quote opens only where a field begins, a field ends where its quote closes, a carriage return stands before a line
//! feed. A text that is not so is left to the state machine of the csv crate.

use std::ops::Range;

use common::job::CsvDialect;
use memchr::memrchr;
use scan::{BLOCK, Kernel, Masks};

use super::problem::{Problem, Stop};

/// The ends of fields that no record has taken yet.
pub(super) struct Index {
    delimiter: u8,
    quote: u8,
    /// All ones if the next block begins inside quotes.
    inside: u64,
    /// One if a quote may open at the first byte of the next block.
    may_open: u64,
    /// One if a quote was closed by the last byte.
    after_close: u64,
    /// One if the last byte was a carriage return outside quotes.
    after_return: u64,
    /// The offsets of delimiters and line feeds; the first `filled` count.
    ends: Vec<u32>,
    filled: usize,
    /// The places in `ends` of the line feeds.
    lines: Vec<u32>,
}

impl Index {
    /// Starts before the first byte of a slice.
    pub(super) fn new(dialect: &CsvDialect) -> Index {
        Index {
            delimiter: dialect.delimiter,
            quote: dialect.quote,
            inside: 0,
            may_open: 1,
            after_close: 0,
            after_return: 0,
            ends: Vec::new(),
            filled: 0,
            lines: Vec::new(),
        }
    }

    /// Takes the next piece of a slice. All but the last are multiples of [`BLOCK`].
    pub(super) fn take_piece(&mut self, bytes: &[u8], piece: Range<usize>) -> Result<(), Stop> {
        match scan::run(TakePiece {
            index: self,
            bytes: &bytes[piece.clone()],
            base: piece.start as u32,
        }) {
            Text::Regular => Ok(()),
            Text::Irregular => Err(Stop::Irregular),
        }
    }

    /// Ends the slice: its last record may have no line feed.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if self.inside != 0 {
            // The parity is odd, so the last quote is the one that opens.
            let open = memrchr(self.quote, bytes).unwrap_or(0);
            return Err(Stop::Bad(Problem::OpenQuote, open));
        }
        if self.after_return != 0 {
            return Err(Stop::Irregular);
        }
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            self.lines.push(self.filled as u32);
            self.make_room();
            self.ends[self.filled] = bytes.len() as u32;
            self.filled += 1;
        }
        Ok(())
    }

    /// Returns the offsets of the ends.
    pub(super) fn ends(&self) -> &[u32] {
        &self.ends[..self.filled]
    }

    /// Returns the places of the line feeds among the ends.
    pub(super) fn lines(&self) -> &[u32] {
        &self.lines
    }

    /// Lets go of the ends up to the last line feed.
    pub(super) fn drop_lines(&mut self) {
        if let Some(&last) = self.lines.last() {
            let taken = last as usize + 1;
            self.ends.copy_within(taken..self.filled, 0);
            self.filled -= taken;
        }
        self.lines.clear();
    }

    /// Makes sure that the ends of another block fit.
    #[inline(always)]
    fn make_room(&mut self) {
        if self.ends.len() < self.filled + BLOCK {
            self.grow();
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let more = (2 * self.ends.len()).max(16 * BLOCK);
        self.ends.resize(more, 0);
    }
}

/// What a piece turned out to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Regular,
    Irregular,
}

/// The loop over a piece.
struct TakePiece<'a> {
    index: &'a mut Index,
    bytes: &'a [u8],
    /// The offset of the piece in the slice.
    base: u32,
}

impl Kernel for TakePiece<'_> {
    type Output = Text;

    #[inline(always)]
    fn run<M: Masks>(self, masks: M) -> Text {
        let (blocks, rest) = self.bytes.as_chunks::<BLOCK>();
        let mut base = self.base;
        let mut irregular = 0;
        for block in blocks {
            irregular |= self.index.take_block(masks, block, base, u64::MAX);
            base += BLOCK as u32;
        }
        if !rest.is_empty() {
            let mut block = [0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            let valid = !(u64::MAX << rest.len());
            irregular |= self.index.take_block(masks, &block, base, valid);
        }
        if irregular == 0 { Text::Regular } else { Text::Irregular }
    }
}

impl Index {
    /// Takes a block, of which the bytes of `valid` belong to the slice; returns where it is not RFC 4180.
    #[inline(always)]
    fn take_block<M: Masks>(&mut self, masks: M, block: &[u8; BLOCK], base: u32, valid: u64) -> u64 {
        let mut delimiters = masks.equals(block, self.delimiter) & valid;
        let mut newlines = masks.equals(block, b'\n') & valid;
        let quotes = masks.equals(block, self.quote) & valid;
        let returns = masks.equals(block, b'\r') & valid;

        let mut irregular = 0;
        let mut closes = 0;
        if (quotes | returns | self.inside | self.after_close | self.after_return) != 0 {
            let inside = masks.parity_up_to(quotes) ^ self.inside;
            let opens = quotes & inside;
            closes = quotes & !inside;
            delimiters &= !inside;
            newlines &= !inside;
            let outer_returns = returns & !inside;
            let may_open = (delimiters | newlines | closes) << 1 | self.may_open;
            let after_close = closes << 1 | self.after_close;
            let after_return = outer_returns << 1 | self.after_return;
            irregular = opens & !may_open;
            irregular |= after_close & !(delimiters | newlines | returns | quotes) & valid;
            irregular |= after_return & !newlines & valid;
            self.inside = 0_u64.wrapping_sub(inside >> 63);
            self.after_close = closes >> 63;
            self.after_return = last_of(outer_returns, valid);
        }
        let ends = delimiters | newlines;
        self.may_open = last_of(ends | closes, valid);

        self.make_room();
        let places = self.ends[self.filled..].first_chunk_mut::<BLOCK>();
        masks.write_places(ends, base, places.expect("room was made"));
        let mut lines = newlines;
        while lines != 0 {
            let before = ends & (lines - 1) & !lines;
            self.lines.push((self.filled as u32) + before.count_ones());
            lines &= lines - 1;
        }
        self.filled += ends.count_ones() as usize;
        irregular
    }
}

/// Returns one if the last byte of a block is in a mask.
#[inline(always)]
fn last_of(mask: u64, valid: u64) -> u64 {
    mask >> (63 - valid.leading_zeros()) & 1
}
