//! W3: a CSV of the sample's rows to CSV part files, four of 41 columns and a uuid each.
//!
//! The input is the sample's rows over and over. Beside the cluster runs a loop that is as simple as it gets
//! ([`crate::yardstick`]), and the peers; all of them write to the same disk. The first read fills the page cache and is
//! not counted.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::{Job, Scratch, repository};

use crate::figure::Figure;
use crate::runs::{Bench, as_number};
use crate::yardstick;
use crate::{Settings, Size};

const WORKERS: u32 = 2;
const SLOTS: u32 = 4;
/// The columns that are kept.
pub(crate) const COLUMNS: [&str; 4] = ["name", "generation", "type1", "type2"];
/// What figures are compared by.
const RATE: &str = "mb_per_s";
/// The batches' size.
const BATCH: &str = "4MiB";

/// How often the sample's rows are in what is written at once: some 32 MB.
const WRITTEN_AT_ONCE: u64 = 200;

/// What becomes of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Parts,
    SingleFile,
}

pub(crate) fn measure(settings: &Settings) -> Vec<Figure> {
    let mut figures = Vec::new();
    let sizes = match (settings.megabytes.is_empty(), settings.size) {
        (false, Size::Short | Size::Full) => settings.megabytes.clone(),
        (true, Size::Short) => vec![20],
        (true, Size::Full) => vec![1_000],
    };
    for megabytes in sizes {
        let scratch = Scratch::new();
        let input = input(&scratch, megabytes);
        yardstick::warm(&input);
        let (mut parts, mut single, mut loops) = (Vec::new(), Vec::new(), Vec::new());
        let mut beside = settings.peers.beside("W3");
        for _ in 0..settings.repeat(5) {
            parts.push(cluster(&input, Output::Parts));
            loops.push(yardstick::csv_loop(&input, &scratch));
            single.push(cluster(&input, Output::SingleFile));
            beside.round(Some(&input));
        }
        let best = beside.best(RATE);
        let loops = Figure::of_all(loops, RATE);
        let pace = loops.get(RATE).unwrap_or(f64::NAN);
        for ours in [parts, single] {
            let ours = Figure::of_all(ours, RATE);
            let to_loop = ours.get(RATE).unwrap_or(f64::NAN) / pace;
            figures.push(ours.number("times_loop", to_loop).against(best.as_ref(), RATE));
        }
        figures.push(loops);
        figures.extend(beside.figures(RATE));
    }
    figures
}

/// Runs the job on a cluster of its own.
fn cluster(input: &Path, output: Output) -> Figure {
    let mut bench = Bench::start(WORKERS, SLOTS);
    let target = bench.cluster.scratch().path("out");
    let uri = target.to_string_lossy().into_owned();
    let (sink, variant): (Value, _) = match output {
        Output::Parts => (json!({ "uri": uri }), "part files"),
        Output::SingleFile => (json!({ "uri": uri, "single_file": true }), "single file"),
    };
    let job = Job::over(input)
        .with("batch", json!({ "bytes": BATCH }))
        .cap(WORKERS * SLOTS)
        .op("pick", json!({ "select": { "columns": COLUMNS } }))
        .op("id", json!({ "add": { "columns": { "internal_id": { "uuid": {} } } } }))
        .op("load", json!({ "write": { "csv": sink } }));
    let measured = bench.run(&job);
    bench.finish();
    let report = &measured.report;
    let bytes = std::fs::metadata(input).expect("the input is there").len();
    let figure = Figure::new("W3", format!("{WORKERS} workers x {SLOTS} slots, {variant}"));
    throughput(figure, bytes, report.wall_seconds)
        .with("rows", report.rows.loaded)
        .with("batches", report.batches.committed)
        .number("coordinator_cpu_s", measured.coordinator.cpu)
        .number("workers_cpu_s", measured.workers.cpu)
        .number("machine_busy_s", measured.busy)
        .with("coordinator_rss_mb", measured.coordinator.peak_rss >> 20)
        .with("worker_rss_mb", measured.workers.peak_rss >> 20)
        .with("peak_in_flight", report.peak_batches_in_flight)
}

/// Adds how fast an input was read.
pub(crate) fn throughput(figure: Figure, bytes: u64, seconds: f64) -> Figure {
    figure
        .with("mb", bytes / 1_000_000)
        .number("wall_s", seconds)
        .number("mb_per_s", as_number(bytes) / 1e6 / seconds)
}

/// Writes the sample's rows over and over into a file of about so many megabytes. It is on the disk when this returns, so
/// that writing it back disturbs nothing that is measured.
fn input(scratch: &Scratch, megabytes: u64) -> PathBuf {
    let sample = std::fs::read(repository::root().join("data/pokemon.csv")).expect("the sample is there");
    let header = sample.iter().position(|byte| *byte == b'\n').expect("it has a header") + 1;
    let (header, rows) = sample.split_at(header);
    let path = scratch.path(format!("input-{megabytes}.csv"));
    let mut file = File::create(&path).expect("can be made");
    file.write_all(header).expect("the disk has room");
    let mut left = (megabytes * 1_000_000).div_euclid(rows.len() as u64).max(1);
    let many = rows.repeat(usize::try_from(left.min(WRITTEN_AT_ONCE)).expect("is small"));
    while left > 0 {
        let count = left.min(WRITTEN_AT_ONCE);
        let end = rows.len() * usize::try_from(count).expect("is small");
        file.write_all(&many[..end]).expect("the disk has room");
        left -= count;
    }
    file.sync_all().expect("the disk works");
    path
}
