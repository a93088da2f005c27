//! Chains of ops on real files: what goes in, what comes out, what is refused.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use common::failure::FailureKind;
use common::ids::Generation;
use common::job::{
    Add, AddedColumn, Batching, ColumnKind, Comparison, FailurePolicy, Filter, Job, LogSink, Op as JobOp, Require,
    Schedule, Select, SelectedColumn, Sink, Source,
};
use common::slice::{ByteSlice, FileId, FrozenSource, SourceFile};

use super::plan::Plan;
use super::*;
use crate::column::TextColumn;

const TEXT: &str = "name,type,speed\nbulbasaur,grass,45\ncharmander,fire,65\nsquirtle,water,\n";

/// A run over a file, with its plan.
struct Chain {
    plan: Plan,
    file: tempfile::NamedTempFile,
    slice: ByteSlice,
}

impl Chain {
    fn new(text: &str, kinds: Vec<OpKind>) -> Chain {
        let mut file = tempfile::NamedTempFile::new().expect("makes a file");
        file.write_all(text.as_bytes()).expect("is written");
        let found = file.as_file().metadata().expect("is there");
        let (header, _) = text.split_once('\n').expect("has a header");
        let data_start = header.len() as u64 + 1;
        let listed = SourceFile {
            path: file.path().to_str().expect("is UTF-8").to_owned(),
            bytes: found.len(),
            etag: SourceFile::etag_of(found.ino(), found.size(), found.mtime(), found.mtime_nsec()),
            data_start,
        };
        let mut ops = vec![JobOp::extract()];
        ops.extend(
            kinds
                .into_iter()
                .enumerate()
                .map(|(place, kind)| JobOp::new(format!("op_{}", place + 1), kind)),
        );
        let job = Job {
            name: "test".to_owned(),
            source: Source {
                uris: vec![listed.path.clone()],
                csv: Default::default(),
            },
            batching: Batching::default(),
            schedule: Schedule::default(),
            ops,
            failure: FailurePolicy::default(),
            deadline: None,
            labels: Default::default(),
            seed: None,
            checkpoint_uri: None,
        };
        let run = RunContext {
            run: RunId(7),
            job: Arc::new(job),
            source: Arc::new(FrozenSource {
                files: vec![listed],
                columns: header.split(',').map(str::to_owned).collect(),
            }),
            seed: 42,
        };
        Chain {
            plan: Plan::new(&Registry::standard(), Arc::new(run)).expect("the columns fit"),
            slice: ByteSlice {
                file: FileId(0),
                start: data_start,
                end: found.len(),
                first_line: 2,
                first_row: None,
                rows: None,
                rows_before: 0,
            },
            file,
        }
    }

    fn context(&self, op: OpId, batch: u64, attempt: u32) -> OpContext {
        OpContext {
            run: RunId(7),
            batch: BatchId::whole(batch),
            op,
            attempt: Attempt(attempt),
            lease: LeaseId {
                generation: Generation(1),
                sequence: u64::from(attempt),
            },
            seed: self.plan.run().seed,
            cancel: CancelToken::default(),
            task_log: Arc::default(),
        }
    }

    fn run_as(&self, batch: u64, attempt: u32) -> Result<OpOutput, Failure> {
        let mut input = OpInput::Slice(Slice::Bytes(self.slice.clone()));
        let mut last = None;
        for id in self.plan.run().job.op_ids() {
            let output = self.plan.open(id)?.run(input, &self.context(id, batch, attempt))?;
            input = OpInput::Batch(output.batch.clone());
            last = Some(output);
        }
        Ok(last.expect("a chain has ops"))
    }

    fn run(&self) -> OpOutput {
        self.run_as(0, 1).expect("the chain runs")
    }

    fn extracted(&self) -> Vec<String> {
        names(self.plan.output(OpId::EXTRACT))
    }
}

fn names(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| field.name().clone()).collect()
}

fn column(batch: &Batch, name: &str) -> Vec<String> {
    let column = batch.records().column_by_name(name).expect("has the column");
    let text = TextColumn::of(name, column).expect("has a text form");
    let value = |row| {
        let mut out = Vec::new();
        text.append(row, &mut out);
        String::from_utf8(out).expect("is text")
    };
    (0..batch.records().num_rows()).map(value).collect()
}

fn select(columns: &[(&str, &str)]) -> OpKind {
    let column = |(source, name): &(&str, &str)| SelectedColumn {
        source: (*source).to_owned(),
        name: (*name).to_owned(),
    };
    OpKind::Select(Select {
        columns: columns.iter().map(column).collect(),
    })
}

fn add(name: &str, kind: ColumnKind) -> OpKind {
    let name = name.to_owned();
    OpKind::Add(Add {
        columns: vec![AddedColumn { name, kind }],
    })
}

