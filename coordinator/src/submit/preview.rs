//! A look into the source of a job that is only checked: its first rows, and how many batches there will be.
//!
//! Reads the beginning of the first file and cuts the first slices with the sharder that would cut the run, so what is
//! said of the batches is what would happen. Owns no check: a source that cannot be cut says so when it runs, and here
//! there is nothing to see. Blocks on files.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use common::job::{Batching, Job};
use common::slice::{FrozenSource, Slice};
use scheduler::SourceEnd;

use crate::source::Sharder;

/// How many rows are shown, and how much of a file is read for them.
const ROWS: usize = 5;
const READ: u64 = 256 << 10;
/// How many characters of a field are shown.
const FIELD: usize = 120;
/// How many slices are cut to learn how large they are, and how large one may be for that.
const SLICES: u32 = 8;
const LARGEST: u64 = 32 << 20;

/// What a look into a source shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// The first rows, long fields cut.
    pub first_rows: Vec<Vec<String>>,
    /// How many batches there will be; `None` if that cannot be told.
    pub batches: Option<u64>,
}

/// Looks into the source of a job.
pub(super) fn look(job: &Job, source: &Arc<FrozenSource>) -> Preview {
    Preview {
        first_rows: first_rows(job, source).unwrap_or_default(),
        batches: estimate(job, source),
    }
}

fn first_rows(job: &Job, source: &FrozenSource) -> std::io::Result<Vec<Vec<String>>> {
    let Some(first) = source.files.iter().find(|file| file.data_start < file.bytes) else {
        return Ok(Vec::new());
    };
    let mut file = File::open(&first.path)?;
    file.seek(SeekFrom::Start(first.data_start))?;
    let mut data = Vec::new();
    file.take(READ).read_to_end(&mut data)?;
    let is_cut = first.data_start + (data.len() as u64) < first.bytes;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(job.source.csv.delimiter)
        .quote(job.source.csv.quote)
        .from_reader(data.as_slice());
    let shown = |record: csv::ByteRecord| record.iter().map(shorten).collect();
    let mut rows: Vec<Vec<String>> = reader
        .byte_records()
        .map_while(Result::ok)
        .take(ROWS + 1)
        .map(shown)
        .collect();
    // Where the file goes on, the last record may be cut in the middle.
    if is_cut || rows.len() > ROWS {
        rows.pop();
    }
    Ok(rows)
}

fn shorten(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    if text.chars().count() <= FIELD {
        return text.into_owned();
    }
    text.chars().take(FIELD).chain(std::iter::once('…')).collect()
}

/// Counts the batches, or reckons them by the size of the first ones.
fn estimate(job: &Job, source: &Arc<FrozenSource>) -> Option<u64> {
    let total = source.total_bytes();
    match job.batching {
        Batching::Bounded { bytes, .. } if bytes.get() > LARGEST => return Some(total.div_ceil(bytes.get())),
        Batching::Bounded { .. } | Batching::WholeInput => {}
    }
    let mut sharder = Sharder::new(source.clone(), job.source.csv.clone(), job.batching);
    let found = sharder.next_slices(SLICES).ok()?;
    if found.end == SourceEnd::Reached {
        return Some(found.slices.len() as u64);
    }
    let size = |slice: &Slice| match slice {
        Slice::Bytes(bytes) => bytes.end - bytes.start,
    };
    let cut: u64 = found.slices.iter().map(size).sum();
    let data: u64 = source.files.iter().map(|file| file.bytes - file.data_start).sum();
    (cut > 0).then(|| (data as f64 * found.slices.len() as f64 / cut as f64).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{AllowedRoots, Roots, list};

    fn preview(text: &str, rows: u32) -> Preview {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, text).expect("a file can be written");
        let job = proto::json::job_from_json(&serde_json::json!({
            "name": "preview",
            "source": {"uris": [path], "csv": {}},
            "batch": {"rows": rows},
            "ops": [{"name": "load", "write": {"discard": {}}}],
        }));
        let job = job.expect("the job is right");
        let roots = Roots::new(folder.path(), AllowedRoots::Anywhere).expect("the folder is there");
        let source = list(&job.source, &roots).expect("the file can be listed");
        look(&job, &Arc::new(source))
    }

    #[test]
    fn the_first_rows_are_shown_and_few_batches_are_counted_exactly() {
        let seen = preview("a,b\n1,\"x,\ny\"\n2,z\n3,w\n", 2);
        assert_eq!(seen.batches, Some(2));
        assert_eq!(seen.first_rows[0], ["1", "x,\ny"]);
        assert_eq!(seen.first_rows.len(), 3);
    }

    #[test]
    fn many_batches_are_reckoned_by_the_first_ones() {
        let rows: String = (0..10_000).map(|row| format!("{row:05},x\n")).collect();
        let seen = preview(&format!("a,b\n{rows}"), 10);
        assert_eq!(seen.batches, Some(1_000));
        assert_eq!(seen.first_rows.len(), ROWS);
    }

    #[test]
    fn a_long_field_is_cut() {
        let seen = preview(&format!("a\n{}\n", "x".repeat(1_000)), 10);
        assert_eq!(seen.first_rows[0][0].chars().count(), FIELD + 1);
    }
}
