//! The source of a run: which files it has, what columns, and where it is cut into slices.
//!
//! Owns the listing (paths, patterns, allowed roots), the header of every file, and the streaming [`Sharder`]. It
//! never parses a row beyond the header and never sends one anywhere: workers read the slices themselves. Everything
//! here blocks on files, so the driver calls it from a thread that may block.
//!
//! Data flows in two steps. At submission [`list`] turns a [`common::job::Source`] into a
//! [`common::slice::FrozenSource`], or into an [`InvalidSource`] that names the field of the spec. While the run goes
//! on, a [`Sharder`] over the frozen source answers each request for slices with [`Found`], reading no further than
//! it is asked, and its [`ShardCursor`] is what another sharder resumes from.
//!
//! Known weakness: cuts follow the parity of quotes, which is exact for RFC 4180 and wrong for a bare quote inside an
//! unquoted field, for backslash escapes and for comment lines. The coordinator cannot tell; the workers check that
//! their slice ends outside quotes and that its records have as many fields as the header.

mod blocks;
mod bulk;
mod cursor;
mod error;
mod halve;
mod header;
mod listing;
mod open;
mod pattern;
mod refusal;
mod roots;
mod scan;
mod shard;
mod uri;
mod window;

#[cfg(test)]
mod tests;

pub use cursor::ShardCursor;
pub use error::{InvalidSource, MAX_FILES, SourceError};
pub use halve::halve;
pub use listing::list;
pub use open::check_unchanged;
pub use roots::{AllowedRoot, AllowedRoots, Roots};
pub use shard::{Found, Sharder};
