//! Running later ops again: what an ended run kept at its checkpoints is not made again, whoever dies meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::{Attempt, Cluster, Ended, Job, RerunOf, oracle, tables, until};

const ROWS: usize = 200;
const BATCH: u32 = 10;
const BATCHES: u64 = 20;
const CAP: usize = 4;

/// The table, the folder of the checkpoints and the jobs of one test.
struct Story {
    table: PathBuf,
    kept: PathBuf,
    folder: PathBuf,
}

impl Story {
    fn in_folder_of(cluster: &Cluster) -> Story {
        Story {
            table: cluster.scratch().write("people.csv", tables::people(ROWS)),
            kept: cluster.scratch().path("kept"),
            folder: cluster.scratch().folder().to_owned(),
        }
    }

    /// A job whose op 2 makes uuids and is a checkpoint; what comes behind it tags the rows and takes so long.
    fn job(&self, target: &str, tag: &str, delay: &str) -> Job {
        let delay = json!({ "per_batch": delay });
        Job::over(&self.table)
            .rows(BATCH)
            .with("seed", 7)
            .with("checkpoint_uri", self.kept.to_string_lossy().into_owned())
            .cap(CAP as u32)
            .op("clean", json!({ "noop": {} }))
            .op(
                "mark",
                json!({ "add": { "columns": { "mark": { "uuid": {} } } }, "checkpoint": true, "delay": delay }),
            )
            .op(
                "tag",
                json!({ "add": { "columns": { "tag": { "literal": tag } } }, "delay": delay }),
            )
            .single_file(&self.path(target))
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).expect("the output is in place")
    }

    /// Returns what a job makes when nothing disturbs it.
    fn undisturbed(&self, cluster: &Cluster, tag: &str) -> String {
        cluster.run(&self.job("undisturbed.csv", tag, "0s"));
        let output = self.read("undisturbed.csv");
        tables::expect_each_row_once(&tables::parse(&output), ROWS);
        output
    }

    fn files(&self) -> Vec<PathBuf> {
        files_below(&self.kept)
    }
}

/// A run that runs later ops of another one again.
struct Rerun {
    run: String,
    at_checkpoints: u64,
}

impl Rerun {
    fn read(answer: &Ended) -> Rerun {
        let line = answer.stdout.lines().next().expect("prints the run");
        let answer: Value = serde_json::from_str(line).expect("the run is JSON");
        Rerun {
            run: answer["run"].as_str().expect("the run has an id").to_owned(),
            at_checkpoints: answer["batches_at_checkpoints"].as_u64().expect("says how many"),
        }
    }
}

fn ask(cluster: &Cluster, run: &str, from: &str, job: Option<&Job>, name: Option<&str>) -> Ended {
    let mut call = cluster.plumb(["rerun", run, "--from", from]);
    if let Some(name) = name {
        call = call.args(["--request-id", name]);
    }
    match job {
        Some(job) => call.arg(job.write(cluster.scratch())).call(),
        None => call.call(),
    }
}

fn rerun(cluster: &Cluster, run: &str, from: &str, job: Option<&Job>) -> Rerun {
    Rerun::read(&ask(cluster, run, from, job, None).expect_code(0))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => files.extend(files_below(&path)),
            path => files.push(path),
        }
    }
    files
}

/// Returns the batches on which an op was tried.
fn batches_of(attempts: &[Attempt], op: &str) -> BTreeSet<u64> {
    let of_op = attempts
        .iter()
        .filter(|attempt| attempt.op == op && attempt.batch.is_some());
    of_op.map(Attempt::batch_number).collect()
}

fn ops_of(attempts: &[Attempt]) -> BTreeSet<&str> {
    attempts.iter().map(|attempt| attempt.op.as_str()).collect()
}

