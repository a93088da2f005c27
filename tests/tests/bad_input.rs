//! Bad input: each kind is answered with what is wrong and where, or with the documented row policy; and the cluster
//! stays up.

use serde_json::json;
use tests::{Cluster, Job, tables};

/// How a job over bad input ended.
struct Answer {
    /// Everything that was said of it.
    text: String,
    /// The exit code of the submission, or of the run.
    code: i32,
}

/// Submits a job and follows it to its end, if it was accepted.
fn answer(cluster: &Cluster, job: &Job) -> Answer {
    let spec = job.write(cluster.scratch());
    let ended = cluster.plumb(["submit", "--wait", "--json"]).arg(spec).call();
    let failure = ended.stdout.lines().last().filter(|line| line.contains("\"state\""));
    let message = failure
        .and_then(|_| ended.report().failure)
        .map_or_else(String::new, |failure| failure.message);
    Answer {
        text: format!("{}\n{message}", ended.stderr),
        code: ended.code,
    }
}

fn expect_refused(cluster: &mut Cluster, what: &str, job: &Job, words: &[&str]) {
    let answer = answer(cluster, job);
    assert!(
        [1, 2].contains(&answer.code),
        "{what}: exit code {}\n{}",
        answer.code,
        answer.text
    );
    for word in words {
        assert!(
            answer.text.contains(word),
            "{what}: nothing said of {word:?}:\n{}",
            answer.text
        );
    }
    assert!(!answer.text.contains("panicked"), "{what}:\n{}", answer.text);
    cluster.expect_up();
}

/// The cluster still runs jobs.
fn expect_well(mut cluster: Cluster) {
    let table = cluster.scratch().write("good.csv", tables::people(20));
    let report = cluster.run(&Job::over(table).rows(5).discard());
    assert_eq!(report.rows.loaded, 20);
    cluster.expect_up();
    cluster.finish();
}

#[test]
fn files_that_cannot_be_read_as_csv_are_named_with_the_line() {
    let mut cluster = Cluster::start(2, 2);
    let huge = format!("id,name,team\n1,{},1\n", "x".repeat((1 << 20) + 1));
    let cases: [(&str, &[u8], &[&str]); 8] = [
        ("empty.csv", b"", &["empty.csv", "header"]),
        (
            "short_row.csv",
            b"id,name,team\n1,a,1\n2,b\n3,c,3\n",
            &["line 3", "short_row.csv"],
        ),
        (
            "long_row.csv",
            b"id,name,team\n1,a,1\n2,b,2,extra\n",
            &["line 3", "long_row.csv"],
        ),
        (
            "latin1.csv",
            b"id,name,team\n1,a,1\n2,Zo\xeb,2\n",
            &["line 3", "UTF-8", "latin1.csv"],
        ),
        (
            "open_quote.csv",
            b"id,name,team\n1,a,1\n2,\"b,2\n3,c,3\n",
            &["line 3", "quote", "open_quote.csv"],
        ),
        ("huge_field.csv", huge.as_bytes(), &["line 2", "huge_field.csv"]),
        ("twice.csv", b"id,name,id\n1,a,1\n", &["twice.csv", "id"]),
        (
            "header_latin1.csv",
            b"id,na\xefve\n1,a\n",
            &["header_latin1.csv", "UTF-8"],
        ),
    ];
    for (name, content, words) in cases {
        let table = cluster.scratch().write(name, content);
        // Only columns that somebody needs are looked into: a file needs them all.
        let target = cluster.scratch().path(format!("{name}.out"));
        let job = Job::over(table).rows(10).single_file(&target.to_string_lossy());
        expect_refused(&mut cluster, name, &job, words);
        assert!(!target.exists(), "{name}: a failed run has no output");
    }
    expect_well(cluster);
}

#[test]
fn a_quote_that_never_closes_is_refused_in_a_file_of_many_batches() {
    let mut cluster = Cluster::start(2, 2);
    let table = format!("{}401,\"open,1\n{}", tables::people(400), tables::numbers(100));
    let table = cluster.scratch().write("open_late.csv", table);
    expect_refused(
        &mut cluster,
        "open late",
        &Job::over(table).rows(50).discard(),
        &["quote", "line"],
    );
    expect_well(cluster);
}

#[test]
fn files_that_are_not_there_or_are_no_files_are_named() {
    let mut cluster = Cluster::start(1, 1);
    let missing = cluster.scratch().path("nowhere.csv");
    expect_refused(
        &mut cluster,
        "missing",
        &Job::over(missing).discard(),
        &["nowhere.csv", "source.uris[0]"],
    );
    let folder = cluster.scratch().folder().to_owned();
    expect_refused(
        &mut cluster,
        "a folder",
        &Job::over(folder).discard(),
        &["source.uris[0]"],
    );
    let pattern = cluster.scratch().path("none-*.csv");
    expect_refused(&mut cluster, "no match", &Job::over(pattern).discard(), &["none-*.csv"]);
    expect_refused(
        &mut cluster,
        "a device",
        &Job::over("/dev/zero").discard(),
        &["/dev/zero"],
    );
    expect_well(cluster);
}

