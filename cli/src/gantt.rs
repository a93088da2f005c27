//! Gantt charts in text: a run's timeline as people read it in a terminal.
//!
//! Two charts of one timeline: by batch (a row per batch, a letter per op, `·` where a begun batch waits) and by slot
//! (a row per worker slot, the last digit of the batch it works on). Time is scaled to the width; a column shows what
//! filled most of it, and a task too short to fill any keeps one column where nothing longer needs it.
//! Its known weakness: where many short tasks meet in one column, one of them is seen. The axis says how long a column
//! is, and rows that do not fit are counted in a line of their own, never dropped in silence.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::ids::BatchId;
use common::state::TaskState;

use crate::timeline::TimelineRow;

#[cfg(test)]
mod tests;

/// The most rows of a chart; those in the middle are folded.
const MAX_ROWS: usize = 24;
/// How many of them are kept at the chart's end.
const TAIL_ROWS: usize = 8;
/// The fewest columns of time.
const MIN_COLUMNS: usize = 20;

/// What times may be off by, in columns, without being seen: 0.1 + 0.2 is not 0.3.
const ROUNDING: f64 = 1e-6;

const WAITING: char = '·';
const BROKEN: char = 'x';
const NOTHING: char = ' ';

/// Draws a row per batch.
pub(crate) fn by_batch(rows: &[TimelineRow], ops: &[String], width: usize) -> String {
    let letters = letters(ops);
    let mut lanes: BTreeMap<(Reverse<bool>, Option<BatchId>), Lane> = BTreeMap::new();
    for row in rows {
        let id: Option<BatchId> = row.batch.as_deref().and_then(|batch| batch.parse().ok());
        let label = row
            .batch
            .as_ref()
            .map_or_else(|| "run".to_owned(), |batch| format!("batch {batch}"));
        let lane = lanes
            .entry((Reverse(id.is_some()), id))
            .or_insert_with(|| Lane::new(label));
        lane.begin(row.queued);
        let letter = ops
            .iter()
            .position(|op| *op == row.op)
            .map_or('?', |index| letters[index]);
        lane.add(row, letter);
    }
    let mut legend: Vec<String> = ops
        .iter()
        .zip(&letters)
        .map(|(op, letter)| format!("{letter} {op}"))
        .collect();
    legend.push(format!("{WAITING} waiting"));
    draw(lanes.into_values().collect(), "batches", legend, width)
}

/// Draws a row per worker slot.
pub(crate) fn by_slot(rows: &[TimelineRow], width: usize) -> String {
    let mut lanes: BTreeMap<(&str, u32), Lane> = BTreeMap::new();
    for row in rows {
        let lane = lanes
            .entry((row.worker.as_str(), row.slot))
            .or_insert_with(|| Lane::new(format!("{}/{}", row.worker, row.slot)));
        let digit = row.batch.as_deref().map_or('r', |batch| {
            let index = batch.split('.').next().unwrap_or(batch);
            index.chars().next_back().unwrap_or('?')
        });
        lane.add(row, digit);
    }
    let legend = vec!["a digit is the last one of the batch's number".to_owned()];
    draw(lanes.into_values().collect(), "slots", legend, width)
}

/// One row of a chart.
struct Lane {
    label: String,
    /// When the row's batch could first have run; none if its idle time is not shown as waiting.
    waits_from: Option<f64>,
    spans: Vec<Span>,
}

/// One attempt in a row.
struct Span {
    start: f64,
    /// None while it runs.
    end: Option<f64>,
    glyph: char,
    outcome: Outcome,
}

enum Outcome {
    Fine,
    Broken,
}

impl Lane {
    fn new(label: String) -> Lane {
        Lane {
            label,
            waits_from: None,
            spans: Vec::new(),
        }
    }

    fn begin(&mut self, at: f64) {
        self.waits_from = Some(self.waits_from.map_or(at, |earlier| earlier.min(at)));
    }

    fn add(&mut self, row: &TimelineRow, glyph: char) {
        let Some(start) = row.started else {
            return;
        };
        let outcome = match row.state {
            TaskState::Failed | TaskState::Lost | TaskState::Cancelled => Outcome::Broken,
            TaskState::Blocked
            | TaskState::Ready
            | TaskState::Leased
            | TaskState::Running
            | TaskState::Backoff
            | TaskState::Succeeded => Outcome::Fine,
        };
        self.spans.push(Span {
            start,
            end: row.finished,
            glyph,
            outcome,
        });
    }

    /// Returns when the row's last attempt ended, if none of them still runs.
    fn last_end(&self) -> Option<f64> {
        self.spans
            .iter()
            .map(|span| span.end)
            .try_fold(0.0, |latest: f64, end| end.map(|end| latest.max(end)))
    }

    fn cells(&self, scale: Scale) -> String {
        let mut cells = vec![NOTHING; scale.columns];
        if let Some(from) = self.waits_from {
            let until = self.last_end().unwrap_or(scale.end);
            for cell in &mut cells[scale.first(from)..=scale.last(until).max(scale.first(from))] {
                *cell = WAITING;
            }
        }
        // What fills most of a column owns it.
        let mut covered = vec![0.0_f64; scale.columns];
        for span in &self.spans {
            let end = span.end.unwrap_or(scale.end);
            for column in scale.first(span.start)..=scale.last(end).max(scale.first(span.start)) {
                let overlap = scale.overlap(column, span.start, end);
                if overlap > covered[column] + ROUNDING * scale.per_column() {
                    covered[column] = overlap;
                    cells[column] = span.glyph;
                }
            }
        }
        self.keep_short_spans(scale, &mut cells, &covered);
        for span in self.spans.iter().filter(|span| matches!(span.outcome, Outcome::Broken)) {
            cells[scale.last(span.end.unwrap_or(scale.end)).max(scale.first(span.start))] = BROKEN;
        }
        cells.into_iter().collect::<String>().trim_end().to_owned()
    }