#[test]
fn later_ops_of_a_succeeded_run_are_run_again_without_the_earlier_ones_also_after_restarts() {
    let mut cluster = Cluster::start(2, 2);
    let story = Story::in_folder_of(&cluster);
    let expected = story.undisturbed(&cluster, "two");
    let first = cluster.run(&story.job("first.csv", "one", "0s")).run;
    cluster.restart_coordinator();
    cluster.wait_for_workers(2);

    let again = rerun(&cluster, &first, "tag", Some(&story.job("again.csv", "two", "0s")));
    assert_eq!(again.at_checkpoints, BATCHES);
    let report = cluster.wait_for_end(&again.run).expect_success();
    assert_eq!((report.rows.read, report.rows.loaded), (ROWS as u64, ROWS as u64));
    report.expect_balance();
    let known_as = RerunOf {
        run: first.clone(),
        from_op: "tag".to_owned(),
        batches_at_checkpoints: BATCHES,
    };
    assert_eq!(report.rerun_of, Some(known_as));
    assert_eq!(story.read("again.csv"), expected, "byte for byte, uuids too");
    let attempts = cluster.timeline(&again.run);
    assert_eq!(
        ops_of(&attempts),
        BTreeSet::from(["tag", "load"]),
        "nothing before is done again"
    );
    assert_eq!(batches_of(&attempts, "tag").len() as u64, BATCHES);
    let activity = cluster.activity(&again.run);
    let told = activity
        .iter()
        .find(|activity| activity.kind == "rerun")
        .expect("is in the log");
    assert_eq!(told.by.as_deref(), Some("grpc"));
    let message = format!("{first} again from tag: 20 batches begin at its checkpoints, up to mark");
    assert_eq!(told.message, message);

    // Of the run that itself began at checkpoints, over a kill of the coordinator as soon as it is accepted; nothing is to be
    // kept this time, so that fewer columns would be read if any were.
    let third = story.job("third.csv", "two", "0s").of_op("mark", "checkpoint", false);
    let third = rerun(&cluster, &again.run, "tag", Some(&third));
    cluster.restart_coordinator();
    let report = cluster.wait_for_end(&third.run).expect_success();
    assert_eq!(
        report.rerun_of.map(|rerun| rerun.run),
        Some(again.run),
        "also after a restart"
    );
    assert_eq!(story.read("third.csv"), expected);
    assert_eq!(ops_of(&cluster.timeline(&third.run)), BTreeSet::from(["tag", "load"]));
    cluster.finish();
}

#[test]
fn a_run_that_failed_behind_its_checkpoint_goes_on_from_there_with_a_better_op() {
    let mut cluster = Cluster::start(1, 2);
    let story = Story::in_folder_of(&cluster);
    let expected = story.undisturbed(&cluster, "one");
    let job = story.job("better.csv", "one", "0s");
    let wrong = Job::over(&story.table)
        .rows(BATCH)
        .with("seed", 7)
        .with("checkpoint_uri", story.kept.to_string_lossy().into_owned())
        .op("clean", json!({ "noop": {} }))
        .op(
            "mark",
            json!({ "add": { "columns": { "mark": { "uuid": {} } } }, "checkpoint": true }),
        )
        .op(
            "tag",
            json!({ "require": { "column": "mark", "comparison": "is_null" } }),
        )
        .discard();
    let failed = cluster.submit(&wrong);
    assert_eq!(cluster.wait_for_end(&failed).state, "failed");
    let past = batches_of(&cluster.timeline(&failed), "tag");
    assert!(!past.is_empty());
    cluster.restart_coordinator();
    cluster.wait_for_workers(1);

    let better = rerun(&cluster, &failed, "tag", Some(&job));
    cluster.wait_for_end(&better.run).expect_success();
    assert_eq!(story.read("better.csv"), expected, "byte for byte, uuids too");
    let extracted = batches_of(&cluster.timeline(&better.run), "extract");
    assert!(extracted.is_disjoint(&past), "{extracted:?} and {past:?}");
    assert_eq!(extracted.len() as u64, BATCHES - better.at_checkpoints);
    cluster.finish();
}

