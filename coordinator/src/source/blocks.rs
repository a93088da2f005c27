//! The exact scanner: finds the end of a slice by rows and bytes, 64 bytes at a time.
//!
//! Owns the rules of where a slice may end and what a row is. It looks at every block through bit masks: where quotes,
//! line feeds and carriage returns are; from the running parity of quotes, which of these are outside quotes; from
//! that, where lines and records begin. A block in which nothing can end is only counted; in the others the beginnings
//! of lines are walked one by one.
//!
//! The rules are those of the csv crate. Outside quotes `\n`, `\r` and `\r\n` each end a record, and an empty line is
//! none. A slice may end where a line begins; `\r\n` is never torn apart. A bound on rows closes a slice where the next
//! record begins, so that empty lines stay with the record before them; a bound on bytes closes it at the last line that
//! begins within the bound, or after the first line if that alone is larger.

use ::scan::{BLOCK, Kernel, Masks};

use super::error::SourceError;
use super::scan::{Bounds, MAX_RECORD, Mark, Stop};
use super::window::Window;

/// Finds the end of the slice that starts at an offset, where a line begins outside quotes.
pub(super) fn find_end(window: &mut Window, start: u64, bounds: Bounds, quote: u8) -> Result<Stop, SourceError> {
    let end = window.end();
    let mut scan = BlockScan::new(start, bounds, quote);
    let mut at = start;
    loop {
        let data = window.from(at)?;
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        let length = BLOCK as u64;
        if let Some(stop) = scan.take(TakeBlocks { at, blocks, length }) {
            return Ok(stop);
        }
        at += length * blocks.len() as u64;
        if at + rest.len() as u64 == end {
            let mut block = [0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            let (blocks, length) = (&[block][..], rest.len() as u64);
            let stop = scan.take(TakeBlocks { at, blocks, length });
            return Ok(stop.unwrap_or_else(|| scan.end_of_file(end)));
        }
    }
}

/// Blocks that follow each other.
struct TakeBlocks<'a> {
    /// The offset of the first in the file.
    at: u64,
    blocks: &'a [[u8; BLOCK]],
    /// How many bytes of each belong to the file.
    length: u64,
}

/// A scan that takes blocks with the instructions of this machine.
struct Take<'a> {
    scan: &'a mut BlockScan,
    blocks: TakeBlocks<'a>,
}

impl Kernel for Take<'_> {
    type Output = Option<Stop>;

    #[inline(always)]
    fn run<M: Masks>(self, masks: M) -> Option<Stop> {
        let TakeBlocks { mut at, blocks, length } = self.blocks;
        for block in blocks {
            if let Some(stop) = self.scan.block(masks, at, block, length) {
                return Some(stop);
            }
            at += length;
        }
        None
    }
}

/// The state of a scan between two blocks.
struct BlockScan {
    quote: u8,
    start: u64,
    /// The last offset within the bound on bytes.
    limit: u64,
    max_rows: u64,
    /// All ones if the next block begins inside quotes.
    inside: u64,
    /// One if the byte before the next block ended a record, as a carry.
    after_end: u64,
    /// One if that byte was a carriage return.
    after_return: u64,
    lines: u64,
    rows: u64,
    /// The last line that began; the start of the slice before any other.
    last: Mark,
}

impl BlockScan {
    fn new(start: u64, bounds: Bounds, quote: u8) -> BlockScan {
        BlockScan {
            quote,
            start,
            limit: start.saturating_add(bounds.bytes),
            max_rows: bounds.rows,
            inside: 0,
            after_end: 1,
            after_return: 0,
            lines: 0,
            rows: 0,
            last: Mark {
                at: start,
                lines: 0,
                rows: 0,
            },
        }
    }

    /// Takes the next blocks.
    fn take(&mut self, blocks: TakeBlocks<'_>) -> Option<Stop> {
        ::scan::run(Take { scan: self, blocks })
    }

    /// Takes the next block, of which the first `length` bytes belong to the file.
    #[inline(always)]
    fn block<M: Masks>(&mut self, masks: M, base: u64, block: &[u8; BLOCK], length: u64) -> Option<Stop> {
        let valid = u64::MAX.checked_shr(64 - length as u32).unwrap_or(0);
        let newlines = masks.equals(block, b'\n');
        let returns = masks.equals(block, b'\r');
        let inside = masks.parity_up_to(masks.equals(block, self.quote)) ^ self.inside;
        let ends = (newlines | returns) & !inside;
        let outer_returns = returns & !inside;
        let after_end = ends << 1 | self.after_end;
        let torn = newlines & (outer_returns << 1 | self.after_return);
        let found = Found {
            base,
            newlines,
            lines: after_end & !torn & valid,
            records: after_end & !ends & valid,
        };
        self.inside = 0_u64.wrapping_sub(inside >> 63);
        self.after_end = ends >> 63;
        self.after_return = outer_returns >> 63;

        let rows_here = u64::from(found.records.count_ones());
        let block_end = base + length;
        let quiet = block_end <= self.limit
            && block_end - self.last.at <= MAX_RECORD
            && self.rows.saturating_add(rows_here) <= self.max_rows;
        if quiet {
            if found.lines != 0 {
                self.last = self.mark(&found, 63 - found.lines.leading_zeros());
            }
        } else if let Some(stop) = self.walk(&found, block_end) {
            return Some(stop);
        }
        self.lines += u64::from(newlines.count_ones());
        self.rows += rows_here;
        None
    }

    /// Walks the lines that begin in a block in which the slice may end.
    fn walk(&mut self, found: &Found, block_end: u64) -> Option<Stop> {
        let mut lines = found.lines;
        while lines != 0 {
            let bit = lines.trailing_zeros();
            lines &= lines - 1;
            let mark = self.mark(found, bit);
            if let Some(stop) = self.line(mark, found.records >> bit & 1) {
                return Some(stop);
            }
        }
        if block_end > self.limit && self.last.at > self.start {
            return Some(Stop::End(self.last));
        }
        (block_end - self.last.at > MAX_RECORD).then_some(Stop::TooLarge(self.last))
    }

    /// Takes the next line, with which a record begins or none.
    fn line(&mut self, mark: Mark, records: u64) -> Option<Stop> {
        if mark.at == self.start {
            return None;
        }
        if mark.at > self.limit && self.last.at > self.start {
            return Some(Stop::End(self.last));
        }
        if mark.at - self.last.at > MAX_RECORD {
            return Some(Stop::TooLarge(self.last));
        }
        if mark.at > self.limit || mark.rows + records > self.max_rows {
            return Some(Stop::End(mark));
        }
        self.last = mark;
        None
    }

    fn end_of_file(&mut self, end: u64) -> Stop {
        if self.inside != 0 {
            return Stop::OpenQuote(self.last);
        }
        let mark = Mark {
            at: end,
            lines: self.lines,
            rows: self.rows,
        };
        self.line(mark, 0).unwrap_or(Stop::End(mark))
    }

    fn mark(&self, found: &Found, bit: u32) -> Mark {
        let before = (1_u64 << bit) - 1;
        Mark {
            at: found.base + u64::from(bit),
            lines: self.lines + u64::from((found.newlines & before).count_ones()),
            rows: self.rows + u64::from((found.records & before).count_ones()),
        }
    }
}

/// What was found in a block.
struct Found {
    base: u64,
    /// Line feeds, inside quotes and outside.
    newlines: u64,
    /// Where lines begin outside quotes.
    lines: u64,
    /// Where records begin: the lines that are not empty.
    records: u64,
}
