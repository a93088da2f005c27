//! How far a run is: a bar on a terminal, plain lines elsewhere.
//!
//! Owns what is shown while a run goes on, on standard error. Updates come from the coordinator, at most four a second;
//! plain lines are written at most once a second, except that a stall is always told when it begins and ends.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::client::RunView;
use crate::output::Screen;

/// The shortest time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// The bar's length in steps; batches found so far would make it run backwards.
const STEPS: u64 = 1_000;

/// The display of one run.
pub(crate) struct Progress {
    screen: Screen,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
    stalled: Option<String>,
}

impl Progress {
    /// Begins to show a run.
    pub(crate) fn begin(screen: &Screen) -> Progress {
        let bar = screen.add_bar();
        if let Some(bar) = &bar {
            bar.set_length(STEPS);
            let style = ProgressStyle::with_template("{prefix:.bold} [{bar:24}] {msg}").expect("the template is valid");
            bar.set_style(style.progress_chars("=> "));
        }
        Progress {
            screen: screen.clone(),
            bar,
            last_line: None,
            stalled: None,
        }
    }

    /// Shows the run as it is now.
    pub(crate) fn update(&mut self, run: &RunView) {
        let status = status(run);
        if let Some(bar) = &self.bar {
            bar.set_prefix(run.summary.job.clone());
            bar.set_position((share_done(run) * STEPS as f64) as u64);
            bar.set_message(status.clone());
        }
        let stall_changed = self.stalled != run.stalled;
        if stall_changed {
            let text = match &run.stalled {
                Some(reason) => format!("stalled: {reason}"),
                None => "goes on".to_owned(),
            };
            self.screen.line(&format!("{} {text}", run.summary.run));
            self.stalled.clone_from(&run.stalled);
        }
        let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if self.bar.is_none() && due && !stall_changed && !run.summary.state.is_terminal() {
            self.screen
                .line(&format!("{} {}: {status}", run.summary.run, run.summary.job));
            self.last_line = Some(Instant::now());
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Says where a run is in one line: batches, rows, in flight, rate, time left.
fn status(run: &RunView) -> String {
    let summary = &run.summary;
    let known = if run.total_is_exact { "" } else { "+" };
    let mut text = format!(
        "{}/{}{known} batches, {} rows, {} in flight, {} running",
        summary.batches.committed, summary.batches.total, summary.rows.loaded, run.in_flight, run.running
    );
    if summary.wall_seconds > 0.0 {
        let rate = summary.rows.loaded as f64 / summary.wall_seconds;
        text.push_str(&format!(", {rate:.0} rows/s"));
    }
    if let Some(left) = time_left(run) {
        text.push_str(&format!(", {} left", human_duration(left)));
    }
    if let Some(reason) = &run.stalled {
        text.push_str(&format!(" (stalled: {reason})"));
    }
    text
}

/// Returns how much of the run is done, from 0 to 1: of the batches that exist, and of the source that is cut into them.
fn share_done(run: &RunView) -> f64 {
    let batches = &run.summary.batches;
    if batches.total == 0 {
        return 0.0;
    }
    let of_known = (batches.committed + batches.failed) as f64 / batches.total as f64;
    let known = if run.total_is_exact { 1.0 } else { run.source_share };
    (of_known * known).clamp(0.0, 1.0)
}

fn time_left(run: &RunView) -> Option<f64> {
    let done = share_done(run);
    (done > 0.0 && done < 1.0).then(|| run.summary.wall_seconds * (1.0 - done) / done)
}

fn human_duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
    }
}
