mod refusals;
mod replacing;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use common::failure::FailureKind;
use common::ids::{Attempt, Generation, RunId};
use common::job::{FileFormat, IfExists};
use common::slice::FileId;
use common::state::Reopening;

use super::*;
use crate::batch::Provenance;
use crate::ops::CancelToken;
use crate::sink::CommittedPart;

/// A file sink in a folder of its own.
struct Scene {
    folder: tempfile::TempDir,
    target: Target,
}

impl Scene {
    fn new(format: FileFormat, single_file: SingleFile) -> Scene {
        let folder = tempfile::tempdir().expect("makes a folder");
        let target = target(&folder.path().join("out"), 7, format, single_file);
        Scene { folder, target }
    }

    /// A later run of the same job, to the same place.
    fn later(self, run: u64, if_exists: IfExists) -> Scene {
        let place = self.target.place.clone();
        let mut target = target(&place, run, self.target.format, self.target.single_file);
        target.if_exists = if_exists;
        Scene { target, ..self }
    }

    fn sink(&self) -> FileSink {
        let Target {
            ref job,
            ref columns,
            ref place,
            ref hidden,
            ..
        } = self.target;
        FileSink {
            target: Target {
                job: job.clone(),
                columns: Arc::clone(columns),
                place: place.clone(),
                hidden: hidden.clone(),
                ..self.target
            },
            text: Mutex::default(),
        }
    }

    fn stage(&self, batch: u64, sequence: u64, names: &[&str]) -> Vec<Part> {
        self.sink()
            .stage(&rows(names), &context(batch, sequence))
            .expect("is staged")
    }

    fn commit(&self, batch: u64, names: &[&str]) -> Vec<CommittedPart> {
        let parts = self.stage(batch, batch + 1, names);
        self.sink().publish(Some(batch.into()), &parts).expect("is published");
        let committed = |part| CommittedPart {
            batch: batch.into(),
            part,
        };
        parts.into_iter().map(committed).collect()
    }

    fn finish(&self, state: RunState, committed: &[CommittedPart]) -> Result<Vec<Part>, Failure> {
        self.finish_with(state, Reopening::Possible, committed)
    }

    fn finish_with(
        &self,
        state: RunState,
        reopening: Reopening,
        committed: &[CommittedPart],
    ) -> Result<Vec<Part>, Failure> {
        self.sink().finish(Finish {
            lease: lease(99),
            state,
            reopening,
            committed: &mut committed.iter().cloned().map(Ok),
            cancel: &CancelToken::default(),
        })
    }

    fn end(&self, state: RunState, committed: &[CommittedPart]) {
        let parts = self.finish(state, committed).expect("finishes");
        self.sink().publish(None, &parts).expect("is published");
        self.sink().publish(None, &parts).expect("may be published again");
    }

    /// All files below the folder with their text.
    fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("is a folder") {
                let path: PathBuf = entry.expect("is there").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path
                        .strip_prefix(self.folder.path())
                        .expect("is below")
                        .display()
                        .to_string();
                    files.insert(name, std::fs::read_to_string(&path).expect("is text"));
                }
            }
        }
        files
    }

    fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    fn manifest(&self) -> serde_json::Value {
        serde_json::from_str(&self.files()["out/_manifest.json"]).expect("is JSON")
    }

    fn hidden_is_gone(&self) -> bool {
        !self.target.hidden.exists()
    }
}

fn target(place: &Path, run: u64, format: FileFormat, single_file: SingleFile) -> Target {
    let hidden = match single_file {
        SingleFile::Parts => place.join(format!(".plumbline-r{run}")),
        SingleFile::Join => place.with_file_name(format!(".out.plumbline-r{run}")),
    };
    Target {
        run: RunId(run),
        job: "a \"job\"".to_owned(),
        op: OpId(3),
        format,
        single_file,
        if_exists: IfExists::Refuse,
        columns: rows(&[]).schema(),
        place: place.to_owned(),
        hidden,
    }
}

