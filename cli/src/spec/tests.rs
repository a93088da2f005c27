//! What people see when they write a spec: sugar that is understood, and errors with line, column and the nearest name.

use super::*;

const JOB: &str = "\
name: sample
source: { uris: [data/pokemon.csv], csv: {} }
batch: { rows: 100 }
schedule: { order: depth_first, max_concurrent: 4 }
ops:
  - name: transform_1
    select: { columns: [name, generation] }
    delay: { per_row: 10ms }
  - name: load
    write: { csv: { uri: out/ } }
";

fn parse(text: &str) -> Spec {
    Spec::parse("job.yaml", text, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn with(overrides: &[&str]) -> Result<Spec, InvalidSpec> {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    Spec::parse("job.yaml", JOB, &overrides)
}

fn error_of(from: &str, to: &str) -> String {
    assert!(JOB.contains(from), "the sample has no {from:?}");
    let error = Spec::parse("job.yaml", &JOB.replacen(from, to, 1), &[]).expect_err("the spec is wrong");
    error.to_string()
}

#[test]
fn sugar_becomes_what_the_message_holds() {
    let spec = parse(&JOB.replace("rows: 100", "bytes: 8MiB"));
    let batch = spec.message.batch.expect("the spec has a batch");
    assert_eq!(batch.bytes, Some(8 << 20));
    let delay = spec.message.ops[0].delay.expect("the op has a delay");
    assert_eq!(delay.per_row.map(|duration| duration.nanos), Some(10_000_000));
    let schedule = spec.message.schedule.expect("the spec has a schedule");
    assert_eq!(schedule.order(), v1::schedule::Order::DepthFirst);
}

#[test]
fn an_unknown_field_is_answered_with_its_place_the_nearest_name_and_all_names() {
    assert_eq!(
        error_of("max_concurrent", "max_concurent"),
        "job.yaml:4:33: schedule.max_concurent: unknown field \"max_concurent\"; did you mean `max_concurrent`? \
         valid: order, max_concurrent, max_in_flight, max_in_flight_bytes, max_committing, priority, weight, \
         max_in_backoff"
    );
    assert!(
        error_of("select:", "slect:")
            .starts_with("job.yaml:7:5: ops[0].slect: unknown field \"slect\"; did you mean `select`?")
    );
}

#[test]
fn an_unknown_enum_value_is_answered_with_the_nearest_one() {
    assert_eq!(
        error_of("depth_first", "deepth_first"),
        "job.yaml:4:20: schedule.order: unknown value \"deepth_first\"; did you mean `depth_first`? \
         valid: depth_first, breadth_first"
    );
}

#[test]
fn a_value_of_the_wrong_type_says_what_was_expected() {
    assert_eq!(
        error_of("100", "many"),
        "job.yaml:3:16: batch.rows: expected a whole number, not \"many\""
    );
    assert_eq!(
        error_of("100", "-1"),
        "job.yaml:3:16: batch.rows: -1 is out of range; 0 to 4294967295 fit"
    );
    assert_eq!(
        error_of("[data/pokemon.csv]", "data/pokemon.csv"),
        "job.yaml:2:17: source.uris: expected a list, not \"data/pokemon.csv\"; write [data/pokemon.csv]"
    );
    assert_eq!(
        error_of("10ms", "10"),
        "job.yaml:8:23: ops[0].delay.per_row: \"10\" is no duration: write a number with a unit, as in 10ms, 1.5s, 2m, 1h30m"
    );
    assert_eq!(
        error_of("csv: {}", "csv:"),
        "job.yaml:2:40: source.csv: expected a mapping, not nothing; write {} for every default; \
         its fields: delimiter, quote, header, columns"
    );
}

#[test]
fn two_kinds_of_one_op_are_refused_at_the_second() {
    let error = error_of("    delay:", "    noop: {}\n    delay:");
    assert_eq!(
        error,
        "job.yaml:8:5: ops[0].noop: cannot stand beside \"select\", at 7:5; keep one of them"
    );
}

#[test]
fn all_problems_are_shown_at_once() {
    let text = JOB.replace("rows: 100", "rows: x").replace("depth_first", "wide");
    let error = Spec::parse("job.yaml", &text, &[]).expect_err("the spec is wrong");
    assert_eq!(error.to_string().lines().count(), 2, "{error}");
}

#[test]
fn what_the_domain_finds_is_mapped_back_to_the_file() {
    let error = error_of("name: load", "name: transform_1");
    assert!(error.starts_with("job.yaml:9:11: ops[1].name: "), "{error}");
    let error = error_of("rows: 100", "rows: 0");
    assert!(error.starts_with("job.yaml:3:16: batch.rows: "), "{error}");
    let error = error_of("name: sample\n", "");
    assert!(error.starts_with("job.yaml:1:1: name: "), "{error}");
}

#[test]
fn broken_yaml_is_an_error_with_its_place() {
    let error = error_of("{ rows: 100 }", "{ rows: 100");
    assert!(error.starts_with("job.yaml:4:"), "{error}");
    assert!(error.contains("is no valid YAML"), "{error}");
    assert!(error_of("batch:", "name:").starts_with("job.yaml:3:1: \"name\" is given twice, first at 1:1"));
    let empty = Spec::parse("job.yaml", "# nothing\n", &[]).expect_err("an empty file is no job");
    assert!(empty.to_string().contains("is empty"), "{empty}");
}

#[test]
fn aliases_are_copied_and_cannot_explode() {
    let text = JOB.replace("{ per_row: 10ms }", "&slow { per_row: 10ms }") + "    delay: *slow\n";
    assert_eq!(parse(&text).message.ops[1].delay, parse(&text).message.ops[0].delay);
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = level - 1;
        bomb.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![format!("*a{below}"); 10].join(", ")
        ));
    }
    let error = Spec::parse("bomb.yaml", &bomb, &[]).expect_err("a bomb is no job");
    assert!(error.to_string().contains("more than"), "{error}");
}

