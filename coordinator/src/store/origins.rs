//! What a run begins at that runs the later ops of another one again: the last checkpoint of each batch that can be read.
//!
//! Owns the choice: of the checkpoints that the runs before made of a batch, as far as each of them counts, the one furthest
//! down the chain whose file is there as long as it was written, and of two the one of the nearest run. Reads the journal's
//! archive in pages, and looks at files; it blocks on both.
//!
//! Known weakness: the coordinator has to see the files. What becomes of them later, or of their bytes, is found by the
//! worker that reads them.

use std::collections::BTreeMap;
use std::fs;

use common::ids::BatchId;
use scheduler::{Checkpoint, Origin};

use super::journal::{Archive, ArchiveError};

/// Where some batches begin.
#[derive(Debug, Default)]
pub(crate) struct Beginnings {
    /// Those that begin at a checkpoint, in the order of the source.
    pub(crate) kept: Vec<(BatchId, Checkpoint)>,
    /// Of how many batches the last checkpoint's file is gone.
    pub(crate) gone: u64,
    /// The first file that is gone.
    pub(crate) first_gone: Option<String>,
    /// The number of the first batch that was not looked at; `None` when no later one has a checkpoint.
    pub(crate) next: Option<u64>,
}

/// Finds where batches begin, from the batch of a number on, as far as one page of every run reaches.
///
/// # Errors
/// [`ArchiveError`] when the archive cannot be read.
pub(crate) fn beginnings(
    archive: &dyn Archive,
    origins: &[Origin],
    from: u64,
    page: usize,
) -> Result<Beginnings, ArchiveError> {
    let mut candidates: BTreeMap<u64, Vec<Checkpoint>> = BTreeMap::new();
    let mut next = None;
    for origin in origins {
        let found = archive.checkpoints_page(origin.run, from, page)?;
        if let Some((last, _)) = found.last().filter(|_| found.len() >= page) {
            let end = last + 1;
            next = Some(next.map_or(end, |next: u64| next.min(end)));
        }
        for (batch, made) in found {
            let counts = made.into_iter().filter(|made| made.op() <= origin.up_to);
            candidates.entry(batch).or_default().extend(counts);
        }
    }
    let mut beginnings = Beginnings {
        next,
        ..Beginnings::default()
    };
    for (batch, mut made) in candidates {
        if next.is_some_and(|next| batch >= next) {
            break;
        }
        // Stable: those of nearer runs come first.
        made.sort_by_key(|made| std::cmp::Reverse(made.op()));
        let place = made.iter().position(is_there);
        if place != Some(0)
            && let Some(gone) = made.first()
        {
            beginnings.gone += 1;
            beginnings.first_gone.get_or_insert_with(|| gone.part.file.clone());
        }
        if let Some(place) = place {
            beginnings.kept.push((BatchId::whole(batch), made.swap_remove(place)));
        }
    }
    Ok(beginnings)
}

fn is_there(checkpoint: &Checkpoint) -> bool {
    let part = &checkpoint.part;
    fs::metadata(&part.file).is_ok_and(|found| found.is_file() && found.len() == part.length)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use common::ids::{OpId, RunId};
    use common::part::Part;

    use super::*;

    /// The checkpoints of two runs.
    struct Kept(BTreeMap<RunId, Vec<(u64, Vec<Checkpoint>)>>);

    impl Archive for Kept {
        fn parts_page(
            &self,
            _: RunId,
            _: Option<BatchId>,
            _: usize,
        ) -> Result<Vec<(BatchId, Vec<Part>)>, ArchiveError> {
            Ok(Vec::new())
        }

        fn checkpoints_page(
            &self,
            run: RunId,
            from: u64,
            limit: usize,
        ) -> Result<Vec<(u64, Vec<Checkpoint>)>, ArchiveError> {
            let page = self
                .0
                .get(&run)
                .into_iter()
                .flatten()
                .filter(|(batch, _)| *batch >= from);
            Ok(page.take(limit).cloned().collect())
        }
    }

    fn made(folder: &Path, name: &str, op: u16) -> Checkpoint {
        let file = folder.join(name);
        fs::write(&file, name).expect("is written");
        let part = Part {
            op: OpId(op),
            file: file.to_str().expect("UTF-8").to_owned(),
            offset: 0,
            length: name.len() as u64,
            checksum: 0,
            rows: 1,
        };
        Checkpoint { part, done: Vec::new() }
    }

    #[test]
    fn the_checkpoint_furthest_down_that_counts_and_is_there_is_begun_at_and_the_nearest_runs_of_two() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = |name: &str, op| made(folder.path(), name, op);
        let near = vec![
            (1, vec![made("near-1-2", 2)]),
            (2, vec![made("near-2-1", 1), made("near-2-3", 3)]),
            (7, vec![made("near-7-5", 5)]),
        ];
        let far = vec![
            (1, vec![made("far-1-2", 2)]),
            (2, vec![made("far-2-2", 2)]),
            (3, vec![made("far-3-1", 1), made("far-3-2", 2), made("far-3-4", 4)]),
            (4, vec![made("far-4-2", 2)]),
        ];
        let kept = Kept(BTreeMap::from([(RunId(8), near), (RunId(7), far)]));
        let origin = |run, up_to| Origin {
            run: RunId(run),
            up_to: OpId(up_to),
        };
        let origins = [origin(8, 4), origin(7, 3)];
        fs::remove_file(folder.path().join("far-3-2")).expect("is there");
        fs::write(folder.path().join("far-4-2"), "cut").expect("is there");
        // However few are read at once.
        for page in [1, 2, 100] {
            let (mut found, mut gone, mut first_gone, mut next) = (Vec::new(), 0, None, Some(0));
            while let Some(from) = next {
                let some = beginnings(&kept, &origins, from, page).expect("is read");
                found.extend(some.kept);
                gone += some.gone;
                first_gone = first_gone.or(some.first_gone);
                next = some.next;
            }
            let name = |file: &str| file.rsplit_once('/').expect("a file").1.to_owned();
            let found: Vec<_> = found
                .iter()
                .map(|(batch, made)| (batch.index, name(&made.part.file)))
                .collect();
            let of = |batch, name: &str| (batch, name.to_owned());
            assert_eq!(
                found,
                [of(1, "near-1-2"), of(2, "near-2-3"), of(3, "far-3-1")],
                "by {page}"
            );
            assert_eq!((gone, first_gone.as_deref().map(name)), (2, Some("far-3-2".to_owned())));
        }
    }
}