fn filter(column: &str, comparison: Comparison, value: &str) -> OpKind {
    OpKind::Filter(Filter {
        column: column.to_owned(),
        comparison,
        value: value.to_owned(),
    })
}

fn log(message: &str) -> OpKind {
    OpKind::Write(Sink::Log(LogSink {
        message: message.to_owned(),
    }))
}

#[test]
fn a_chain_selects_renames_and_adds() {
    let chain = Chain::new(
        TEXT,
        vec![
            select(&[("speed", "tempo"), ("name", "name")]),
            add(
                "source",
                ColumnKind::Literal("a literal longer than twelve bytes".to_owned()),
            ),
            log("{name}"),
        ],
    );
    let output = chain.run();
    assert_eq!(names(&output.batch.schema()), ["tempo", "name", "source"]);
    assert_eq!(column(&output.batch, "tempo"), ["45", "65", ""]);
    assert_eq!(
        column(&output.batch, "source"),
        ["a literal longer than twelve bytes"; 3]
    );
    assert_eq!((output.rows_in, output.rows_out, output.rows_rejected), (3, 3, 0));
}

#[test]
fn extract_reads_the_columns_that_the_chain_uses_and_no_others() {
    let read = |kinds| Chain::new(TEXT, kinds).extracted();
    assert_eq!(read(vec![add("id", ColumnKind::Uuid), log("{type} {id}")]), ["type"]);
    assert_eq!(
        read(vec![filter("speed", Comparison::IsNull, ""), log("{name}")]),
        ["name", "speed"]
    );
    assert_eq!(
        read(vec![select(&[("type", "t")]), OpKind::Write(Sink::Stdout)]),
        ["type"]
    );
    assert_eq!(
        read(vec![OpKind::Noop, OpKind::Write(Sink::Stdout)]),
        ["name", "type", "speed"]
    );
    assert!(read(vec![OpKind::Noop, OpKind::Write(Sink::Discard)]).is_empty());
    let rows = Chain::new(TEXT, vec![OpKind::Write(Sink::Discard)]).run().rows_out;
    assert_eq!(rows, 3, "rows without columns are still counted");
}

#[test]
fn every_attempt_makes_the_same_uuids_and_every_batch_others() {
    let chain = Chain::new(TEXT, vec![add("id", ColumnKind::Uuid), OpKind::Write(Sink::Discard)]);
    let ids = |batch, attempt| column(&chain.run_as(batch, attempt).expect("the chain runs").batch, "id");
    let first = ids(0, 1);
    assert_eq!(first, ids(0, 2));
    for id in &first {
        assert_eq!(uuid::Uuid::parse_str(id).expect("is a uuid").get_version_num(), 4);
    }
    let mut all: Vec<String> = (0..50).flat_map(|batch| ids(batch, 1)).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 150);
}

#[test]
fn the_uuids_of_a_seed_never_change() {
    let chain = Chain::new(TEXT, vec![add("id", ColumnKind::Uuid)]);
    let golden = [
        "797e279f-b8af-4ba3-9fd8-72243663d270",
        "d2155123-7ee7-4fea-a119-85d96f04e464",
        "059728ab-6d48-4029-9910-a4ac1c8ac4ce",
    ];
    assert_eq!(column(&chain.run().batch, "id"), golden);
}

#[test]
fn random_uuids_differ_between_attempts() {
    let chain = Chain::new(TEXT, vec![add("id", ColumnKind::RandomUuid)]);
    assert_ne!(column(&chain.run().batch, "id"), column(&chain.run().batch, "id"));
}

#[test]
fn filters_compare_numbers_as_numbers_and_text_as_text() {
    let kept = |name: &str, comparison, value: &str| {
        let output = Chain::new(TEXT, vec![filter(name, comparison, value), log("{name}")]).run();
        column(&output.batch, "name").join(" ")
    };
    assert_eq!(kept("speed", Comparison::Gt, "45.0"), "charmander");
    assert_eq!(kept("speed", Comparison::Ge, "45.0"), "bulbasaur charmander");
    assert_eq!(kept("speed", Comparison::Lt, "100"), "bulbasaur charmander");
    assert_eq!(
        kept("speed", Comparison::Ne, "45"),
        "charmander",
        "what is no number never matches"
    );
    assert_eq!(kept("speed", Comparison::IsNull, ""), "squirtle");
    assert_eq!(kept("speed", Comparison::IsNotNull, ""), "bulbasaur charmander");
    assert_eq!(kept("type", Comparison::Eq, "fire"), "charmander");
    assert_eq!(kept("type", Comparison::Le, "grass"), "bulbasaur charmander");
    assert_eq!(kept("type", Comparison::Eq, "ice"), "");
}

