//! Golden charts: what a person sees, character by character.

use super::*;

fn row(op: &str, batch: u32, slot: u32, started: f64, finished: f64) -> TimelineRow {
    TimelineRow {
        op: op.to_owned(),
        batch: Some(batch.to_string()),
        attempt: 1,
        worker: "w1".to_owned(),
        slot,
        state: TaskState::Succeeded,
        queued: started,
        started: Some(started),
        finished: Some(finished),
        leased: started,
        fetch_started: None,
        committed: None,
        rows_in: 0,
        rows_out: 0,
        bytes_in: 0,
        bytes_out: 0,
        error: None,
    }
}

fn ops() -> Vec<String> {
    ["extract", "transform_1", "transform_2", "load"]
        .map(str::to_owned)
        .to_vec()
}

/// Two slots, three batches, a second per transform.
fn depth_first() -> Vec<TimelineRow> {
    let mut rows = Vec::new();
    for (batch, slot, at) in [(0, 0, 0.0), (1, 1, 0.0), (2, 0, 2.2)] {
        rows.push(row("extract", batch, slot, at, at + 0.1));
        rows.push(row("transform_1", batch, slot, at + 0.1, at + 1.1));
        rows.push(row("transform_2", batch, slot, at + 1.1, at + 2.1));
        rows.push(row("load", batch, slot, at + 2.1, at + 2.2));
    }
    rows
}

#[test]
fn a_row_per_batch_shows_a_letter_per_op() {
    let chart = by_batch(&depth_first(), &ops(), 53);
    let want = "
         0s        1s        2s        3s        4s
batch 0  e11111111112222222222l
batch 1  e11111111112222222222l
batch 2                        e11111111112222222222l
         e extract, 1 transform_1, 2 transform_2, l load, · waiting, a column is 100 ms
";
    assert_eq!(format!("\n{chart}"), want);
}

#[test]
fn a_row_per_slot_shows_the_batch_it_works_on() {
    let chart = by_slot(&depth_first(), 50);
    let want = "
      0s        1s        2s        3s        4s
w1/0  00000000000000000000002222222222222222222222
w1/1  1111111111111111111111
      a digit is the last one of the batch's number, a column is 100 ms
";
    assert_eq!(format!("\n{chart}"), want);
}

#[test]
fn a_batch_waits_from_its_first_turn_to_its_last_op() {
    let mut rows = vec![row("extract", 0, 0, 0.0, 1.0), row("transform_1", 0, 0, 3.0, 4.0)];
    rows[1].queued = 1.0;
    let chart = by_batch(&rows, &ops(), 49);
    let line = chart.lines().nth(1).expect("the chart has a row");
    assert_eq!(line, "batch 0  eeeeeeeeee····················1111111111");
}

#[test]
fn a_failed_attempt_ends_with_an_x_and_its_retry_follows() {
    let mut rows = vec![row("extract", 0, 0, 0.0, 1.0), row("extract", 0, 0, 3.0, 4.0)];
    rows[0].state = TaskState::Failed;
    let chart = by_batch(&rows, &ops(), 49);
    let line = chart.lines().nth(1).expect("the chart has a row");
    assert_eq!(line, "batch 0  eeeeeeeeex····················eeeeeeeeee");
    assert!(chart.contains("x failed, lost or cancelled"), "{chart}");
}

#[test]
fn a_running_attempt_reaches_the_right_edge() {
    let mut rows = vec![row("extract", 0, 0, 0.0, 2.0), row("extract", 1, 1, 1.0, 2.0)];
    rows[1].finished = None;
    rows[1].state = TaskState::Running;
    let chart = by_batch(&rows, &ops(), 29);
    assert_eq!(chart.lines().nth(2), Some("batch 1            eeeeeeeeee"));
}

#[test]
fn rows_beyond_the_limit_are_counted_in_a_line_of_their_own() {
    let rows: Vec<TimelineRow> = (0..200)
        .map(|batch| row("extract", batch, 0, f64::from(batch), f64::from(batch) + 1.0))
        .collect();
    let chart = by_batch(&rows, &ops(), 80);
    assert!(chart.contains("... 176 more batches are folded here ..."), "{chart}");
    assert_eq!(chart.lines().count(), 1 + MAX_ROWS + 1 + 1);
    assert!(
        chart.contains("batch 15 ") && chart.contains("batch 192") && !chart.contains("batch 16 "),
        "{chart}"
    );
}

#[test]
fn a_task_over_the_whole_run_stands_in_the_last_row() {
    let mut rows = vec![row("extract", 0, 0, 0.0, 1.0), row("load", 0, 0, 1.0, 2.0)];
    rows[1].batch = None;
    let chart = by_batch(&rows, &ops(), 30);
    assert!(
        chart.lines().nth(2).is_some_and(|line| line.starts_with("run ")),
        "{chart}"
    );
}

#[test]
fn an_empty_timeline_says_so() {
    assert_eq!(by_batch(&[], &ops(), 80), "nothing has run yet\n");
}

#[test]
fn letters_are_digits_where_names_end_with_one_and_never_repeat() {
    let names = ["extract", "transform_1", "transform_2", "enrich", "explode", "x"].map(str::to_owned);
    assert_eq!(letters(&names), ['e', '1', '2', 'n', 'p', 'a']);
}