#[test]
fn json_is_read_as_yaml_and_canonical_json_comes_back_the_same() {
    let canonical = parse(JOB).canonical_json();
    let again = parse(&canonical);
    assert_eq!(again.message, parse(JOB).message);
    assert_eq!(again.canonical_json(), canonical);
}

#[test]
fn overrides_reach_ops_by_name_and_by_index() {
    for key in [
        "ops.transform_1.delay.per_row=1ms",
        "ops.0.delay.per_row=1ms",
        "ops[0].delay.per_row=1ms",
    ] {
        let spec = with(&[key]).unwrap_or_else(|error| panic!("{error}"));
        let delay = spec.message.ops[0].delay.expect("the op has a delay");
        assert_eq!(delay.per_row.map(|duration| duration.nanos), Some(1_000_000), "{key}");
    }
}

#[test]
fn an_override_makes_what_is_missing_and_wins_over_what_it_excludes() {
    let spec =
        with(&["seed=7", "labels.team=blue", "batch.whole_input=true"]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(spec.message.seed, Some(7));
    assert_eq!(spec.message.labels["team"], "blue");
    let batch = spec.message.batch.expect("the spec has a batch");
    assert!(batch.whole_input);
    assert_eq!(batch.rows, None);
}

#[test]
fn an_override_of_null_takes_a_field_out_and_a_list_is_read_as_yaml() {
    let spec =
        with(&["schedule.max_concurrent=null", "source.uris=[a.csv, b.csv]"]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(spec.message.schedule.and_then(|schedule| schedule.max_concurrent), None);
    assert_eq!(
        spec.message.source.map(|source| source.uris),
        Some(vec!["a.csv".to_owned(), "b.csv".to_owned()])
    );
}

#[test]
fn a_wrong_override_is_answered_like_a_wrong_field() {
    let error = |text| with(&[text]).expect_err("the override is wrong").to_string();
    assert_eq!(
        error("schedule.oder=depth_first"),
        "--set schedule.oder=depth_first: schedule.oder: unknown field \"oder\"; did you mean `order`? \
         valid: order, max_concurrent, max_in_flight, max_in_flight_bytes, max_committing, priority, weight, \
         max_in_backoff"
    );
    assert!(error("ops.transfrom_1.delay=1s").contains("did you mean `transform_1`?"));
    assert!(error("schedule.order").contains("write KEY=VALUE"));
    assert!(error("ops.7.name=x").contains("the list has 2 entries, counted from 0"));
}

#[test]
fn relative_paths_become_absolute_and_keep_their_last_slash() {
    let mut spec = parse(JOB);
    spec.resolve(Path::new("/home/ash"), Path::new("/results"));
    assert_eq!(
        spec.message.source.as_ref().map(|source| source.uris[0].as_str()),
        Some("/home/ash/data/pokemon.csv")
    );
    assert!(
        spec.canonical_json().contains("\"/results/out/\""),
        "{}",
        spec.canonical_json()
    );
}

#[test]
fn the_sample_jobs_equal_their_canonical_json() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/jobs");
    for name in ["static_job", "dynamic_job", "prio_dynamic_job"] {
        let spec = Spec::load(&folder.join(format!("{name}.yaml")), &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(spec.job().name, name);
        let json =
            std::fs::read_to_string(folder.join(format!("{name}.json"))).expect("the JSON stands beside the YAML");
        assert_eq!(
            json.trim_end(),
            spec.canonical_json(),
            "{name}.json is not what plumb spec canon prints"
        );
    }
}

#[test]
fn two_knobs_make_the_three_sample_jobs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/jobs");
    for (name, knob) in [
        ("prio_dynamic_job", None),
        ("dynamic_job", Some("schedule.order=breadth_first")),
        ("static_job", Some("batch.whole_input=true")),
    ] {
        let mut overrides = vec![format!("name={name}")];
        overrides.extend(knob.map(str::to_owned));
        let made = Spec::load(&folder.join("two_knobs.yaml"), &overrides).unwrap_or_else(|error| panic!("{error}"));
        let sample = Spec::load(&folder.join(format!("{name}.yaml")), &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(made.message, sample.message);
    }
}