fn require(column: &str, comparison: Comparison, value: &str) -> OpKind {
    OpKind::Require(Require {
        column: column.to_owned(),
        comparison,
        value: value.to_owned(),
    })
}

#[test]
fn rows_that_are_as_required_pass_unchanged() {
    let kinds = vec![require("speed", Comparison::Ne, "0"), log("{name}")];
    let output = Chain::new("name,speed\nbulbasaur,45\nsquirtle,43\n", kinds).run();
    assert_eq!(column(&output.batch, "name"), ["bulbasaur", "squirtle"]);
    assert_eq!((output.rows_in, output.rows_out), (2, 2));
}

#[test]
fn a_row_that_is_not_as_required_fails_the_batch_with_its_line() {
    let text = "name,speed\n\"bulba\n\nsaur\",45\n\n\nmissingno,fast\nmew,\n";
    let refusal = |kinds: Vec<OpKind>| {
        let chain = Chain::new(text, kinds);
        let path = chain.file.path().display().to_string();
        let failure = chain.run_as(0, 1).expect_err("is refused");
        assert_eq!(failure.kind, FailureKind::BadInput);
        failure.message.replace(&path, "FILE")
    };
    assert_eq!(
        refusal(vec![require("speed", Comparison::Lt, "100"), log("{name}")]),
        "FILE, line 7: column \"speed\" is \"fast\", the job requires lt \"100\"; \
         mend the row, or filter such rows out"
    );
    // A filter before it leaves the line of the row as it is.
    assert_eq!(
        refusal(vec![
            filter("name", Comparison::Ne, "missingno"),
            require("speed", Comparison::IsNotNull, ""),
            log("{name}")
        ]),
        "FILE, line 8: column \"speed\" is \"\", the job requires that it is not empty; \
         mend the row, or filter such rows out"
    );
}

#[test]
fn a_half_of_a_batch_keeps_the_ids_and_numbers_of_its_rows() {
    let kinds = vec![
        add("id", ColumnKind::Uuid),
        add("row", ColumnKind::RowNumber),
        log("{name} {id} {row}"),
    ];
    let mut chain = Chain::new(TEXT, kinds);
    let whole = chain.run().batch;
    let first_record = TEXT.find("charmander").expect("is there") as u64;
    chain.slice.start = first_record;
    chain.slice.first_line = 3;
    chain.slice.rows_before = 1;
    let half = chain.run().batch;
    for name in ["name", "id", "row"] {
        assert_eq!(column(&half, name), column(&whole, name)[1..]);
    }
}

#[test]
fn a_filtered_row_keeps_its_number() {
    let mut chain = Chain::new(
        TEXT,
        vec![
            filter("type", Comparison::Ne, "grass"),
            add("row", ColumnKind::RowNumber),
            filter("row", Comparison::Gt, "2"),
            log("{name} {row}"),
        ],
    );
    let output = chain.run();
    assert_eq!(
        (column(&output.batch, "name"), column(&output.batch, "row")),
        (vec!["squirtle".into()], vec!["3".into()])
    );
    chain.slice.first_row = Some(1_000);
    assert_eq!(column(&chain.run().batch, "row").len(), 2, "rows 1002 and 1003");
}

#[test]
fn a_file_that_changed_since_it_was_listed_is_refused() {
    let mut chain = Chain::new(TEXT, vec![log("{name}")]);
    chain.file.write_all(b"mew,psychic,100\n").expect("is written");
    let failure = chain.run_as(0, 1).expect_err("is refused");
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(
        failure.message.contains("has changed since the run was accepted"),
        "{failure}"
    );
}

#[test]
fn a_file_that_is_gone_may_come_back() {
    let mut chain = Chain::new(TEXT, vec![log("{name}")]);
    let path = chain.file.path().to_owned();
    chain.file = tempfile::NamedTempFile::new().expect("makes a file");
    let failure = chain.run_as(0, 1).expect_err("is refused");
    assert_eq!(failure.kind, FailureKind::Retryable);
    assert!(failure.message.contains(path.to_str().expect("is UTF-8")), "{failure}");
}

#[test]
fn an_op_that_is_given_the_wrong_kind_of_input_says_so() {
    let chain = Chain::new(TEXT, vec![log("{name}")]);
    let batch = chain.run().batch;
    let context = chain.context(OpId(0), 0, 1);
    let mut extract = chain.plan.open(OpId::EXTRACT).expect("opens");
    assert!(extract.run(OpInput::Batch(batch), &context).is_err());
    let mut write = chain.plan.open(OpId(1)).expect("opens");
    assert!(
        write
            .run(OpInput::Slice(Slice::Bytes(chain.slice.clone())), &context)
            .is_err()
    );
}