#[test]
fn each_batch_of_a_cancelled_run_begins_at_its_last_checkpoint_and_others_at_their_source() {
    let cluster = Cluster::start(2, 2);
    let story = Story::in_folder_of(&cluster);
    let expected = story.undisturbed(&cluster, "one");
    // The first op is a checkpoint too, so that batches between the two have one.
    let job = story.job("out.csv", "one", "100ms").of_op("clean", "checkpoint", true);
    let run = cluster.submit(&job);
    until("batches are at each place", || {
        let attempts = cluster.timeline(&run);
        let marking = attempts
            .iter()
            .any(|attempt| attempt.op == "mark" && attempt.finished.is_none());
        (batches_of(&attempts, "tag").len() >= 3 && marking).then_some(())
    });
    cluster.tell(&["cancel", &run]);
    assert_eq!(cluster.wait_for_end(&run).state, "cancelled");

    // Its own job: nothing is in the way where it was to write.
    let again = rerun(&cluster, &run, "load", None);
    cluster.wait_for_end(&again.run).expect_success();
    assert_eq!(story.read("out.csv"), expected, "byte for byte, uuids too");
    let attempts = cluster.timeline(&again.run);
    let (extracted, marked) = (batches_of(&attempts, "extract"), batches_of(&attempts, "mark"));
    assert_eq!(extracted.len() as u64, BATCHES - again.at_checkpoints);
    assert!(
        extracted.is_subset(&marked) && extracted.len() < marked.len(),
        "{extracted:?}, {marked:?}"
    );
    assert!((marked.len() as u64) < BATCHES, "{marked:?}");
    assert_eq!(batches_of(&attempts, "tag").len() as u64, BATCHES, "is behind both");
    cluster.finish();
}

#[test]
fn coordinators_and_workers_that_are_killed_in_a_rerun_let_nothing_before_the_checkpoint_be_done_again() {
    let mut cluster = Cluster::start(2, 2);
    let story = Story::in_folder_of(&cluster);
    let expected = story.undisturbed(&cluster, "two");
    let first = cluster.run(&story.job("first.csv", "one", "0s")).run;
    let again = rerun(&cluster, &first, "tag", Some(&story.job("again.csv", "two", "150ms")));
    for committed in [3, 8] {
        cluster.wait_until(&again.run, "it is in the middle", |report| {
            report.batches.committed >= committed
        });
        cluster.restart_coordinator();
    }
    cluster.wait_until(&again.run, "it goes on", |report| report.batches.committed >= 12);
    cluster.kill_coordinator();
    cluster.worker("w1").kill();
    cluster.start_coordinator();
    cluster.wait_for_end(&again.run).expect_success();
    assert_eq!(story.read("again.csv"), expected, "byte for byte, uuids too");
    let attempts = cluster.timeline(&again.run);
    assert_eq!(ops_of(&attempts), BTreeSet::from(["tag", "load"]));
    oracle::expect_cap(&attempts, CAP);
    cluster.finish();
}

#[test]
fn what_cannot_be_run_again_is_refused_with_what_to_do() {
    let cluster = Cluster::start(1, 2);
    let story = Story::in_folder_of(&cluster);
    let first = cluster.run(&story.job("first.csv", "one", "0s")).run;
    let other = story.job("other.csv", "two", "0s");
    let refused = |from: &str, job: Option<&Job>, code: i32, words: &str| {
        let answer = ask(&cluster, &first, from, job, None).expect_code(code);
        assert!(answer.stderr.contains(words), "{}", answer.stderr);
    };
    refused(
        "tga",
        Some(&other),
        2,
        "the job has no op \"tga\"; its ops are extract, clean, mark, tag, load",
    );
    refused(
        "mark",
        Some(&other),
        1,
        "r1 has no checkpoint before mark, only behind mark",
    );
    refused("load", None, 2, "first.csv exists");
    let changed = other
        .clone()
        .of_op("mark", "add", json!({ "columns": { "other": { "uuid": {} } } }));
    refused("tag", Some(&changed), 1, "op mark is not as in r1");
    refused(
        "tag",
        Some(&other.clone().rows(7)),
        1,
        "how the source is cut into batches is not as in r1",
    );
    refused(
        "tag",
        Some(&other.clone().with("seed", 8)),
        1,
        "the seed is not as in r1",
    );
    let unknown = ask(&cluster, "r99", "tag", Some(&other), None).expect_code(1);
    assert!(unknown.stderr.contains("r99"), "{}", unknown.stderr);

    let slow = cluster.submit(&story.job("slow.csv", "two", "30s"));
    let goes_on = ask(&cluster, &slow, "tag", Some(&other), None).expect_code(1);
    assert!(
        goes_on
            .stderr
            .contains("goes on; wait until it has ended, or cancel it"),
        "{}",
        goes_on.stderr
    );
    cluster.tell(&["cancel", &slow]);
    cluster.wait_for_end(&slow);
    let nothing = ask(&cluster, &slow, "tag", Some(&other), None).expect_code(1);
    assert!(
        nothing.stderr.contains("no batch of r2 has a checkpoint before tag"),
        "{}",
        nothing.stderr
    );

    // Some checkpoints are gone: their batches begin at their source, and that is said. All are: there is nothing to go on from.
    for file in story.files().iter().take(3) {
        fs::remove_file(file).expect("is there");
    }
    let some = ask(&cluster, &first, "tag", Some(&other), None).expect_code(0);
    assert!(
        some.stderr.contains("the last checkpoints of 3 are gone"),
        "{}",
        some.stderr
    );
    let some = Rerun::read(&some);
    assert_eq!(some.at_checkpoints, BATCHES - 3);
    cluster.wait_for_end(&some.run).expect_success();
    assert_eq!(batches_of(&cluster.timeline(&some.run), "extract").len(), 3);
    fs::remove_dir_all(&story.kept).expect("is there");
    let other = story.job("elsewhere.csv", "two", "0s");
    let refused = |words: &str| {
        let answer = ask(&cluster, &first, "tag", Some(&other), None).expect_code(1);
        assert!(answer.stderr.contains(words), "{}", answer.stderr);
    };
    refused("the checkpoints of r1 are gone, of all 20 batches that had one");
    fs::write(&story.table, tables::people(ROWS + 1)).expect("can be written");
    refused("the batches of r1 cannot be cut again: ");
    refused("people.csv: the file changed since the run was submitted");
    cluster.finish();
}

