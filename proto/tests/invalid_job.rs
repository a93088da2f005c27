//! What is wrong with a spec is said by field, all of it at once.

use common::job::{Batching, InvalidJob, Job};
use proto::json::job_spec_from_json;
use serde_json::{Value, json};

fn sample() -> Value {
    json!({
        "name": "sample",
        "source": { "uris": ["a.csv"], "csv": {} },
        "ops": [
            { "name": "a", "select": { "columns": ["x"] } },
            { "name": "b", "noop": {} }
        ]
    })
}

fn job(value: &Value) -> Result<Job, InvalidJob> {
    Job::try_from(job_spec_from_json(value).expect("has the fields of a spec"))
}

fn problems(value: &Value) -> Vec<String> {
    let invalid = job(value).expect_err("is wrong");
    let lines = invalid.problems.iter();
    lines
        .map(|problem| format!("{}: {}", problem.path, problem.problem))
        .collect()
}

#[test]
fn every_problem_is_named_in_the_order_of_the_spec() {
    let mut value = sample();
    value["name"] = json!("");
    value["batch"] = json!({ "rows": 0 });
    value["schedule"] = json!({ "max_concurrent": 0, "order": 9 });
    value["ops"] = json!([
        { "name": "a", "select": { "columns": ["x as "] } },
        { "name": "b", "needs": ["nobody"], "retry": { "max_attempts": 0 } },
        { "name": "c", "write": {}, "delay": { "per_row": "-1s" } }
    ]);
    let found = problems(&value);
    let zero = "must be at least 1; leave it out for the default";
    assert_eq!(found[0], "name: must have 1 to 128 bytes");
    assert_eq!(found[1], format!("batch.rows: {zero}"));
    assert_eq!(
        found[2],
        "schedule.order: has the value 9, which this version does not know"
    );
    assert_eq!(found[3], format!("schedule.max_concurrent: {zero}"));
    assert!(
        found[4].starts_with("ops[0].select.columns[0]: \"x as \" is no column"),
        "{found:?}"
    );
    assert_eq!(found[5], "ops[1].needs: there is no op \"nobody\"; the ops are a, b, c");
    assert_eq!(
        found[6],
        "ops[1]: op has no kind: name one of select, add, filter, require, noop, write, exec"
    );
    assert_eq!(found[7], format!("ops[1].retry.max_attempts: {zero}"));
    assert!(found[8].starts_with("ops[2].write: write has no sink"), "{found:?}");
    assert!(found[9].starts_with("ops[2].delay.per_row: must be a duration that is not negative"));
    assert_eq!(found.len(), 10, "{found:?}");
}

#[test]
fn a_source_without_files_or_format_is_refused() {
    let mut value = sample();
    value["source"] = json!({});
    let found = problems(&value);
    assert!(found[0].starts_with("source.csv: name the format"), "{found:?}");
    assert_eq!(found[1], "source.uris: name at least one file");
    value["source"] = Value::Null;
    assert_eq!(problems(&value), ["source.uris: name at least one file"]);
}

#[test]
fn an_op_name_twice_and_a_filter_without_comparison_are_refused() {
    let mut value = sample();
    value["ops"][1] = json!({ "name": "a", "filter": { "column": "x" } });
    let found = problems(&value);
    assert!(
        found[0].starts_with("ops[1].filter.comparison: name one of eq"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("ops[1].name: \"a\" names an earlier op already"),
        "{found:?}"
    );
}

#[test]
fn more_ops_than_allowed_are_refused_at_once() {
    let mut value = sample();
    let ops: Vec<Value> = (0..65).map(|place| json!({ "name": format!("op_{place}") })).collect();
    value["ops"] = json!(ops);
    assert_eq!(problems(&value), ["ops: has 65 ops, at most 64 are allowed"]);
}

#[test]
fn batches_are_bounded_by_rows_and_bytes_unless_told_otherwise() {
    let mut value = sample();
    let batching = |value: &Value| job(value).expect("is a job").batching;
    assert_eq!(batching(&value), Batching::default());
    value["batch"] = json!({ "rows": 100 });
    let bounded = |rows: Option<u32>, bytes: u64| Batching::Bounded {
        rows: rows.map(|rows| rows.try_into().expect("is not zero")),
        bytes: bytes.try_into().expect("is not zero"),
    };
    assert_eq!(batching(&value), bounded(Some(100), 8 << 20));
    value["batch"] = json!({ "bytes": "1000" });
    assert_eq!(batching(&value), bounded(None, 1_000));
    value["batch"] = json!({ "whole_input": true });
    assert_eq!(batching(&value), Batching::WholeInput);
    value["batch"] = json!({ "whole_input": true, "rows": 5 });
    assert!(problems(&value)[0].starts_with("batch.rows: does not go with whole_input"));
}

#[test]
fn a_checkpoint_behind_the_last_op_is_refused() {
    let mut value = sample();
    value["ops"][0]["checkpoint"] = json!(true);
    assert!(job(&value).is_ok());
    value["ops"][1]["checkpoint"] = json!(true);
    value["checkpoint_uri"] = json!("");
    let found = problems(&value);
    assert_eq!(
        found,
        [
            "ops[1].checkpoint: nothing comes behind the last op that could begin there; take it off",
            "checkpoint_uri: name a folder that every worker sees, or leave it out",
        ]
    );
}
