//! What the two scanners share: where a slice starts, how large it may be, and how a scan ends.

use common::limits::MAX_RECORD_BYTES;

/// The largest record, as an offset.
pub(super) const MAX_RECORD: u64 = MAX_RECORD_BYTES as u64;

/// What closes a slice; the first bound reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The most records.
    pub rows: u64,
    /// The most bytes.
    pub bytes: u64,
}

/// A place between two lines of the file and outside quotes, counted from the start of the slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The offset in the file.
    pub at: u64,
    /// The line feeds before it.
    pub lines: u64,
    /// The records that begin before it. The fast scanner leaves it at zero.
    pub rows: u64,
}

/// How the scan for the end of a slice ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The slice ends here.
    End(Mark),
    /// The record that begins here is larger than [`MAX_RECORD`].
    TooLarge(Mark),
    /// The file ends inside quotes; the record begins here.
    OpenQuote(Mark),
}