#[test]
fn a_repeated_request_stands_for_the_run_that_was_made_as_long_as_that_is_known() {
    let mut cluster = Cluster::start(1, 2);
    let story = Story::in_folder_of(&cluster);
    let first = cluster.run(&story.job("first.csv", "one", "0s")).run;
    let job = story.job("again.csv", "two", "0s");
    let asked = |cluster: &Cluster, job: Option<&Job>| {
        Rerun::read(&ask(cluster, &first, "tag", job, Some("mine")).expect_code(0))
    };
    let made = asked(&cluster, Some(&job));
    assert_eq!(asked(&cluster, Some(&job)).run, made.run);
    cluster.wait_for_end(&made.run).expect_success();
    cluster.restart_coordinator();
    // Also when it could not be made any more: its output is there, and the checkpoints are gone.
    fs::remove_dir_all(&story.kept).expect("is there");
    let again = asked(&cluster, Some(&job));
    assert_eq!((again.run, again.at_checkpoints), (made.run.clone(), BATCHES));
    let runs = cluster.plumb(["runs", "--json"]).call().expect_code(0).stdout;
    assert_eq!(runs.lines().count(), 2, "{runs}");
    let other = ask(&cluster, &first, "load", Some(&job), Some("mine")).expect_code(1);
    assert!(other.stderr.contains("the request_id names r2"), "{}", other.stderr);
    cluster.finish();
}

#[test]
fn a_run_is_kept_with_its_checkpoints_as_long_as_another_one_begins_at_them() {
    let mut cluster = Cluster::coordinator_with(["--keep-runs", "1"]);
    cluster.add_worker("w1", 2);
    let story = Story::in_folder_of(&cluster);
    let first = cluster.run(&story.job("first.csv", "one", "0s")).run;
    let job = story.job("again.csv", "two", "100ms").schedule("max_concurrent", 1);
    let again = rerun(&cluster, &first, "tag", Some(&job));
    let plain = Job::over(&story.table).discard();
    cluster.run(&plain);
    assert!(!cluster.show(&again.run).ended(), "goes on meanwhile");
    assert_eq!(cluster.show(&first).state, "succeeded", "is kept");
    assert_eq!(story.files().len() as u64, BATCHES);
    cluster.wait_for_end(&again.run).expect_success();
    until("the checkpoints are deleted with the run that made them", || {
        story.files().is_empty().then_some(())
    });
    cluster.plumb(["show", &first]).call().expect_code(1);
    cluster.finish();
}
