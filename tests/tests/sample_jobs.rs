//! The three sample jobs as `plumb run` runs them: order, batches in flight, and wall times against the ideal schedule.

use std::time::Duration;

use tests::ideal::{self, Order};
use tests::{Attempt, Plumb, RunReport, Scratch, oracle, repository};

const OPS: [&str; 4] = ["extract", "transform_1", "transform_2", "load"];
const SLOTS: usize = 4;
const PER_ROW: Duration = Duration::from_millis(10);

/// What a run may take, as a multiple of the ideal schedule: the promise is for release builds; a debug build on a busy
/// machine gets more.
const SLACK: f64 = if cfg!(debug_assertions) { 1.25 } else { 1.05 };

/// Runs a sample job in the repository's folder, as the README does.
fn run(job: &str) -> (RunReport, Vec<Attempt>) {
    let scratch = Scratch::new();
    let timeline = scratch.path("timeline.jsonl");
    let ended = Plumb::new(
        &scratch,
        ["run", &format!("data/jobs/{job}.yaml"), "--json", "--timeline"],
    )
    .arg(&timeline)
    .in_folder(repository::root())
    .call()
    .expect_code(0);
    let report = ended.report().expect_success();
    assert_eq!((report.rows.read, report.rows.loaded), (801, 801));
    assert_eq!(report.job, job);
    let pushed = ended.stderr.lines().filter(|line| line.contains("Pushing ")).count();
    assert_eq!(pushed, 801, "the log sink says every row");
    let attempts = Attempt::read_all(&std::fs::read_to_string(timeline).expect("the timeline is written"));
    oracle::expect_cap(&attempts, SLOTS);
    oracle::expect_order(&attempts, &OPS);
    oracle::expect_each_task_once(&attempts, &OPS, report.batches.total);
    assert!(report.peak_tasks_running <= SLOTS as u64, "{report:#?}");
    scratch.expect_no_process();
    scratch.expect_no_temporary_file();
    (report, attempts)
}

fn expect_wall(report: &RunReport, batches: &[u32], order: Order) {
    let ideal = ideal::wall(batches, &[PER_ROW, PER_ROW], SLOTS, order).as_secs_f64();
    let wall = report.wall_seconds;
    assert!(wall >= ideal, "{wall} s is less than the delays take: {ideal} s");
    assert!(wall <= SLACK * ideal, "{wall} s is more than {SLACK} x {ideal} s");
}

fn batches_of_a_hundred() -> Vec<u32> {
    [vec![100; 8], vec![1]].concat()
}

#[test]
fn prio_dynamic_job_finishes_the_first_batches_before_it_begins_more_than_the_spare() {
    let (report, attempts) = run("prio_dynamic_job");
    assert_eq!(report.batches.total, 9);
    assert!(report.peak_batches_in_flight <= 5, "cap + max(1, cap / 4): {report:#?}");
    assert!(oracle::most_batches_in_flight(&attempts) <= 5);
    let beyond_the_spare = 5;
    let transformed = oracle::finished(&attempts, "transform_1", beyond_the_spare);
    for batch in 0..4 {
        let loaded = oracle::finished(&attempts, "load", batch);
        assert!(
            loaded <= transformed,
            "batch {batch} is loaded at {loaded}, batch {beyond_the_spare} transformed at {transformed}"
        );
    }
    let first = report.first_batch_loaded_seconds.expect("batches were loaded");
    assert!(
        first < 2.0 * SLACK + 0.2,
        "the first batch is loaded after its own two seconds: {first}"
    );
    expect_wall(&report, &batches_of_a_hundred(), Order::Depth);
}

#[test]
fn dynamic_job_transforms_everything_before_it_loads_anything() {
    let (report, attempts) = run("dynamic_job");
    assert_eq!(report.batches.total, 9);
    assert_eq!(
        report.peak_batches_in_flight, 9,
        "breadth first has no bound: {report:#?}"
    );
    // A load takes no time to speak of: it may come in where a slot waits for the last transforms.
    for batch in 0..9 {
        let transformed = oracle::started(&attempts, "transform_2", batch);
        let extracted = (0..9)
            .map(|other| oracle::finished(&attempts, "extract", other))
            .fold(0.0, f64::max);
        assert!(
            extracted <= transformed,
            "everything is extracted at {extracted}, transform_2 starts at {transformed}"
        );
    }
    let first = report.first_batch_loaded_seconds.expect("batches were loaded");
    assert!(first > 3.0, "breadth first loads late: {first}");
    expect_wall(&report, &batches_of_a_hundred(), Order::Breadth);
}

#[test]
fn static_job_is_one_batch_that_takes_the_sum_of_all_delays() {
    let (report, attempts) = run("static_job");
    assert_eq!((report.batches.total, report.peak_batches_in_flight), (1, 1));
    assert_eq!(oracle::most_at_once(&attempts), 1);
    let first = report.first_batch_loaded_seconds.expect("the batch was loaded");
    assert!(
        first > 16.0,
        "nothing is loaded before everything is transformed: {first}"
    );
    expect_wall(&report, &[801], Order::Depth);
}

#[test]
fn the_two_knobs_make_the_three_jobs() {
    let scratch = Scratch::new();
    let canon = |words: &[&str]| {
        let ended = Plumb::new(&scratch, ["spec", "canon"])
            .args(words)
            .in_folder(repository::root())
            .call()
            .expect_code(0);
        let mut spec: serde_json::Value = serde_json::from_str(&ended.stdout).expect("canonical JSON");
        spec["name"] = "same".into();
        spec
    };
    let knobs = "data/jobs/two_knobs.yaml";
    assert_eq!(canon(&[knobs]), canon(&["data/jobs/prio_dynamic_job.yaml"]));
    assert_eq!(
        canon(&[knobs, "--set", "schedule.order=breadth_first"]),
        canon(&["data/jobs/dynamic_job.yaml"])
    );
    assert_eq!(
        canon(&[knobs, "--set", "batch.whole_input=true"]),
        canon(&["data/jobs/static_job.yaml"])
    );
}
