//! Rows through real programs of this machine.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::failure::FailureKind;
use common::ids::{Attempt, BatchId, Generation, LeaseId, OpId, RunId};
use common::slice::FileId;

use super::*;

fn batch(columns: &[(&str, &[&str])]) -> Batch {
    let arrays = columns.iter().map(|(name, values)| {
        let values: ArrayRef = Arc::new(StringViewArray::from_iter_values(values.iter()));
        (*name, values)
    });
    let provenance = Provenance {
        file: FileId(0),
        start: 10,
        first_line: 2,
        first_row: None,
        rows_before: 0,
        places: None,
    };
    Batch::new(RecordBatch::try_from_iter(arrays).expect("columns fit"), provenance)
}

fn context(cancel: &CancelToken) -> OpContext {
    OpContext {
        run: RunId(7),
        batch: BatchId::whole(3),
        op: OpId(1),
        attempt: Attempt(2),
        lease: LeaseId {
            generation: Generation(1),
            sequence: 1,
        },
        seed: 42,
        cancel: cancel.clone(),
        task_log: Arc::default(),
    }
}

fn op(script: &str, format: ExecFormat, columns: &[&str]) -> ExecOp {
    let fields: Vec<Field> = columns
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8View, false))
        .collect();
    ExecOp {
        path: "/bin/sh".into(),
        exec: Exec {
            program: "sh".to_owned(),
            args: vec!["-c".to_owned(), script.to_owned()],
            format,
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        },
        output: Arc::new(Schema::new(fields)),
        name: "clean".to_owned(),
    }
}

fn run(op: &mut ExecOp, batch: Batch) -> Result<OpOutput, Failure> {
    op.run(OpInput::Batch(batch), &context(&CancelToken::default()))
}

fn values(output: &OpOutput, place: usize) -> Vec<String> {
    let column = TextColumn::of("", output.batch.records().column(place)).expect("is text");
    let value = |row| {
        let mut text = Vec::new();
        column.append(row, &mut text);
        String::from_utf8(text).expect("is UTF-8")
    };
    (0..output.batch.records().num_rows()).map(value).collect()
}

#[test]
fn rows_of_any_text_come_back_as_they_went_in() {
    let names = ["plain", "with, comma", "with \"quotes\"", "with\nline break", ""];
    let rows = batch(&[("name", &names), ("n", &["1", "2", "3", "4", "5"])]);
    let output = run(&mut op("cat", ExecFormat::Csv, &["name", "n"]), rows.clone()).expect("runs");
    assert_eq!(values(&output, 0), names);
    assert_eq!((output.rows_in, output.rows_out), (5, 5));
    assert_eq!(output.batch.provenance(), rows.provenance());
}

#[test]
fn a_program_may_rename_columns_and_drop_rows() {
    let rows = batch(&[("name", &["a", "b", "c"]), ("n", &["1", "2", "3"])]);
    let script = "echo id; tail -n +2 | cut -d, -f2 | grep -v 2";
    let output = run(&mut op(script, ExecFormat::Csv, &["id"]), rows).expect("runs");
    assert_eq!(values(&output, 0), ["1", "3"]);
    assert_eq!((output.rows_in, output.rows_out), (3, 2));
    assert_eq!(output.batch.provenance().place(1), 1);
}

#[test]
fn lines_go_in_and_come_out_without_quotes() {
    let rows = batch(&[("name", &["say \"hi\"", "a, b"])]);
    let output = run(&mut op("tr a-z A-Z", ExecFormat::Lines, &["shout"]), rows).expect("runs");
    assert_eq!(values(&output, 0), ["SAY \"HI\"", "A, B"]);
    let broken = batch(&[("name", &["two\nlines"])]);
    let failure = run(&mut op("cat", ExecFormat::Lines, &["name"]), broken).expect_err("is refused");
    assert_eq!(failure.kind, FailureKind::BadInput);
    assert!(failure.message.contains("line break; send it as csv"), "{failure}");
}

#[test]
fn a_wrong_header_or_too_many_rows_fail_for_good_and_say_what_was_expected() {
    let rows = || batch(&[("name", &["a"])]);
    for (script, said) in [
        ("sed 1s/name/nome/", "wrote the header nome, the job expects name"),
        ("true", "wrote the header nothing at all"),
        ("cat; echo b; echo c", "made 3 rows of 1"),
    ] {
        let failure = run(&mut op(script, ExecFormat::Csv, &["name"]), rows()).expect_err("is refused");
        assert_eq!(failure.kind, FailureKind::Permanent, "{script}");
        assert!(failure.message.contains(said), "{failure}");
    }
    let ragged = run(&mut op("cat; echo b,c", ExecFormat::Csv, &["name"]), rows()).expect_err("is refused");
    assert!(ragged.message.starts_with("what sh wrote, line 3:"), "{ragged}");
}

