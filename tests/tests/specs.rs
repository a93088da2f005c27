//! Specs on disk and in the documents: JSON beside YAML says the same, and every example loads.

use serde_json::Value;
use tests::{Ended, Plumb, Scratch, repository};

fn spec(scratch: &Scratch, action: &str, file: impl AsRef<std::ffi::OsStr>) -> Ended {
    Plumb::new(scratch, ["spec", action])
        .arg(file)
        .in_folder(repository::root())
        .call()
}

fn sample_specs() -> Vec<String> {
    let entries = std::fs::read_dir(repository::file("data/jobs")).expect("the sample jobs are there");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= 4, "{names:?}");
    names
}

#[test]
fn every_sample_spec_is_valid() {
    let scratch = Scratch::new();
    for name in sample_specs() {
        let ended = spec(&scratch, "check", format!("data/jobs/{name}.yaml")).expect_code(0);
        assert!(ended.stdout.contains(&name), "{}", ended.stdout);
    }
}

#[test]
fn the_json_beside_a_sample_spec_is_its_canonical_form() {
    let scratch = Scratch::new();
    for name in ["static_job", "dynamic_job", "prio_dynamic_job"] {
        let canonical = spec(&scratch, "canon", format!("data/jobs/{name}.yaml"))
            .expect_code(0)
            .stdout;
        let beside = repository::text(&format!("data/jobs/{name}.json"));
        assert_eq!(
            canonical, beside,
            "plumb spec canon data/jobs/{name}.yaml > data/jobs/{name}.json"
        );
        let again = spec(&scratch, "canon", format!("data/jobs/{name}.json"))
            .expect_code(0)
            .stdout;
        assert_eq!(
            again, canonical,
            "JSON is a spec as well, and its canonical form is itself"
        );
    }
}

#[test]
fn canonical_json_names_fields_as_the_schema_does() {
    let scratch = Scratch::new();
    let canonical = spec(&scratch, "canon", "data/jobs/prio_dynamic_job.yaml")
        .expect_code(0)
        .stdout;
    let value: Value = serde_json::from_str(&canonical).expect("canonical JSON");
    assert_eq!(value["schedule"]["order"], "ORDER_DEPTH_FIRST");
    assert_eq!(value["schedule"]["max_concurrent"], 4);
    assert_eq!(value["ops"][0]["delay"]["per_row"], "0.010s");
}

/// Returns the fenced YAML blocks of a document that are whole jobs: those that name a source and ops.
fn jobs_of(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        match (&mut block, line.trim_start()) {
            (None, "```yaml") => block = Some(String::new()),
            (Some(_), "```") => found.extend(block.take()),
            (Some(block), _) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    found.retain(|block| block.contains("source:") && block.contains("ops:"));
    found
}

#[test]
fn every_job_in_the_documents_loads() {
    let scratch = Scratch::new();
    let mut checked = 0;
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "data/README.md",
        "BENCHMARKS.md",
        "CONTRIBUTING.md",
    ] {
        if !repository::file(document).is_file() {
            continue;
        }
        for (number, job) in jobs_of(&repository::text(document)).into_iter().enumerate() {
            let file = scratch.write(&format!("example-{number}.yaml"), &job);
            let ended = spec(&scratch, "check", file);
            assert_eq!(
                ended.code, 0,
                "example {number} of {document}:\n{job}\n{}",
                ended.stderr
            );
            checked += 1;
        }
    }
    assert!(checked > 0, "the documents show at least one job");
}

#[test]
fn a_typo_is_answered_with_the_nearest_name_and_its_place() {
    let scratch = Scratch::new();
    let text = repository::text("data/jobs/prio_dynamic_job.yaml").replace("max_concurrent", "max_concurent");
    let line = text
        .lines()
        .position(|line| line.contains("max_concurent"))
        .expect("the typo is there")
        + 1;
    let column = text
        .lines()
        .nth(line - 1)
        .and_then(|line| line.find("max_concurent"))
        .expect("the typo is there")
        + 1;
    scratch.write("typo.yaml", text);
    let ended = spec(&scratch, "check", scratch.path("typo.yaml")).expect_code(2);
    let place = format!("typo.yaml:{line}:{column}");
    assert!(ended.stderr.contains(&place), "{place} is named:\n{}", ended.stderr);
    assert!(
        ended.stderr.contains("`max_concurrent`"),
        "the nearest name is given:\n{}",
        ended.stderr
    );
}
