//! The promises of tiles, on made-up runs and on random ones.

use std::sync::Arc;
use std::time::Instant;

use common::failure::FailureKind;
use common::ids::{Attempt, BatchId, OpId, RunId, WorkerName};
use common::state::TaskState;
use common::time::Time;
use common::timeline::TimelineEntry;
use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{Fixture, Shape, Story};
use super::*;

/// Random attempts: (op, batch, attempt, slot, queued, wait, duration, state).
type Drawn = (u16, u64, u32, u32, u64, u64, u64, u8);

fn attempts(count: usize) -> impl Strategy<Value = Vec<Drawn>> {
    let one = (
        0..3_u16,
        0..300_u64,
        1..4_u32,
        0..70_u32,
        0..3_000_000_u64,
        0..90_000_u64,
        0..400_000_u64,
        0..4_u8,
    );
    vec(one, 1..count)
}

fn entry((op, batch, attempt, slot, queued, wait, ran, state): Drawn) -> TimelineEntry {
    let state = [
        TaskState::Succeeded,
        TaskState::Succeeded,
        TaskState::Failed,
        TaskState::Lost,
    ][usize::from(state)];
    TimelineEntry {
        op: OpId(op),
        batch: Some(BatchId::whole(batch)),
        attempt: Attempt(attempt),
        worker: WorkerName::new("w1").expect("a name"),
        slot,
        state,
        queued: Time(queued * 1_000),
        started: Time((queued + wait) * 1_000),
        finished: Some(Time((queued + wait + ran) * 1_000)),
    }
}

fn record(chart: &mut Chart, entry: &TimelineEntry) {
    let failure = None;
    chart.record(&Reported {
        entry,
        failure,
        slots: 4,
    });
}

fn chart_of(drawn: &[Drawn]) -> Chart {
    let mut chart = Chart::new(Time::ZERO, 3, OpId(2));
    for attempt in drawn {
        record(&mut chart, &entry(*attempt));
    }
    chart.finish(Time(9_000_000_000));
    chart
}

fn tile(by: Arrangement, k: u32, r: u32, i: u64, j: u64) -> Window {
    TileId { by, k, r, i, j }.window().expect("can be")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_running_and_waiting_time_of_all_columns_is_the_tasks_time(drawn in attempts(200), k in 8..15_u32, r in 0..4_u32) {
        let view = chart_of(&drawn).view(Time(9_000_000_000));
        let ran: u64 = drawn.iter().map(|attempt| attempt.6).sum();
        let waited: u64 = drawn.iter().map(|attempt| attempt.5).sum();
        for by in [Arrangement::ByBatch, Arrangement::BySlot] {
            let (mut busy, mut wait) = (0, 0);
            for i in 0..=(4_000_000_u64 >> k) / 512 {
                for j in 0..=(300_u64 >> r) / 64 {
                    let cells = view.cells(by, tile(by, k, r, i, j));
                    busy += cells.busy_us();
                    wait += cells.wait_us();
                }
            }
            prop_assert_eq!((busy, wait), (ran, waited));
        }
    }

    #[test]
    fn a_tile_is_its_two_halves_merged(drawn in attempts(200), k in 9..15_u32, i in 0..3_u64, r in 0..4_u32) {
        let view = chart_of(&drawn).view(Time(9_000_000_000));
        for by in [Arrangement::ByBatch, Arrangement::BySlot] {
            let earlier = view.cells(by, tile(by, k - 1, r, 2 * i, 0));
            let later = view.cells(by, tile(by, k - 1, r, 2 * i + 1, 0));
            let whole = view.cells(by, tile(by, k, r, i, 0));
            prop_assert_eq!(Cells::merge(&earlier, &later), whole);
        }
    }

    #[test]
    fn an_overview_gives_the_tiles_that_the_rows_give(drawn in attempts(200), k in 0..20_u32, r in 0..6_u32) {
        let view = chart_of(&drawn).view(Time(9_000_000_000));
        for by in [Arrangement::ByBatch, Arrangement::BySlot] {
            let window = tile(by, k, r, 0, 0);
            prop_assert_eq!(Overview::new(&view, by).cells(&view, window), view.cells(by, window));
        }
    }

    #[test]
    fn a_failure_in_the_window_is_visible_at_every_level(drawn in attempts(100), k in 4..24_u32, r in 0..6_u32) {
        let view = chart_of(&drawn).view(Time(9_000_000_000));
        for found in view.tasks_in(Area::all(Arrangement::ByBatch), 0) {
            let flag = match found.task.outcome {
                Outcome::Failed => Flag::Failed,
                Outcome::Lost => Flag::Lost,
                Outcome::Running | Outcome::Succeeded | Outcome::Cancelled => continue,
            };
            let (column, row) = (found.task.started >> k, u64::from(found.task.batch) >> r);
            let cells = view.cells(Arrangement::ByBatch, tile(Arrangement::ByBatch, k, r, column / 512, row / 64));
            let (row, column) = ((row % 64) as usize, (column % 512) as usize);
            prop_assert!(cells.flags(row, column) & flag.bit() != 0);
        }
    }

    #[test]
    fn sealed_tiles_never_change_while_a_run_goes_on(steps in vec((0..6_u64, 0..40_000_000_u64), 1..60)) {
        let mut chart = Chart::new(Time::ZERO, 3, OpId(2));
        let mut now = 0;
        let mut at: [(u16, Option<u64>, u64); 6] = [(0, None, 0); 6];
        let mut sealed: Vec<(Window, u32, Cells)> = Vec::new();
        for (batch, later) in steps {
            now += later;
            let place = usize::try_from(batch).expect("is small");
            let (op, started, queued) = at[place];
            if op > 2 {
                continue;
            }
            let queued = if op == 0 { started.unwrap_or(now) } else { queued };
            let running = TimelineEntry {
                state: TaskState::Running,
                batch: Some(BatchId::whole(batch)),
                op: OpId(op),
                attempt: Attempt::FIRST,
                worker: WorkerName::new("w1").expect("a name"),
                slot: u32::try_from(batch).expect("is small"),
                queued: Time(queued * 1_000),
                started: Time(started.unwrap_or(now) * 1_000),
                finished: None,
            };
            if started.is_some() {
                let done = TimelineEntry { state: TaskState::Succeeded, finished: Some(Time(now * 1_000)), ..running };
                record(&mut chart, &done);
                at[place] = (op + 1, None, now);
            } else {
                record(&mut chart, &running);
                at[place] = (op, Some(now), queued);
            }
            let view = chart.view(Time(now * 1_000));
            prop_assert_eq!(view.epoch, 0);
            for (window, epoch, cells) in &sealed {
                prop_assert_eq!(*epoch, view.epoch);
                prop_assert_eq!(&view.cells(Arrangement::ByBatch, *window), cells);
            }
            let window = tile(Arrangement::ByBatch, 16, 0, 0, 0);
            if view.seal(&window) == Seal::Sealed && sealed.is_empty() {
                sealed.push((window, view.epoch, view.cells(Arrangement::ByBatch, window)));
            }
        }
    }
}