#[test]
fn an_exit_status_decides_whether_another_attempt_is_worth_it() {
    for (script, kind, said) in [
        (
            "echo why >&2; exit 3",
            FailureKind::Retryable,
            "sh ended with exit status 3: why",
        ),
        (
            "echo row 7 >&2; exit 65",
            FailureKind::BadInput,
            "sh refuses the rows (exit status 65): row 7",
        ),
        ("kill -9 $$", FailureKind::Retryable, "ended by a signal"),
    ] {
        let failure = run(&mut op(script, ExecFormat::Csv, &["a"]), batch(&[("a", &["1"])])).expect_err("fails");
        assert_eq!(failure.kind, kind, "{script}");
        assert!(failure.message.contains(said), "{failure}");
    }
    let mut missing = op("", ExecFormat::Csv, &["a"]);
    missing.path = "/nowhere/at/all".into();
    let failure = run(&mut missing, batch(&[("a", &["1"])])).expect_err("cannot start");
    assert!(
        failure.message.starts_with("cannot start /nowhere/at/all:"),
        "{failure}"
    );
}

#[test]
fn a_program_that_reads_nothing_does_not_hang_and_one_that_does_not_care_is_not_fed_to_the_end() {
    let long = "x".repeat(1_000);
    let lines = vec![long.as_str(); 20_000];
    let output = run(&mut op("head -n 1", ExecFormat::Lines, &["a"]), batch(&[("a", &lines)])).expect("runs");
    assert_eq!(output.rows_out, 1);
}

#[test]
fn a_program_that_writes_without_end_is_stopped() {
    let mut endless = op("", ExecFormat::Lines, &["a"]);
    endless.path = "/usr/bin/yes".into();
    endless.exec.args.clear();
    let program = Program {
        path: &endless.path,
        args: &endless.exec.args,
        environment: Vec::new(),
        most_bytes: 1 << 20,
    };
    let failure = program
        .run(|_| Ok(Fed::All), |_| {}, &CancelToken::default())
        .expect_err("is stopped");
    assert!(failure.message.contains("wrote more than 1048576 bytes"), "{failure}");
}

#[test]
fn what_a_program_says_is_heard_line_by_line_and_no_line_is_endless() {
    let long = common::logs::LogLine::MAX_TEXT + 100;
    let script = format!("echo first >&2; head -c {long} /dev/zero | tr '\\0' x >&2; printf '\\n\\nlast' >&2");
    let heard = Mutex::new(Vec::new());
    let args = ["-c".to_owned(), script];
    let program = Program {
        path: "/bin/sh".as_ref(),
        args: &args,
        environment: vec![("PATH", "/usr/bin:/bin".into())],
        most_bytes: 10,
    };
    let say = |line: &str| heard.lock().expect("is whole").push(line.len());
    let ended = program
        .run(|_| Ok(Fed::All), say, &CancelToken::default())
        .expect("runs");
    assert_eq!(
        heard.into_inner().expect("is whole"),
        [5, common::logs::LogLine::MAX_TEXT, 4]
    );
    assert_eq!(ended.last_words.as_deref(), Some("last"));
}

#[test]
fn a_cancelled_program_dies_with_all_that_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let pids = folder.path().join("pids");
    let script = format!("sleep 600 & echo $! $$ > {}; wait", pids.display());
    let cancel = CancelToken::default();
    let mut sleeping = op(&script, ExecFormat::Csv, &["a"]);
    let failure = std::thread::scope(|scope| {
        let running = scope.spawn(|| sleeping.run(OpInput::Batch(batch(&[("a", &["1"])])), &context(&cancel)));
        let started = until(|| std::fs::read_to_string(&pids).ok().filter(|text| text.ends_with('\n')));
        assert_eq!(started.split_whitespace().filter(|pid| is_running(pid)).count(), 2);
        cancel.cancel();
        let failure = running.join().expect("ends").expect_err("was cancelled");
        for pid in started.split_whitespace() {
            until(|| (!is_running(pid)).then_some(()));
        }
        failure
    });
    assert_eq!(failure.kind, FailureKind::Cancelled);
}

#[test]
fn what_a_program_leaves_running_does_not_outlive_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let pid = folder.path().join("pid");
    let script = format!("cat; sleep 600 & echo $! > {}", pid.display());
    run(&mut op(&script, ExecFormat::Csv, &["a"]), batch(&[("a", &["1"])])).expect("runs");
    let left = std::fs::read_to_string(&pid).expect("was written");
    until(|| (!is_running(left.trim())).then_some(()));
}

#[test]
fn a_program_is_told_what_it_works_on_and_none_of_the_workers_environment() {
    let script = "echo name; echo $PLUMBLINE_RUN/$PLUMBLINE_OP/$PLUMBLINE_BATCH/$PLUMBLINE_ATTEMPT/$CARGO_MANIFEST_DIR";
    let output = run(&mut op(script, ExecFormat::Csv, &["name"]), batch(&[("name", &["a"])])).expect("runs");
    assert_eq!(values(&output, 0), ["r7/clean/3/2/"]);
    assert!(
        std::env::var_os("CARGO_MANIFEST_DIR").is_some(),
        "the worker has what the program must not see"
    );
}

/// Tells whether a process is there and no zombie.
fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn until<T>(found: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::yield_now();
    }
}
