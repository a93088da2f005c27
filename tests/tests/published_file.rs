//! The sample data through a job that changes nothing: every row comes out as it went in. The published file is used
//! where it is there; the file of the repository always.

use std::path::Path;

use serde_json::json;
use tests::{Cluster, Job, repository, skip, tables};

fn expect_unchanged(source: &Path) {
    let cluster = Cluster::start(2, 2);
    let expected = tables::read(source);
    assert_eq!(
        (expected.len(), expected[0].len()),
        (802, 41),
        "a header and 801 rows of 41 columns"
    );
    for batching in [
        json!({ "rows": 37 }),
        json!({ "bytes": 10_000 }),
        json!({ "whole_input": true }),
    ] {
        let uri = cluster.scratch().path("out.csv").to_string_lossy().into_owned();
        let sink = json!({ "write": { "csv": { "uri": uri, "single_file": true, "if_exists": "replace" } } });
        let report = cluster.run(&Job::over(source).with("batch", batching.clone()).op("load", sink));
        assert_eq!((report.rows.read, report.rows.loaded), (801, 801));
        let output = tables::read(cluster.scratch().path("out.csv"));
        assert!(output == expected, "with {batching} the table comes out as it went in");
    }
    cluster.finish();
}

#[test]
fn the_sample_file_comes_out_as_it_went_in() {
    expect_unchanged(&repository::file("data/pokemon.csv"));
}

#[test]
fn the_published_file_comes_out_as_it_went_in() {
    let Some(published) = skip::unless_shared("data/pokemon.csv") else {
        return;
    };
    let table = tables::read(&published);
    let cells = || table.iter().flatten();
    assert!(cells().any(|cell| cell.contains(',')), "it has quoted commas");
    assert!(cells().any(|cell| !cell.is_ascii()), "it has letters beyond ASCII");
    expect_unchanged(&published);
}

#[test]
fn the_sample_file_has_the_published_header() {
    let Some(published) = skip::unless_shared("data/pokemon.csv") else {
        return;
    };
    let header = |path: &Path| tables::read(path).swap_remove(0);
    assert_eq!(header(&repository::file("data/pokemon.csv")), header(&published));
}

#[test]
fn the_sample_jobs_run_on_the_published_file() {
    let Some(published) = skip::unless_shared("data/pokemon.csv") else {
        return;
    };
    let cluster = Cluster::start(2, 2);
    let job = Job::over(&published)
        .rows(100)
        .cap(4)
        .op(
            "transform_1",
            json!({ "select": { "columns": ["name", "generation", "type1", "type2"] } }),
        )
        .op(
            "transform_2",
            json!({ "add": { "columns": { "internal_id": { "uuid": {} } } } }),
        )
        .single_file(&cluster.scratch().path("out.csv").to_string_lossy());
    let report = cluster.run(&job);
    assert_eq!((report.batches.total, report.rows.loaded), (9, 801));
    let (input, output) = (
        tables::read(&published),
        tables::read(cluster.scratch().path("out.csv")),
    );
    assert_eq!(
        tables::column(&output, "name"),
        tables::column(&input, "name"),
        "in input order"
    );
    let mut ids = tables::column(&output, "internal_id");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 801, "every row has an id of its own");
    cluster.finish();
}
