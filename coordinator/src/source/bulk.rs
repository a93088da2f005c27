//! The fast scanner: finds the end of a slice by bytes alone, at nearly the speed of memory.
//!
//! Owns no rule of its own: it ends slices exactly where [`super::blocks`] would. Per buffer it counts quotes and line
//! feeds in bulk, which gives the parity at the buffer's end; from there it walks back over quotes and line ends to the
//! last line that began. Whatever that cannot decide (a record larger than the bound or than allowed, the end of the
//! file inside quotes) it hands to the exact scanner, from the start of the slice; such records are rare.

use memchr::{memchr_iter, memrchr3_iter};

use super::blocks;
use super::error::SourceError;
use super::scan::{Bounds, MAX_RECORD, Mark, Stop};
use super::window::Window;

/// Finds the end of the slice that starts at an offset, where a line begins outside quotes. Rows are not counted.
pub(super) fn find_end(window: &mut Window, start: u64, bytes: u64, quote: u8) -> Result<Stop, SourceError> {
    let end = window.end();
    let limit = start.saturating_add(bytes).min(end);
    let mut last = Mark {
        at: start,
        lines: 0,
        rows: 0,
    };
    let (mut at, mut lines, mut quotes) = (start, 0, 0);
    while at < limit {
        let data = window.from(at)?;
        let mut length = data.len().min((limit - at) as usize);
        // Whether a line begins behind a carriage return shows only in the next byte: leave it for the next round.
        if length == data.len() && at + (length as u64) < end && data[length - 1] == b'\r' {
            length -= 1;
        }
        let chunk = &data[..length];
        quotes += memchr_iter(quote, chunk).count();
        lines += memchr_iter(b'\n', chunk).count() as u64;
        if at + (length as u64) - last.at > MAX_RECORD {
            return exact(window, start, bytes, quote);
        }
        if let Some(place) = last_line(chunk, data.get(length).copied(), quotes, quote) {
            last.at = at + place as u64;
            last.lines = lines - memchr_iter(b'\n', &chunk[place..]).count() as u64;
        }
        at += length as u64;
    }
    let is_inside = !quotes.is_multiple_of(2);
    if limit == end && !is_inside {
        (last.at, last.lines) = (end, lines);
    } else if limit == end || last.at == start {
        return exact(window, start, bytes, quote);
    }
    Ok(Stop::End(last))
}

fn exact(window: &mut Window, start: u64, bytes: u64, quote: u8) -> Result<Stop, SourceError> {
    let bounds = Bounds { rows: u64::MAX, bytes };
    blocks::find_end(window, start, bounds, quote)
}

/// Returns where in a chunk the last line begins outside quotes (its end is such a place too), given the byte that
/// follows and how many quotes there are up to the chunk's end.
fn last_line(chunk: &[u8], next: Option<u8>, mut quotes: usize, quote: u8) -> Option<usize> {
    for place in memrchr3_iter(quote, b'\n', b'\r', chunk) {
        if chunk[place] == quote {
            quotes -= 1;
        } else if quotes.is_multiple_of(2) {
            let follower = chunk.get(place + 1).copied().or(next);
            if chunk[place] == b'\n' || follower != Some(b'\n') {
                return Some(place + 1);
            }
        }
    }
    None
}
