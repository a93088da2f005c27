//! The status page: runs, workers, what is in flight. It loads itself anew every other second.

use std::fmt::{self, Write as _};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use scheduler::{WorkerState, WorkerView};

use super::SECURITY_HEADERS;
use crate::service::{LookupError, PageRequest, RunView, Service};

/// How many runs and workers the page shows.
const SHOWN: u32 = 50;

/// Shows the page.
pub(super) async fn status_page(State(service): State<Service>) -> Response {
    let page = async {
        let first = || PageRequest {
            size: Some(SHOWN),
            token: String::new(),
        };
        let runs = service.runs(first()).await?;
        let workers = service.workers(first()).await?;
        Ok::<_, LookupError>(render(&runs.items, &workers.items))
    };
    match page.await {
        Ok(html) => (SECURITY_HEADERS, Html(html)).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, SECURITY_HEADERS, error.to_string()).into_response(),
    }
}

fn render(runs: &[RunView], workers: &[WorkerView]) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"2\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Plumbline</title>\
         <link rel=\"stylesheet\" href=\"/style.css\"></head><body><h1>Plumbline</h1>",
    );
    // Writing to a String never fails.
    let _ = render_runs(&mut html, runs).and_then(|()| render_workers(&mut html, workers));
    html.push_str("</body></html>\n");
    html
}

fn render_runs(html: &mut String, runs: &[RunView]) -> fmt::Result {
    html.push_str("<h2>Runs</h2>");
    if runs.is_empty() {
        html.push_str(
            "<p class=\"quiet\">No run yet. Submit one: <code>plumb submit data/jobs/prio_dynamic_job.yaml</code></p>",
        );
        return Ok(());
    }
    html.push_str(
        "<table><tr><th>run</th><th>job</th><th>state</th><th class=\"number\">seconds</th>\
         <th class=\"number\">batches</th><th class=\"number\">in flight (peak)</th>\
         <th class=\"number\">running (peak)</th><th class=\"number\">rows loaded</th></tr>",
    );
    for view in runs {
        let summary = &view.summary;
        write!(
            html,
            "<tr><td><a href=\"/api/runs/{run}\">{run}</a></td><td>{job}</td><td>{state}</td>\
             <td class=\"number\">{seconds:.1}</td><td class=\"number\">{committed} of {total}{more}</td>\
             <td class=\"number\">{in_flight} ({peak})</td><td class=\"number\">{running} ({running_peak})</td>\
             <td class=\"number\">{loaded}</td></tr>",
            run = summary.run,
            job = Escaped(&summary.job),
            state = summary.state,
            seconds = summary.wall_seconds(view.now),
            committed = summary.batches.committed,
            total = summary.batches.total,
            more = if summary.total_is_exact { "" } else { "+" },
            in_flight = summary.batches_in_flight.now,
            peak = summary.batches_in_flight.peak,
            running = summary.tasks_running.now,
            running_peak = summary.tasks_running.peak,
            loaded = summary.rows.loaded,
        )?;
    }
    html.push_str("</table>");
    Ok(())
}

fn render_workers(html: &mut String, workers: &[WorkerView]) -> fmt::Result {
    html.push_str("<h2>Workers</h2>");
    if workers.is_empty() {
        html.push_str("<p class=\"quiet\">No worker is connected. Start one: <code>plumb worker</code></p>");
        return Ok(());
    }
    html.push_str("<table><tr><th>worker</th><th>session</th><th>state</th><th class=\"number\">busy slots</th></tr>");
    for worker in workers {
        let state = match worker.state {
            WorkerState::Live => "live",
            WorkerState::Disconnected => "disconnected",
            WorkerState::Draining => "draining",
            WorkerState::Fenced => "fenced",
        };
        write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{state}</td><td class=\"number\">{} of {}</td></tr>",
            Escaped(worker.worker.as_str()),
            worker.session,
            worker.busy,
            worker.slots,
        )?;
    }
    html.push_str("</table>");
    Ok(())
}

/// Text as it may stand in HTML, attribute values included.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_pages_is_escaped() {
        assert_eq!(
            Escaped("<b a='1' c=\"2\">&").to_string(),
            "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;"
        );
    }
}
