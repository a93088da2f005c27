//! The source against the csv crate, against an obvious cutter, and against everything that can be wrong with a file.

mod cuts;
mod halves;
mod headers;
mod listings;

use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::job::{Batching, CsvDialect, Source};
use common::slice::{ByteSlice, FrozenSource, Slice};
use scheduler::SourceEnd;
use tempfile::TempDir;

use super::{AllowedRoots, InvalidSource, Roots, Sharder, SourceError, list};

/// A folder with files in it.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new(files: &[(&str, &[u8])]) -> Files {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        Files { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn list(&self, uris: &[&str]) -> Result<FrozenSource, InvalidSource> {
        self.list_as(uris, CsvDialect::default())
    }

    fn list_as(&self, uris: &[&str], csv: CsvDialect) -> Result<FrozenSource, InvalidSource> {
        list(&source(uris, csv), &anywhere(self.folder.path()))
    }

    /// Lists one file and returns why it is refused, its path shortened to `FILE`.
    fn refusal(&self, uri: &str) -> String {
        self.shorten(&self.list(&[uri]).unwrap_err().error)
    }

    fn shorten(&self, error: &SourceError) -> String {
        let folder = self.folder.path().canonicalize().unwrap();
        error.to_string().replace(&format!("{}/", folder.display()), "")
    }
}

fn source(uris: &[&str], csv: CsvDialect) -> Source {
    Source {
        uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
        csv,
    }
}

fn anywhere(base: &Path) -> Roots {
    Roots::new(base, AllowedRoots::Anywhere).unwrap()
}

fn bounded(rows: Option<u32>, bytes: Option<u64>) -> Batching {
    Batching::Bounded {
        rows: rows.map(|rows| NonZeroU32::new(rows).unwrap()),
        bytes: bytes.map_or(NonZeroU64::MAX, |bytes| NonZeroU64::new(bytes).unwrap()),
    }
}

fn sharder(source: &FrozenSource, batching: Batching) -> Sharder {
    Sharder::new(Arc::new(source.clone()), CsvDialect::default(), batching)
}

/// Shards to the end, so many slices a call.
fn shard_all(mut sharder: Sharder, count: u32) -> Result<Vec<ByteSlice>, SourceError> {
    let mut slices = Vec::new();
    loop {
        let found = sharder.next_slices(count)?;
        assert!(found.slices.len() <= count as usize);
        slices.extend(found.slices.into_iter().map(|Slice::Bytes(slice)| slice));
        if found.end == SourceEnd::Reached {
            return Ok(slices);
        }
    }
}
