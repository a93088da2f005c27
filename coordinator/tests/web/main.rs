//! The web port over real loopback sockets: made-up runs, and runs of a coordinator that nobody works for.

mod chart;
mod port;

use std::path::Path;
use std::time::Duration;

use common::ids::RunId;
use coordinator::chart::fixture::{Fixture, Shape, Story};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use port::{PATIENCE, Port};

fn job() -> Value {
    json!({"job": {"name": "first", "source": {"uris": ["in.csv"], "csv": {}}, "ops": [{"name": "rest", "noop": {}}]}})
}

#[tokio::test]
async fn failures_are_groups_whose_first_task_has_the_error() {
    let port = Port::open(vec![Fixture::new(RunId(1), 20_000, Shape::DepthFirst, Story::Failures)]).await;
    let failures = port.json("/api/runs/r1/failures").await;
    let group = &failures["groups"][0];
    assert_eq!(group["error"], "row # of <made-up>.csv: status # from host");
    let failed = port.json("/api/runs/r1/tasks?state=failed&page_size=1").await;
    let task = &failed["tasks"][0];
    assert!(task["error"].as_str().expect("an error").contains("<made-up>"));
    assert!(!failed["next_page_token"].as_str().expect("a token").is_empty());
    port.close().await;
}

/// What the trace event format demands of complete events and of metadata, and what makes threads of slots.
fn check_trace_events(events: &[Value]) {
    let mut processes = std::collections::BTreeSet::new();
    let mut threads = std::collections::BTreeSet::new();
    for event in events {
        let (pid, tid) = (
            event["pid"].as_u64().expect("a pid"),
            event["tid"].as_u64().expect("a tid"),
        );
        assert!(event["name"].is_string(), "{event}");
        match event["ph"].as_str() {
            Some("M") => {
                assert!(event["args"]["name"].is_string(), "{event}");
                match event["name"].as_str() {
                    Some("process_name") => assert!(processes.insert(pid), "{event}"),
                    Some("thread_name") => assert!(threads.insert((pid, tid)), "{event}"),
                    _ => panic!("{event}"),
                }
            }
            Some("X") => {
                assert!(
                    event["ts"].is_u64() && event["dur"].is_u64() && event["cat"].is_string(),
                    "{event}"
                );
                assert!(processes.contains(&pid) && threads.contains(&(pid, tid)), "{event}");
            }
            _ => panic!("{event}"),
        }
    }
}

#[tokio::test]
async fn errors_of_attempts_are_in_the_log_and_can_be_searched_and_followed() {
    let port = Port::open(vec![Fixture::new(RunId(1), 20_000, Shape::DepthFirst, Story::Failures)]).await;
    let first = port.json("/api/runs/r1/logs?level=error&page_size=3").await;
    let lines = first["lines"].as_array().expect("lines");
    assert_eq!(lines.len(), 3);
    assert!(
        lines
            .iter()
            .all(|line| line["level"] == "error" && line["worker"].is_string())
    );
    let next = first["next"].as_str().expect("a token");
    let second = port.json(&format!("/api/runs/r1/logs?after={next}&page_size=1")).await;
    assert_eq!(second["lines"][0]["id"].as_u64(), next.parse().ok());
    let found = port.json("/api/runs/r1/logs?q=status%20503&page_size=1000").await;
    let found = found["lines"].as_array().expect("lines");
    assert!(!found.is_empty());
    assert!(
        found
            .iter()
            .all(|line| line["text"].as_str().is_some_and(|text| text.contains("status 503")))
    );
    assert_eq!(port.get("/api/runs/r1/logs?op=nothing").await.status, 400);
    // The run has ended, so the stream ends by itself; a viewer that comes back gets what is behind.
    let all = String::from_utf8(port.get("/api/runs/r1/logs/events").await.body).expect("UTF-8");
    assert!(all.contains("event: lines") && all.trim_end().ends_with("data: {}"));
    let last = all
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .next_back()
        .expect("an id")
        .to_owned();
    let again = port
        .send(
            "GET",
            "/api/runs/r1/logs/events",
            &[("Last-Event-ID", last.as_str())],
            "",
        )
        .await;
    let again = String::from_utf8(again.body).expect("UTF-8");
    assert!(!again.contains("event: lines") && again.contains("event: end"));
    port.close().await;
}

#[tokio::test]
async fn a_run_is_a_trace_and_a_table() {
    let port = Port::open(vec![Fixture::new(RunId(1), 6_000, Shape::DepthFirst, Story::Failures)]).await;
    let chart = port.json("/api/runs/r1/chart").await;
    let tasks = chart["tasks"].as_u64().expect("a number");
    let trace = port.json("/api/runs/r1/trace.json").await;
    let events = trace["traceEvents"].as_array().expect("events");
    assert_eq!(events.iter().filter(|event| event["ph"] == "X").count() as u64, tasks);
    check_trace_events(events);
    let csv = port.get("/api/runs/r1/tasks.csv").await;
    let lines = String::from_utf8(csv.body).expect("UTF-8").lines().count();
    assert_eq!(lines as u64, tasks + 1);
    let series = port.json("/api/runs/r1/series?points=10").await;
    assert!(series["t_us"].as_array().expect("times").len() <= 10);
    assert_eq!(
        series["names"].as_array().expect("names").len(),
        series["max"].as_array().expect("series").len()
    );
    port.close().await;
}