#[test]
fn a_header_without_rows_is_a_run_without_batches() {
    let cluster = Cluster::start(1, 2);
    let table = cluster.scratch().write("header.csv", "id,name,team\n");
    let target = cluster.scratch().path("out.csv").to_string_lossy().into_owned();
    let report = cluster.run(&Job::over(table).rows(10).single_file(&target));
    assert_eq!((report.batches.total, report.rows.read), (0, 0));
    assert_eq!(
        tables::read(cluster.scratch().path("out.csv")),
        [["id", "name", "team"]]
    );
    expect_well(cluster);
}

#[test]
fn specs_that_make_no_sense_are_refused_with_the_fields_path() {
    let mut cluster = Cluster::start(1, 1);
    let table = cluster.scratch().write("people.csv", tables::people(5));
    let good = || Job::over(&table);
    let cases = [
        (
            "zero batch size",
            good().with("batch", json!({ "rows": 0 })).discard(),
            vec!["batch.rows"],
        ),
        (
            "zero bytes",
            good().with("batch", json!({ "bytes": 0 })).discard(),
            vec!["batch.bytes"],
        ),
        ("cap 0", good().cap(0).discard(), vec!["schedule.max_concurrent"]),
        (
            "unknown op kind",
            good().op("a", json!({ "transmogrify": {} })),
            vec!["ops[0]", "transmogrify"],
        ),
        ("no op", good(), vec!["ops"]),
        (
            "two ops of a name",
            good().wait("a", "0s").wait("a", "0s"),
            vec!["ops[1].name"],
        ),
        (
            "cyclic needs",
            good()
                .op("a", json!({ "noop": {}, "needs": ["b"] }))
                .op("b", json!({ "noop": {}, "needs": ["a"] })),
            vec!["needs"],
        ),
        (
            "unknown column",
            good().op("a", json!({ "select": { "columns": ["nmae"] } })),
            vec!["nmae", "name"],
        ),
        (
            "unknown column of a filter",
            good().op(
                "a",
                json!({ "filter": { "column": "age", "comparison": "gt", "value": "3" } }),
            ),
            vec!["age"],
        ),
        (
            "a column twice",
            good().op("a", json!({ "add": { "columns": { "id": { "uuid": {} } } } })),
            vec!["id"],
        ),
        (
            "an unknown column in a message",
            good().op("load", json!({ "write": { "log": { "message": "{nobody}" } } })),
            vec!["nobody"],
        ),
        (
            "too many ops",
            (0..65).fold(good(), |job, op| job.wait(&format!("op{op}"), "0s")),
            vec!["64"],
        ),
        (
            "an unknown field",
            good().with("colour", "red").discard(),
            vec!["colour"],
        ),
    ];
    for (what, job, words) in cases {
        expect_refused(&mut cluster, what, &job, &words);
    }
    expect_well(cluster);
}

#[test]
fn a_target_that_exists_is_refused_unless_it_may_be_replaced() {
    let mut cluster = Cluster::start(1, 2);
    let table = cluster.scratch().write("people.csv", tables::people(5));
    let target = cluster.scratch().write("there.csv", "mine\n");
    let uri = target.to_string_lossy().into_owned();
    expect_refused(
        &mut cluster,
        "target",
        &Job::over(&table).single_file(&uri),
        &["there.csv", "if_exists"],
    );
    assert_eq!(std::fs::read_to_string(&target).expect("it is still there"), "mine\n");
    let replace = json!({ "write": { "csv": { "uri": uri, "single_file": true, "if_exists": "replace" } } });
    cluster.run(&Job::over(&table).op("load", replace));
    assert_eq!(tables::read(&target).len(), 6);
    cluster.finish();
}

#[test]
fn one_bad_row_fails_its_batch_and_the_rest_is_loaded_where_the_policy_says_so() {
    let cluster = Cluster::start(2, 2);
    let table = tables::people(100).replace("\n50,\"Doe, 50\",2\n", "\n50,\"Doe, 50\"\n");
    let table = cluster.scratch().write("ragged.csv", table);
    let job = Job::over(table)
        .rows(10)
        .with("failure", json!({ "on_failure": "continue" }))
        .discard();
    let run = cluster.submit(&job);
    let report = cluster.wait_for_end(&run);
    assert_eq!(report.state, "completed_with_failures", "{report:#?}");
    report.expect_balance();
    assert_eq!((report.batches.committed, report.batches.failed), (9, 1), "{report:#?}");
    assert_eq!(report.rows.loaded, 90);
    expect_well(cluster);
}