fn rows(names: &[&str]) -> Batch {
    let numbers = Int64Array::from_iter_values(1..=names.len() as i64);
    let columns: [(&str, ArrayRef); 2] = [
        ("name", Arc::new(StringViewArray::from_iter_values(names))),
        ("number, of", Arc::new(numbers)),
    ];
    let provenance = Provenance {
        file: FileId(0),
        start: 0,
        first_line: 2,
        first_row: None,
        rows_before: 0,
        places: None,
    };
    Batch::new(RecordBatch::try_from_iter(columns).expect("columns fit"), provenance)
}

fn lease(sequence: u64) -> LeaseId {
    LeaseId {
        generation: Generation(1),
        sequence,
    }
}

fn context(batch: u64, sequence: u64) -> OpContext {
    OpContext {
        run: RunId(7),
        batch: batch.into(),
        op: OpId(3),
        attempt: Attempt::FIRST,
        lease: lease(sequence),
        seed: 0,
        cancel: CancelToken::default(),
        task_log: Arc::default(),
    }
}

fn checksum(text: &str) -> u32 {
    crc32fast::hash(text.as_bytes())
}

#[test]
fn a_staged_part_is_named_by_its_lease_and_described_exactly() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
    let parts = scene.stage(12, 57, &["mew", "a,b", "say \"hi\"", "two\nlines", " spaced "]);
    let text = "name,\"number, of\"\nmew,1\n\"a,b\",2\n\"say \"\"hi\"\"\",3\n\"two\nlines\",4\n spaced ,5\n";
    let name = "out/.plumbline-r7/part-000012-l1.57.csv";
    assert_eq!(scene.files(), BTreeMap::from([(name.to_owned(), text.to_owned())]));
    assert_eq!(
        parts,
        [Part {
            op: OpId(3),
            file: scene.folder.path().join(name).display().to_string(),
            offset: 0,
            length: text.len() as u64,
            checksum: checksum(text),
            rows: 5,
        }]
    );
}

#[test]
fn json_lines_have_strings_escaped_and_numbers_bare() {
    let scene = Scene::new(FileFormat::Jsonl, SingleFile::Parts);
    scene.stage(0, 1, &["say \"hi\"\n", "é"]);
    let text = "{\"name\":\"say \\\"hi\\\"\\n\",\"number, of\":1}\n{\"name\":\"é\",\"number, of\":2}\n";
    assert_eq!(scene.files()["out/.plumbline-r7/part-000000-l1.1.jsonl"], text);
}

#[test]
fn a_folder_ends_with_the_committed_parts_and_a_manifest_and_nothing_else() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
    let mut committed = scene.commit(0, &["bulbasaur"]);
    committed.extend(scene.commit(1, &["charmander", "squirtle"]));
    // Another attempt at the first batch, whose worker was lost.
    scene.stage(0, 50, &["bulbasaur"]);
    scene.end(RunState::Succeeded, &committed);
    assert_eq!(
        scene.names(),
        ["out/_manifest.json", "out/part-000000.csv", "out/part-000001.csv"]
    );
    assert!(scene.hidden_is_gone());
    let crc = |name: &str| format!("{:08x}", checksum(&scene.files()[name]));
    assert_eq!(
        scene.manifest(),
        serde_json::json!({
            "run": "r7",
            "job": "a \"job\"",
            "state": "succeeded",
            "columns": ["name", "number, of"],
            "parts": [
                {"file": "part-000000.csv", "rows": 1, "bytes": 30, "crc32": crc("out/part-000000.csv")},
                {"file": "part-000001.csv", "rows": 2, "bytes": 42, "crc32": crc("out/part-000001.csv")},
            ],
            "rows": 3,
        })
    );
}

#[test]
fn publishing_may_be_repeated_and_a_part_that_is_gone_is_reported() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
    let parts = scene.stage(0, 1, &["mew"]);
    for _ in 0..2 {
        scene.sink().publish(Some(0.into()), &parts).expect("is published");
    }
    std::fs::remove_file(scene.target.place.join("part-000000.csv")).expect("is there");
    let failure = scene.sink().publish(Some(0.into()), &parts).expect_err("is gone");
    assert!(
        failure.message.contains("somebody else changed these files"),
        "{failure}"
    );
}

