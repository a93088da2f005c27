//! Draws what happened as text: a row for each batch, a letter for each op, a dot where a batch waits.

use super::*;

/// Draws the timeline by batch, so many milliseconds a character.
pub fn by_batch(world: &World, start: Time, millis: u64) -> String {
    let column = |at: Time| (at.since(start).as_millis() as u64 / millis) as usize;
    let mut rows: BTreeMap<BatchId, Vec<char>> = BTreeMap::new();
    for entry in world.timeline.values() {
        let Some(batch) = entry.batch else { continue };
        let row = rows.entry(batch).or_default();
        let finished = entry.finished.unwrap_or(world.now);
        let from = column(entry.started);
        let to = column(finished).max(from + usize::from(finished > entry.started));
        if row.len() < to {
            row.resize(to, ' ');
        }
        let letter = char::from(b"e12l"[entry.op.index().min(3)]);
        row[from..to].fill(letter);
    }
    let mut chart = String::new();
    for (batch, mut row) in rows {
        let first = row.iter().position(|cell| *cell != ' ').unwrap_or(row.len());
        for cell in row.iter_mut().skip(first).filter(|cell| **cell == ' ') {
            *cell = '.';
        }
        let line: String = row.into_iter().collect();
        chart.push_str(format!("{:>3} |{line}", batch.to_string()).trim_end());
        chart.push('\n');
    }
    chart
}