#[test]
fn a_late_report_below_what_was_sealed_raises_the_epoch() {
    let mut chart = Chart::new(Time::ZERO, 3, OpId(2));
    record(&mut chart, &entry((2, 0, 1, 0, 0, 0, 1_000, 0)));
    let sealed = chart.view(Time(100_000_000_000)).sealed_us;
    assert_eq!(sealed, 70_000_000);
    record(&mut chart, &entry((2, 1, 1, 0, 5_000, 0, 1_000, 0)));
    assert_eq!(chart.view(Time(100_000_000_000)).epoch, 1);
}

#[test]
fn a_lost_worker_stands_in_the_chart_until_its_slots_were_freed() {
    let made = Fixture::new(RunId(1), 8_000, Shape::DepthFirst, Story::LostWorker).make();
    let mut chart = made.chart.chart;
    let view = chart.view(Time::ZERO);
    let lost = view
        .tasks_in(Area::all(Arrangement::BySlot), 0)
        .filter(|found| found.task.outcome == Outcome::Lost);
    assert!((1..=4).contains(&lost.count()));
    let groups = view.failures.groups();
    assert!(!groups.is_empty());
    assert!(groups.iter().all(|group| group.example.kind == FailureKind::LostWorker));
    assert_eq!(view.lanes.len(), 16);
    assert_eq!(made.summary.batches.committed, made.summary.batches.total);
}

#[test]
fn stories_of_any_size_have_the_tasks_they_tell_of() {
    for (story, most) in [
        (Story::Plain, 4_000),
        (Story::Failures, 4_200),
        (Story::Cancelled, 3_000),
        (Story::Empty, 0),
    ] {
        for shape in [Shape::DepthFirst, Shape::BreadthFirst] {
            let made = Fixture::new(RunId(1), 4_000, shape, story).make();
            let mut chart = made.chart.chart;
            let view = chart.view(Time::ZERO);
            assert!(view.rows <= most, "{story:?} {shape:?}: {}", view.rows);
            assert_eq!(view.rows == 0, story == Story::Empty);
            assert_eq!(view.live, Life::Ended);
        }
    }
}

#[test]
#[ignore = "measures; run it in release"]
fn any_tile_of_a_million_tasks_is_there_in_15_ms() {
    for shape in [Shape::DepthFirst, Shape::BreadthFirst] {
        let began = Instant::now();
        let made = Fixture::new(RunId(1), 1_000_000, shape, Story::Failures).make();
        let mut chart = made.chart.chart;
        let view = Arc::new(chart.view(Time::ZERO));
        eprintln!("{shape:?}: made {} rows in {:?}", view.rows, began.elapsed());
        for by in [Arrangement::ByBatch, Arrangement::BySlot] {
            let began = Instant::now();
            let mut overview = Overview::new(&view, by);
            let built = began.elapsed();
            let mut times = Vec::new();
            for k in 8..30 {
                for r in 0..13 {
                    let (columns, rows) = ((view.end_us >> k) / 512, (view.row_count(by) >> r) / 64);
                    for step in 0..3 {
                        let id = TileId {
                            by,
                            k,
                            r,
                            i: columns * step / 2,
                            j: rows * step / 2,
                        };
                        let began = Instant::now();
                        let cells = overview.cells(&view, id.window().expect("can be"));
                        std::hint::black_box(cells.encode(Seal::Sealed));
                        times.push((began.elapsed(), id));
                    }
                }
            }
            times.sort();
            let at = |part: usize| times[(times.len() - 1) * part / 1_000];
            eprintln!(
                "{by:?}: overview {built:?}, p50 {:?} p99 {:?} worst {:?}",
                at(500).0,
                at(990),
                at(1_000)
            );
        }
    }
}