    /// Gives a span that owns no column the one it starts in, unless that would hide another span altogether.
    fn keep_short_spans(&self, scale: Scale, cells: &mut [char], covered: &[f64]) {
        for span in &self.spans {
            let end = span.end.unwrap_or(scale.end);
            let first = scale.first(span.start);
            let last = scale.last(end).max(first);
            if cells[first..=last].contains(&span.glyph) {
                continue;
            }
            let owner = cells[first];
            let neighbours = cells.iter().filter(|cell| **cell == owner).count();
            if owner == WAITING || neighbours > 1 || covered[first] == 0.0 {
                cells[first] = span.glyph;
            }
        }
    }
}

/// How seconds become columns.
#[derive(Clone, Copy)]
struct Scale {
    columns: usize,
    end: f64,
}

impl Scale {
    /// Returns the column that something starts in.
    fn first(self, at: f64) -> usize {
        self.bounded(at / self.per_column() + ROUNDING)
    }

    /// Returns the column that something ends in: one that ends on a boundary is not in the column behind it.
    fn last(self, at: f64) -> usize {
        self.bounded((at / self.per_column() - ROUNDING).ceil() - 1.0)
    }

    fn bounded(self, column: f64) -> usize {
        (column.max(0.0) as usize).min(self.columns - 1)
    }

    fn per_column(self) -> f64 {
        self.end / self.columns as f64
    }

    fn overlap(self, column: usize, start: f64, end: f64) -> f64 {
        let from = column as f64 * self.per_column();
        (end.min(from + self.per_column()) - start.max(from)).max(0.0)
    }

    /// Prints the axis: a label every so many round seconds, at least nine columns apart.
    fn axis(self) -> String {
        let step = round_up(self.per_column() * 9.0);
        let mut axis = String::new();
        let mut tick = 0.0;
        while tick < self.end {
            let column = (tick / self.per_column()).round() as usize;
            let label = format!("{}s", round_to(tick, step));
            if column + label.len() > self.columns {
                break;
            }
            let gap = column.saturating_sub(axis.len());
            axis.extend(std::iter::repeat_n(' ', gap));
            axis.push_str(&label);
            tick += step;
        }
        axis
    }
}

fn draw(lanes: Vec<Lane>, noun: &str, mut legend: Vec<String>, width: usize) -> String {
    let ends = lanes.iter().flat_map(|lane| &lane.spans);
    let end = ends.map(|span| span.end.unwrap_or(span.start)).fold(0.0_f64, f64::max);
    if lanes.is_empty() || end <= 0.0 {
        return "nothing has run yet\n".to_owned();
    }
    let label_width = lanes.iter().map(|lane| lane.label.len()).max().unwrap_or(0);
    let columns = width.saturating_sub(label_width + 2).max(MIN_COLUMNS);
    let scale = Scale { columns, end };
    let mut chart = format!("{:label_width$}  {}\n", "", scale.axis());
    let folded = lanes.len().saturating_sub(MAX_ROWS);
    let head = if folded == 0 { lanes.len() } else { MAX_ROWS - TAIL_ROWS };
    for (index, lane) in lanes.iter().enumerate() {
        if index == head && folded > 0 {
            let _ = writeln!(
                chart,
                "{:label_width$}  ... {folded} more {noun} are folded here ...",
                ""
            );
        }
        if index < head || index >= head + folded {
            let _ = writeln!(chart, "{:<label_width$}  {}", lane.label, lane.cells(scale));
        }
    }
    let broken = lanes.iter().flat_map(|lane| &lane.spans);
    if broken.into_iter().any(|span| matches!(span.outcome, Outcome::Broken)) {
        legend.push(format!("{BROKEN} failed, lost or cancelled"));
    }
    legend.push(format!("a column is {}", seconds(scale.per_column())));
    let _ = writeln!(chart, "{:label_width$}  {}", "", legend.join(", "));
    chart
}

/// Chooses a letter for each op: the digit that ends its name, else its first letter, else the first one that is free.
fn letters(ops: &[String]) -> Vec<char> {
    let mut taken: Vec<char> = Vec::with_capacity(ops.len());
    for op in ops {
        let digit = op.chars().next_back().filter(char::is_ascii_digit);
        let own = digit.into_iter().chain(op.chars().filter(char::is_ascii_alphanumeric));
        let others = ('a'..='z').chain('A'..='Z').chain('0'..='9');
        // `x` marks what broke.
        let free = own
            .chain(others)
            .find(|letter| *letter != BROKEN && !taken.contains(letter));
        taken.push(free.unwrap_or('#'));
    }
    taken
}

/// Returns the next of 1, 2, 5, 10, 20, 50 ... (and their tenths) that is not below the value.
fn round_up(value: f64) -> f64 {
    let magnitude = 10.0_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * magnitude >= value * 0.999_999);
    factor.unwrap_or(10.0) * magnitude
}

/// Rounds a tick to the digits that its step has, so that 0.1 + 0.2 is printed as 0.3.
fn round_to(tick: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).max(0.0) as usize;
    format!("{tick:.digits$}")
}

fn seconds(value: f64) -> String {
    if value < 1.0 {
        format!("{:.0} ms", (value * 1e3).max(1.0))
    } else {
        format!("{value:.1} s")
    }
}
