//! A run's attempts as a file: a trace for Perfetto, a table for anything. Written piece by piece while it is read.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use common::ids::RunId;
use futures_util::stream::{iter, once};
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};

use super::{Problem, run_id};
use crate::chart::{Area, Arrangement, ChartView, Found};
use crate::service::{RunView, Service};

/// How many attempts a piece has.
const PIECE: u64 = 2_000;

pub(super) async fn trace(State(service): State<Service>, Path(run): Path<String>) -> Result<Response, Problem> {
    let run = run_id(&run)?;
    let (view, chart) = service.chart(run).await?;
    let mut head = String::from("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
    let names = trace_names(&chart);
    head.push_str(&names.iter().map(Value::to_string).collect::<Vec<_>>().join(",\n"));
    let has_names = !names.is_empty();
    let pieces = pieces(chart, view, move |chart, view, found| {
        let comma = if found.id == 0 && !has_names { "" } else { ",\n" };
        format!("{comma}{}", trace_event(chart, view, found))
    });
    let body = once(async { head })
        .chain(pieces)
        .chain(once(async { "]}\n".to_owned() }));
    Ok(file(run, "trace.json", "application/json", body))
}

pub(super) async fn csv(State(service): State<Service>, Path(run): Path<String>) -> Result<Response, Problem> {
    let run = run_id(&run)?;
    let (view, chart) = service.chart(run).await?;
    let head = "id,op,batch,attempt,state,worker,slot,queued_us,start_us,end_us,error\n".to_owned();
    let body = once(async { head }).chain(pieces(chart, view, csv_line));
    Ok(file(run, "tasks.csv", "text/csv; charset=utf-8", body))
}

/// Makes text of all attempts, a piece at a time.
fn pieces(
    chart: Arc<ChartView>,
    view: RunView,
    text: impl Fn(&ChartView, &RunView, &Found) -> String + Send + 'static,
) -> impl Stream<Item = String> + Send {
    iter((0..chart.rows.div_ceil(PIECE)).map(move |piece| {
        let all = chart.tasks_in(Area::all(Arrangement::ByBatch), piece * PIECE);
        let own = all.take_while(|found| found.id < (piece + 1) * PIECE);
        own.map(|found| text(&chart, &view, &found)).collect::<String>()
    }))
}

fn file(run: RunId, name: &str, kind: &'static str, body: impl Stream<Item = String> + Send + 'static) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{run}-{name}\""),
        ),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let body = body.map(|text| Ok::<_, std::convert::Infallible>(Bytes::from(text)));
    (headers, Body::from_stream(body)).into_response()
}

/// Processes are workers, threads their slots; both count from 1, because 0 means something else to viewers.
fn trace_names(chart: &ChartView) -> Vec<Value> {
    let mut names = Vec::new();
    for (lane, (worker, slot)) in chart.lanes.iter().enumerate() {
        let pid = pid(chart, lane);
        if pid == lane + 1 {
            names.push(json!({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": worker.as_str()}}));
        }
        let thread = format!("slot {slot}");
        names.push(json!({"ph": "M", "name": "thread_name", "pid": pid, "tid": slot + 1, "args": {"name": thread}}));
    }
    names
}

/// A worker's number is that of its first lane.
fn pid(chart: &ChartView, lane: usize) -> usize {
    let worker = chart.lanes.iter().nth(lane).map(|(worker, _)| worker);
    let first = chart.lanes.iter().position(|(name, _)| Some(name) == worker);
    first.unwrap_or(lane) + 1
}

fn trace_event(chart: &ChartView, view: &RunView, found: &Found) -> Value {
    let Found { id, task } = found;
    let op = view
        .job
        .ops
        .get(usize::from(task.op))
        .map_or("?", |op| op.name.as_str());
    let batch = chart.batch(*id, task).map(|batch| batch.to_string());
    let label = batch
        .as_ref()
        .map_or_else(|| op.to_owned(), |batch| format!("{op}[{batch}]"));
    let slot = chart.lanes.get(task.lane).map_or(0, |(_, slot)| *slot);
    json!({
        "ph": "X",
        "name": label,
        "cat": op,
        "pid": pid(chart, usize::from(task.lane)),
        "tid": slot + 1,
        "ts": task.started,
        "dur": task.ended.unwrap_or(chart.now_us).saturating_sub(task.started),
        "args": {
            "batch": batch,
            "attempt": task.attempt,
            "state": task.outcome.as_str(),
            "queued_us": task.queued,
            "error": chart.failures.of_task(*id).map(|failure| &failure.message),
        },
    })
}

fn csv_line(chart: &ChartView, view: &RunView, found: &Found) -> String {
    let Found { id, task } = found;
    let lane = chart.lanes.get(task.lane);
    let op = view
        .job
        .ops
        .get(usize::from(task.op))
        .map_or("?", |op| op.name.as_str());
    let batch = chart
        .batch(*id, task)
        .map(|batch| batch.to_string())
        .unwrap_or_default();
    let worker = lane.map_or("", |(worker, _)| worker.as_str());
    let slot = lane.map_or(0, |(_, slot)| *slot);
    let error = chart
        .failures
        .of_task(*id)
        .map_or("", |failure| failure.message.as_str());
    let mut line = format!("{id},{},{batch},{},{},", field(op), task.attempt, task.outcome.as_str());
    let end = task.ended.map(|ended| ended.to_string()).unwrap_or_default();
    // Writing to a String never fails.
    let _ = writeln!(
        line,
        "{},{slot},{},{},{end},{}",
        field(worker),
        task.queued,
        task.started,
        field(error)
    );
    line
}

/// Quotes a field, and keeps spreadsheets from taking it for a formula.
fn field(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        "'"
    } else {
        ""
    };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_never_a_formula() {
        assert_eq!(field("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(field("plain"), "plain");
        assert_eq!(field("a,b"), "\"a,b\"");
    }
}