#[tokio::test]
async fn an_empty_run_has_a_chart() {
    let port = Port::open(vec![Fixture::new(RunId(1), 0, Shape::DepthFirst, Story::Empty)]).await;
    let view = port.json("/api/runs/r1/view?by=batch").await;
    assert_eq!(
        (view["shown"].as_str(), view["tasks"].as_u64()),
        (Some("bars"), Some(0))
    );
    assert_eq!(port.json("/api/runs/r1/chart").await["batch_rows"], 0);
    port.close().await;
}

#[tokio::test]
async fn a_job_is_checked_run_watched_and_cancelled() {
    let port = Port::open(Vec::new()).await;
    let json = [("content-type", "application/json")];
    let checked = port
        .send("POST", "/api/runs?validate=true", &json, &job().to_string())
        .await;
    assert_eq!(
        (checked.status, checked.json()["run"].is_null()),
        (200, true),
        "{}",
        checked.head
    );
    let wrong = json!({"job": {"name": "first", "sauce": {}}}).to_string();
    let refused = port.send("POST", "/api/runs", &json, &wrong).await;
    assert_eq!(
        (refused.status, refused.json()["problems"][0]["path"].as_str()),
        (422, Some("sauce"))
    );
    assert!(refused.head.contains("application/problem+json"));
    let submitted = port.send("POST", "/api/runs", &json, &job().to_string()).await;
    assert_eq!((submitted.status, submitted.json()["run"].as_str()), (201, Some("r1")));
    let mut events = port.request("GET", "/api/runs/r1/events", &[], "").await;
    let first = read_until(&mut events, "\n\n").await;
    assert!(
        first.contains("event: tick") && first.contains("\"id\":\"r1\""),
        "{first}"
    );
    let cancelled = port.send("POST", "/api/runs/r1/cancel", &json, "").await;
    assert_eq!(cancelled.status, 202);
    let rest = read_until(&mut events, "event: end").await;
    assert!(rest.contains("id: "));
    assert_eq!(
        port.json("/api/runs/r1/activity").await["entries"][0]["kind"],
        "run_accepted"
    );
    assert_eq!(port.json("/api/runs/r1/spec").await["job"]["name"], "first");
    drop(events);
    assert!(Path::new(port.folder.path()).exists());
    port.close().await;
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut piece = [0; 4_096];
    let reading = async {
        while !text.contains(end) {
            let read = stream.read(&mut piece).await.expect("reads");
            assert!(read > 0, "ended without {end:?}: {text}");
            text.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("in time");
    text
}

#[tokio::test]
async fn a_viewer_that_has_seen_the_newest_tick_is_told_nothing_until_there_is_something_new() {
    let port = Port::open(Vec::new()).await;
    let json = [("content-type", "application/json")];
    port.send("POST", "/api/runs", &json, &job().to_string()).await;
    // The job waits for a worker: once its source is cut nothing changes any more.
    let cut = async {
        while port.json("/api/runs/r1").await["batches"]["total_is_exact"] != true {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, cut).await.expect("in time");
    let mut events = port.request("GET", "/api/events", &[], "").await;
    let text = read_until(&mut events, "\n\n").await;
    let seen = text.lines().find_map(|line| line.strip_prefix("id: "));
    let seen = seen.expect("an id").to_owned();
    let mut again = port
        .request("GET", "/api/events", &[("last-event-id", &seen)], "")
        .await;
    let head = read_until(&mut again, "\r\n\r\n").await;
    assert!(head.contains("text/event-stream"));
    let mut piece = [0; 64];
    let silent = tokio::time::timeout(Duration::from_millis(700), again.read(&mut piece)).await;
    assert!(silent.is_err(), "{}", String::from_utf8_lossy(&piece));
    port.send("POST", "/api/runs/r1/cancel", &json, "").await;
    read_until(&mut again, "event: tick").await;
    port.close().await;
}

#[tokio::test]
async fn commands_of_strangers_are_refused_and_every_answer_guards_the_browser() {
    let port = Port::open(vec![Fixture::new(RunId(1), 100, Shape::DepthFirst, Story::Plain)]).await;
    let json = ("content-type", "application/json");
    for stranger in [
        vec![json, ("origin", "http://evil.example")],
        vec![json, ("sec-fetch-site", "cross-site")],
        vec![json, ("host", "evil.example")],
    ] {
        let answer = port.send("POST", "/api/runs/r1/cancel", &stranger, "").await;
        assert_eq!(
            (answer.status, answer.json()["reason"].as_str()),
            (403, Some("CROSS_ORIGIN")),
            "{stranger:?}"
        );
    }
    assert_eq!(port.send("POST", "/api/runs/r1/cancel", &[], "").await.status, 415);
    assert_eq!(
        port.send("GET", "/api/runs", &[("host", "evil.example")], "")
            .await
            .status,
        403
    );
    for path in ["/api/runs", "/api/runs/r9", "/api/nothing", "/healthz"] {
        let head = port.get(path).await.head;
        assert!(
            head.contains("content-security-policy: default-src 'none'"),
            "{path}: {head}"
        );
        assert!(head.contains("x-content-type-options: nosniff"), "{path}: {head}");
    }
    port.close().await;
}
