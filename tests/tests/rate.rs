//! The rate of an op over many workers, judged by when they say that it started.
//!
//! That a rate is never exceeded holds on any machine. That it is reached needs one that lets processes run: tokens beyond
//! the burst are lost while it does not, and the default burst is worth 100 ms. So a short look that was too slow is
//! followed by ones with a greater burst, each judged by its own; `make test-rate` takes one look at a minute, with the default.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tests::report::Attempt;
use tests::wait::PATIENCE;
use tests::{Cluster, Job, RunReport, oracle, tables};

/// How long the rate is looked at, in seconds.
const SECONDS: &str = "RATE_SECONDS";
const SHORT_FORM: usize = 3;

const RATE: usize = 50;
/// What begins in 100 ms, which is the default; in half a second; in a second.
const BURSTS: [usize; 3] = [5, 25, 50];
const WORKERS: u32 = 8;

/// Runs an op at the rate for so long, checks that nothing began above it, and returns how many began in a second.
fn measured(cluster: &Cluster, seconds: usize, burst: usize) -> f64 {
    let batches = RATE * seconds + 1;
    let table = cluster.scratch().write("numbers.csv", tables::numbers(batches));
    let mut limit = json!({ "limit": RATE });
    if burst != BURSTS[0] {
        limit["burst"] = burst.into();
    }
    let job = Job::over(table)
        .rows(1)
        .op(
            "enrich",
            json!({ "noop": {}, "delay": { "per_batch": "20ms" }, "rate": limit }),
        )
        .discard();
    let run = cluster.submit(&job);
    // One process that waits for the end takes less from the workers than looking again and again.
    let mut watch = cluster
        .plumb(["watch", &run, "--json"])
        .start_as(&format!("watch-{run}"));
    let status = watch.wait(Duration::from_secs(seconds as u64) + PATIENCE);
    assert!(status.success(), "{status}:\n{}", watch.log());
    RunReport::read(watch.stdout().trim()).expect_success();
    let attempts = cluster.timeline(&run);
    for worker in 1..=WORKERS {
        let name = format!("w{worker}");
        let has_part = attempts
            .iter()
            .any(|attempt| attempt.op == "enrich" && attempt.worker == name);
        assert!(has_part, "{name} had its part");
    }
    oracle::expect_each_task_once(&attempts, &["enrich"], batches as u64);
    expect_extracted_once_unless_lost(cluster, &run, &attempts);
    let starts = oracle::starts(&attempts, "enrich");
    let span = starts[starts.len() - 1] - starts[0];
    let rate = (starts.len() - 1) as f64 / span;
    let most = oracle::most_within(&starts, 1.0);
    eprintln!("{rate:.2} a second over {span:.1} s, at most {most} within a second, with a burst of {burst}");
    assert!(
        most <= RATE + burst,
        "{most} began within a second:\n{}",
        oracle::print(&attempts)
    );
    // The burst may begin at once, once.
    let highest = RATE as f64 + burst as f64 / span;
    assert!(rate <= highest, "{rate} a second over {span} s");
    rate
}

/// Checks that no batch was extracted again without a reason that somebody was told. What is parked is lost, and made
/// again, if its holder cannot be reached in time, or loses the coordinator for longer than its patience: that
/// happens where the machine does not let processes run for seconds, and no attempt is lost with it.
fn expect_extracted_once_unless_lost(cluster: &Cluster, run: &str, attempts: &[Attempt]) {
    let mut holders: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for attempt in attempts
        .iter()
        .filter(|attempt| attempt.op == "extract" && attempt.succeeded())
    {
        holders.entry(attempt.batch_number()).or_default().push(&attempt.worker);
    }
    for (batch, holders) in holders.into_iter().filter(|(_, holders)| holders.len() > 1) {
        let number = batch.to_string();
        let words = ["logs", run, "--json", "--batch", &number, "--level", "warn"];
        let told = cluster.plumb(words).call().expect_code(0).stdout;
        let not_had = told
            .lines()
            .filter(|line| line.contains("the input could not be had"))
            .count();
        let cut_off = |holder: &&&str| {
            cluster
                .log_of(holder)
                .contains("the connection to the coordinator broke")
        };
        let lost = holders.iter().filter(cut_off).count();
        assert!(
            not_had + lost >= holders.len() - 1,
            "batch {batch} was extracted by {holders:?}, and nobody says why:\n{told}\n{}",
            oracle::print(attempts)
        );
        eprintln!("batch {batch} was extracted by {holders:?}: {not_had} could not fetch it, {lost} were cut off");
    }
}

#[test]
fn a_rate_is_reached_by_eight_workers_and_exceeded_in_no_second() {
    let asked = std::env::var(SECONDS).ok();
    let asked = asked.map(|text| text.parse().expect("is a number of seconds"));
    let (seconds, looks) = asked.map_or((SHORT_FORM, BURSTS.len()), |seconds| (seconds, 1));
    let cluster = Cluster::start(WORKERS, 1);
    let lowest = RATE as f64 * 0.9;
    let mut rates = BURSTS[..looks].iter().map(|burst| measured(&cluster, seconds, *burst));
    assert!(rates.any(|rate| rate >= lowest), "{lowest} a second were never reached");
    cluster.finish();
}
