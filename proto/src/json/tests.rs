//! Tests of the spec as JSON.

use common::job::Job;
use serde_json::json;

use super::*;

fn sample() -> Value {
    json!({
        "name": "prio_dynamic_job",
        "source": { "uris": ["data/pokemon.csv"], "csv": {} },
        "batch": { "rows": 100 },
        "schedule": { "order": "ORDER_DEPTH_FIRST", "max_concurrent": 4, "max_in_flight_bytes": "1048576" },
        "ops": [
            { "name": "transform_1", "select": { "columns": ["name", "type1"] }, "delay": { "per_row": "0.010s" } },
            { "name": "transform_2", "add": { "columns": { "internal_id": { "uuid": {} } } } },
            { "name": "load", "write": { "log": { "message": "Pushing {name} ({internal_id}) to DB.." } } }
        ]
    })
}

fn problems(value: &Value) -> Vec<String> {
    let invalid = job_spec_from_json(value).expect_err("is wrong");
    let lines = invalid.problems.iter();
    lines
        .map(|problem| format!("{}: {}", problem.path, problem.problem))
        .collect()
}

#[test]
fn a_spec_prints_as_it_was_read() {
    let spec = job_spec_from_json(&sample()).expect("is a spec");
    assert_eq!(job_spec_to_json_value(&spec), sample());
    let text = job_spec_to_json(&spec);
    assert!(
        text.starts_with("{\n  \"name\": \"prio_dynamic_job\",\n  \"source\""),
        "{text}"
    );
    let again: Value = serde_json::from_str(&text).expect("is JSON");
    assert_eq!(job_spec_from_json(&again).expect("is a spec"), spec);
}

#[test]
fn a_whole_job_with_its_defaults_prints_and_reads_back() {
    let spec = job_spec_from_json(&sample()).expect("is a spec");
    let job = Job::try_from(spec).expect("is a job");
    let canonical = v1::JobSpec::from(&job);
    let value = job_spec_to_json_value(&canonical);
    assert_eq!(job_spec_from_json(&value).expect("is a spec"), canonical);
    assert_eq!(Job::try_from(canonical).expect("is a job"), job);
}

#[test]
fn numbers_of_64_bits_may_be_strings_or_numbers_and_names_may_be_camel_case() {
    let mut value = sample();
    value["schedule"] = json!({ "maxInFlightBytes": 1_048_576, "maxConcurrent": 4 });
    value["seed"] = json!("18446744073709551615");
    let spec = job_spec_from_json(&value).expect("is a spec");
    assert_eq!(spec.seed, Some(u64::MAX));
    assert_eq!(
        spec.schedule.and_then(|schedule| schedule.max_in_flight_bytes),
        Some(1 << 20)
    );
}

#[test]
fn every_unknown_field_is_named_with_its_path_and_the_valid_ones() {
    let mut value = sample();
    value["schedul"] = json!({});
    value["ops"][0]["select"]["colums"] = json!(["a"]);
    value["ops"][1]["add"]["columns"]["x"] = json!({ "uid": {} });
    let found = problems(&value);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0], "ops[0].select.colums: is no field; those there are: columns");
    assert_eq!(
        found[1],
        "ops[1].add.columns.x.uid: is no field; those there are: uuid, literal, row_number"
    );
    assert!(found[2].starts_with("schedul: is no field; those there are: name, source, batch"));
}

#[test]
fn wrong_values_are_named_with_their_path() {
    let mut value = sample();
    value["batch"]["rows"] = json!(-1);
    value["schedule"]["order"] = json!("sideways");
    value["ops"][0]["delay"]["per_row"] = json!("10 ms");
    value["ops"][0]["select"]["columns"] = json!(["a", 7]);
    value["ops"][2]["write"]["stdout"] = json!({});
    value["source"]["uris"] = json!("data/pokemon.csv");
    let found = problems(&value);
    let paths: Vec<&str> = found.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(
        paths,
        [
            "batch.rows",
            "ops[0].delay.per_row",
            "ops[0].select.columns[1]",
            "ops[2].write",
            "schedule.order",
            "source.uris"
        ]
    );
    assert_eq!(
        found[3],
        "ops[2].write: names log and stdout; only one of them may be there"
    );
    assert_eq!(
        found[4],
        "schedule.order: is none of ORDER_DEPTH_FIRST, ORDER_BREADTH_FIRST"
    );
}

#[test]
fn something_that_is_no_object_is_refused() {
    assert_eq!(problems(&json!([1]))[0].split(':').next(), Some("job"));
    let mut value = sample();
    value["ops"] = json!(["a"]);
    assert!(problems(&value)[0].starts_with("ops[0]: must hold fields"));
}