#[test]
fn the_finish_publishes_what_a_lost_worker_did_not() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
    let part = scene.stage(4, 1, &["mew"]).remove(0);
    scene.end(RunState::Succeeded, &[CommittedPart { batch: 4.into(), part }]);
    assert_eq!(scene.names(), ["out/_manifest.json", "out/part-000004.csv"]);
}

#[test]
fn an_abandoned_attempt_leaves_nothing_and_takes_nothing_of_others() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
    scene.stage(0, 1, &["mew"]);
    scene.stage(0, 2, &["mew"]);
    for _ in 0..2 {
        scene.sink().abandon(Some(0.into()), lease(1)).expect("is removed");
    }
    assert_eq!(scene.names(), ["out/.plumbline-r7/part-000000-l1.2.csv"]);
    scene.sink().abandon(Some(0.into()), lease(2)).expect("is removed");
    assert!(scene.hidden_is_gone());
}

#[test]
fn a_single_file_has_the_parts_in_the_order_of_the_batches_under_one_header() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Join);
    let later = scene.commit(1, &["charmander", "squirtle"]);
    let mut committed = scene.commit(0, &["bulbasaur"]);
    committed.extend(later);
    assert!(!scene.target.place.exists());
    scene.end(RunState::Succeeded, &committed);
    let text = "name,\"number, of\"\nbulbasaur,1\ncharmander,1\nsquirtle,2\n";
    assert_eq!(scene.files(), BTreeMap::from([("out".to_owned(), text.to_owned())]));
    assert!(scene.hidden_is_gone());
}

#[test]
fn a_part_that_was_damaged_is_not_joined() {
    let scene = Scene::new(FileFormat::Jsonl, SingleFile::Join);
    let committed = scene.commit(0, &["mew"]);
    std::fs::write(&committed[0].part.file, "{\"name\":\"mow\",\"number, of\":1}\n").expect("is written");
    let failure = scene.finish(RunState::Succeeded, &committed).expect_err("is damaged");
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(failure.message.contains("is not what was written"), "{failure}");
    assert_eq!(
        scene.names(),
        [".out.plumbline-r7/part-000000-l1.1.jsonl"],
        "the unfinished join is removed"
    );
}

#[test]
fn a_run_without_rows_makes_an_empty_result() {
    let folder = Scene::new(FileFormat::Csv, SingleFile::Parts);
    assert!(folder.stage(0, 1, &[]).is_empty());
    folder.end(RunState::Succeeded, &[]);
    assert_eq!(folder.names(), ["out/_manifest.json"]);
    assert_eq!(folder.manifest()["parts"], serde_json::json!([]));
    for (format, text) in [(FileFormat::Csv, "name,\"number, of\"\n"), (FileFormat::Jsonl, "")] {
        let single = Scene::new(format, SingleFile::Join);
        single.end(RunState::Succeeded, &[]);
        assert_eq!(single.files(), BTreeMap::from([("out".to_owned(), text.to_owned())]));
    }
}

#[test]
fn a_failed_run_keeps_its_committed_parts_and_says_that_it_failed() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
    let committed = scene.commit(0, &["mew"]);
    scene.stage(1, 2, &["never committed"]);
    scene.end(RunState::Failed, &committed);
    assert_eq!(scene.names(), ["out/_manifest.json", "out/part-000000.csv"]);
    assert_eq!(scene.manifest()["state"], "failed");
}

#[test]
fn a_cancelled_run_leaves_nothing_of_a_single_file() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Join);
    let committed = scene.commit(0, &["mew"]);
    assert!(
        scene
            .finish(RunState::Cancelled, &committed)
            .expect("sweeps")
            .is_empty()
    );
    assert!(scene.names().is_empty() && scene.hidden_is_gone());
}
