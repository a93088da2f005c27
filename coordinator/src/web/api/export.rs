//! A run's attempts as a file: a trace for Perfetto, a table for anything. Written page by page while it is read, so that
//! an export of any size needs the memory of a page.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use common::ids::{RunId, WorkerName};
use common::state::TaskState;
use common::time::Time;
use futures_util::stream::{once, unfold};
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};

use super::{Problem, run_id};
use crate::service::{Attempt, Look, LookupError, Service};
use crate::timeline::TimelineView;

type Piece = Result<String, LookupError>;

pub(super) async fn trace(State(service): State<Service>, Path(run): Path<String>) -> Result<Response, Problem> {
    let run = run_id(&run)?;
    let look = service.timeline(run).await?;
    let processes = Arc::new(Processes::of(&look.chart));
    let mut head = String::from("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    // The run's own process comes first, so that every other event has one before it.
    head.push_str(
        &json!({"ph": "M", "name": "process_name", "pid": 0, "tid": 0, "args": {"name": run.to_string()}}).to_string(),
    );
    for name in trace_names(&look.chart, &processes) {
        // Writing to a String never fails.
        let _ = write!(head, ",\n{name}");
    }
    let attempts = pieces(service, look, move |look, attempt| {
        format!(",\n{}", trace_event(look, &processes, attempt))
    });
    let body = once(async { Ok(head) })
        .chain(attempts)
        .chain(once(async { Ok("\n]}\n".to_owned()) }));
    Ok(file(run, "trace.json", "application/json", body))
}

pub(super) async fn csv(State(service): State<Service>, Path(run): Path<String>) -> Result<Response, Problem> {
    let run = run_id(&run)?;
    let look = service.timeline(run).await?;
    let head = "id,op,batch,attempt,state,worker,slot,queued_us,leased_us,fetch_us,start_us,end_us,committed_us,\
                rows_in,rows_out,bytes_in,bytes_out,error\n";
    let body = once(async { Ok(head.to_owned()) }).chain(pieces(service, look, csv_line));
    Ok(file(run, "tasks.csv", "text/csv; charset=utf-8", body))
}

/// Makes text of all attempts, a page at a time.
fn pieces(
    service: Service,
    look: Arc<Look>,
    text: impl Fn(&Look, &Attempt) -> String + Send + 'static,
) -> impl Stream<Item = Piece> + Send {
    unfold(
        (service, look, text, Some(0)),
        |(service, look, text, first)| async move {
            let page = service.timeline_page(&look, first?).await;
            let next = page.as_ref().ok().and_then(|page| page.next);
            let piece = page.map(|page| page.attempts.iter().map(|attempt| text(&look, attempt)).collect());
            Some((piece, (service, look, text, next)))
        },
    )
}

/// An error in the middle cuts the answer off, so that nobody takes half of it for all.
fn file(run: RunId, name: &str, kind: &'static str, body: impl Stream<Item = Piece> + Send + 'static) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{run}-{name}\""),
        ),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let body = body.map(|text| text.map(Bytes::from));
    (headers, Body::from_stream(body)).into_response()
}

/// The workers in the order of their first lanes. Processes are workers, threads their slots; both count from 1, because
/// 0 means something else to viewers.
struct Processes {
    workers: Vec<WorkerName>,
}

impl Processes {
    fn of(chart: &TimelineView) -> Processes {
        let mut workers: Vec<WorkerName> = Vec::new();
        for (worker, _) in chart.lanes.iter() {
            if !workers.contains(worker) {
                workers.push(worker.clone());
            }
        }
        Processes { workers }
    }

    fn pid(&self, worker: &WorkerName) -> usize {
        let known = self.workers.iter().position(|known| known == worker);
        known.map_or(0, |place| place + 1)
    }
}

fn trace_names(chart: &TimelineView, processes: &Processes) -> Vec<Value> {
    let process = |(place, worker): (usize, &WorkerName)| json!({"ph": "M", "name": "process_name", "pid": place + 1, "tid": 0, "args": {"name": worker.as_str()}});
    let mut names: Vec<Value> = processes.workers.iter().enumerate().map(process).collect();
    for (worker, slot) in chart.lanes.iter() {
        let thread = format!("slot {slot}");
        let pid = processes.pid(worker);
        names.push(json!({"ph": "M", "name": "thread_name", "pid": pid, "tid": slot + 1, "args": {"name": thread}}));
    }
    names
}

fn trace_event(look: &Look, processes: &Processes, attempt: &Attempt) -> Value {
    let Attempt { entry, failure, .. } = attempt;
    let accepted = look.view.summary.accepted;
    let op = op_name(look, entry.op.index());
    let batch = entry.batch.map(|batch| batch.to_string());
    let label = batch
        .as_ref()
        .map_or_else(|| op.to_owned(), |batch| format!("{op}[{batch}]"));
    let started = micros(accepted, entry.started);
    let ended = entry
        .finished
        .map_or(look.chart.now_us, |finished| micros(accepted, finished));
    json!({
        "ph": "X",
        "name": label,
        "cat": op,
        "pid": processes.pid(&entry.worker),
        "tid": entry.slot + 1,
        "ts": started,
        "dur": ended.saturating_sub(started),
        "args": {
            "batch": batch,
            "attempt": entry.attempt.0,
            "state": entry.state.as_str(),
            "queued_us": micros(accepted, entry.queued),
            "rows_in": entry.moved.rows_in,
            "rows_out": entry.moved.rows_out,
            "bytes_out": entry.moved.bytes_out,
            "error": failure.as_ref().map(|failure| &failure.message),
        },
    })
}

fn csv_line(look: &Look, attempt: &Attempt) -> String {
    let Attempt { id, entry, failure } = attempt;
    let accepted = look.view.summary.accepted;
    let at = |time: Time| micros(accepted, time).to_string();
    let maybe = |time: Option<Time>| time.map(at).unwrap_or_default();
    let op = field(op_name(look, entry.op.index()));
    let batch = entry.batch.map(|batch| batch.to_string()).unwrap_or_default();
    let mut line = format!("{id},{op},{batch},{},{},", entry.attempt.0, entry.state.as_str());
    let moved = if entry.state == TaskState::Succeeded {
        let moved = entry.moved;
        format!(
            "{},{},{},{}",
            moved.rows_in, moved.rows_out, moved.bytes_in, moved.bytes_out
        )
    } else {
        ",,,".to_owned()
    };
    // Writing to a String never fails.
    let _ = writeln!(
        line,
        "{},{},{},{},{},{},{},{},{moved},{}",
        field(entry.worker.as_str()),
        entry.slot,
        at(entry.queued),
        at(entry.leased),
        maybe(entry.fetch_started),
        at(entry.started),
        maybe(entry.finished),
        maybe(entry.committed),
        field(failure.as_ref().map_or("", |failure| failure.message.as_str()))
    );
    line
}

fn op_name(look: &Look, op: usize) -> &str {
    look.view.job.ops.get(op).map_or("?", |op| op.name.as_str())
}

fn micros(accepted: Time, time: Time) -> u64 {
    time.0.saturating_sub(accepted.0) / 1_000
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
