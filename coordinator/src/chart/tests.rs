//! The promises of tiles, on made-up runs and on random ones.

use common::failure::FailureKind;
use common::ids::{Attempt, BatchId, Generation, LeaseId, OpId, RunId, WorkerName};
use common::state::TaskState;
use common::time::Time;
use common::timeline::{Moved, TimelineEntry};
use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{Fixture, MadeUp, Shape, Story};
use super::*;
use crate::timeline::{Life, Outcome, RUNNING_IDS, RunTimeline, TimelineView};
use scheduler::Outlook;

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
        leased: Time(queued * 1_000),
        fetch_started: None,
        started: Time((queued + wait) * 1_000),
        finished: Some(Time((queued + wait + ran) * 1_000)),
        committed: None,
        moved: Moved::default(),
    }
}

/// A chart of random attempts; some of the rows are in chunks, the others behind them.
fn view_of(drawn: &[Drawn]) -> TimelineView {
    let mut timeline = RunTimeline::new(Time::ZERO, 3, OpId(2));
    for attempt in drawn {
        timeline.add(&entry(*attempt), None, 4);
        if timeline.rows().is_multiple_of(37) {
            timeline.seal_all();
        }
    }
    timeline.finish(Time(9_000_000_000));
    timeline.view(&Outlook::default(), Time(9_000_000_000))
}

fn view(made: &MadeUp) -> TimelineView {
    made.timelines
        .view(&made.known, &Outlook::default())
        .expect("is in memory")
}

fn tile(by: Arrangement, k: u32, r: u32, i: u64, j: u64) -> Window {
    TileId { by, k, r, i, j }.window().expect("can be")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_running_and_waiting_time_of_all_columns_is_the_tasks_time(drawn in attempts(200), k in 8..15_u32, r in 0..4_u32) {
        let view = view_of(&drawn);
        let ran: u64 = drawn.iter().map(|attempt| attempt.6).sum();
        for by in [Arrangement::ByBatch, Arrangement::BySlot] {
            let shown = |attempt: &&Drawn| by == Arrangement::ByBatch && attempt.0 > 0;
            let waited: u64 = drawn.iter().filter(shown).map(|attempt| attempt.5).sum();
            let (mut busy, mut wait) = (0, 0);
            for i in 0..=(4_000_000_u64 >> k) / 512 {
                for j in 0..=(300_u64 >> r) / 64 {
                    let cells = view.cells(by, tile(by, k, r, i, j)).expect("is in memory");
                    busy += cells.busy_us();
                    wait += cells.wait_us();
                }
            }
            prop_assert_eq!((busy, wait), (ran, waited));
        }
    }

    #[test]
    fn a_tile_is_its_two_halves_merged(drawn in attempts(200), k in 9..15_u32, i in 0..3_u64, r in 0..4_u32) {
        let view = view_of(&drawn);
        for by in [Arrangement::ByBatch, Arrangement::BySlot] {
            let earlier = view.cells(by, tile(by, k - 1, r, 2 * i, 0)).expect("is in memory");
            let later = view.cells(by, tile(by, k - 1, r, 2 * i + 1, 0)).expect("is in memory");
            let whole = view.cells(by, tile(by, k, r, i, 0)).expect("is in memory");
            prop_assert_eq!(Cells::merge(&earlier, &later), whole);
        }
    }

    #[test]
    fn an_overview_gives_the_tiles_that_the_rows_give(drawn in attempts(200), k in 0..20_u32, r in 0..6_u32) {
        let view = view_of(&drawn);
        for by in [Arrangement::ByBatch, Arrangement::BySlot] {
            let window = tile(by, k, r, 0, 0);
            prop_assert_eq!(Overview::new(&view, by).cells(&view, window), view.cells(by, window));
        }
    }

    #[test]
    fn a_failure_in_the_window_is_visible_at_every_level(drawn in attempts(100), k in 4..24_u32, r in 0..6_u32) {
        let view = view_of(&drawn);
        for found in view.tasks_in(Area::all(Arrangement::ByBatch), 0, usize::MAX).expect("is in memory") {
            let flag = match found.task.outcome {
                Outcome::Failed => Flag::Failed,
                Outcome::Lost => Flag::Lost,
                Outcome::Running | Outcome::Succeeded | Outcome::Cancelled => continue,
            };
            let (column, row) = (found.task.started >> k, found.task.batch >> r);
            let cells = view.cells(Arrangement::ByBatch, tile(Arrangement::ByBatch, k, r, column / 512, row / 64)).expect("is in memory");
            let (row, column) = ((row % 64) as usize, (column % 512) as usize);
            prop_assert!(cells.flags(row, column) & flag.bit() != 0);
        }
    }

    #[test]
    fn an_overview_that_grows_with_its_run_gives_the_tiles_that_the_rows_give(drawn in attempts(200), pieces in 1..6_usize) {
        for by in [Arrangement::ByBatch, Arrangement::BySlot] {
            let mut timeline = RunTimeline::new(Time::ZERO, 3, OpId(2));
            let mut overview: Option<Overview> = None;
            for (piece, attempts) in drawn.chunks(drawn.len().div_ceil(pieces)).enumerate() {
                for (op, batch, attempt, slot, queued, wait, ran, state) in attempts {
                    // Each piece lies four times as far from the run's start, so the grid has to grow.
                    timeline.add(&entry((*op, *batch, *attempt, *slot, queued << (2 * piece), *wait, *ran, *state)), None, 4);
                }
                timeline.seal_all();
                let view = timeline.view(&Outlook::default(), Time::ZERO);
                let overview = overview.get_or_insert_with(|| Overview::new(&view, by));
                for k in [8, 14, 18, 22] {
                    let window = tile(by, k, 1, 0, 0);
                    prop_assert_eq!(overview.cells(&view, window), view.cells(by, window));
                }
            }
        }
    }

    #[test]
    fn sealed_tiles_never_change_while_a_run_goes_on(steps in vec((0..6_u64, 0..40_000_000_u64), 1..60)) {
        let mut timeline = RunTimeline::new(Time::ZERO, 3, OpId(2));
        let mut now = 0;
        let mut at: [(u16, Option<u64>, u64); 6] = [(0, None, 0); 6];
        let mut sealed: Vec<(Window, Cells)> = Vec::new();
        for (batch, later) in steps {
            now += later;
            let place = usize::try_from(batch).expect("is small");
            let (op, started, queued) = at[place];
            if op > 2 {
                continue;
            }
            match started {
                Some(started) => {
                    timeline.add(&entry((op, batch, 1, place as u32, queued, started - queued, now - started, 0)), None, 6);
                    at[place] = (op + 1, None, now);
                }
                None => at[place] = (op, Some(now), if op == 0 { now } else { queued }),
            }
            let view = timeline.view(&outlook(&at), Time(now * 1_000));
            prop_assert_eq!(view.epoch, 0);
            for (window, cells) in &sealed {
                prop_assert_eq!(&view.cells(Arrangement::ByBatch, *window).expect("is in memory"), cells);
            }
            let window = tile(Arrangement::ByBatch, 16, 0, 0, 0);
            if view.seal(&window) == Seal::Sealed && sealed.is_empty() {
                sealed.push((window, view.cells(Arrangement::ByBatch, window).expect("is in memory")));
            }
        }
    }
}

/// What a scheduler would say of batches that are each at an op, started or not.
fn outlook(at: &[(u16, Option<u64>, u64)]) -> Outlook {
    let mut outlook = Outlook::default();
    for (batch, (op, started, queued)) in (0..).zip(at) {
        match started {
            Some(started) => {
                let running = TimelineEntry {
                    state: TaskState::Running,
                    finished: None,
                    ..entry((*op, batch, 1, batch as u32, *queued, started - queued, 0, 0))
                };
                let lease = LeaseId {
                    generation: Generation(1),
                    sequence: batch,
                };
                outlook.running.push((lease, running));
            }
            None if (1..3).contains(op) => {
                let since = Time(queued * 1_000);
                outlook.oldest_waiting = Some(outlook.oldest_waiting.unwrap_or(since).min(since));
            }
            None => {}
        }
    }
    outlook
}

#[test]
fn a_late_report_below_what_was_sealed_raises_the_epoch() {
    let mut timeline = RunTimeline::new(Time::ZERO, 3, OpId(2));
    let now = Time(100_000_000_000);
    timeline.add(&entry((2, 0, 1, 0, 0, 0, 1_000, 0)), None, 4);
    assert_eq!(timeline.view(&Outlook::default(), now).sealed_us, 70_000_000);
    timeline.add(&entry((2, 1, 1, 0, 5_000, 0, 1_000, 0)), None, 4);
    assert_eq!(timeline.view(&Outlook::default(), now).epoch, 1);
}

#[test]
fn an_attempt_that_runs_is_shown_until_its_row_is_there() {
    let mut timeline = RunTimeline::new(Time::ZERO, 3, OpId(2));
    let running = outlook(&[(1, Some(900), 500)]);
    let before = timeline.view(&running, Time(2_000_000));
    let found = before
        .tasks_in(Area::all(Arrangement::BySlot), 0, 9)
        .expect("is in memory");
    assert_eq!(found.len(), 1);
    assert!(found[0].id >= RUNNING_IDS);
    assert_eq!((found[0].task.outcome, found[0].task.ended), (Outcome::Running, None));
    timeline.add(&entry((1, 0, 1, 0, 500, 400, 600, 0)), None, 4);
    let after = timeline.view(&Outlook::default(), Time(2_000_000));
    let found = after
        .tasks_in(Area::all(Arrangement::BySlot), 0, 9)
        .expect("is in memory");
    assert_eq!(
        found
            .iter()
            .map(|found| (found.id, found.task.ended))
            .collect::<Vec<_>>(),
        [(0, Some(1_500))]
    );
    assert!(after.version > before.version);
}

#[test]
fn a_lost_worker_stands_in_the_chart_until_its_slots_were_freed() {
    let made = Fixture::new(RunId(1), 8_000, Shape::DepthFirst, Story::LostWorker).make();
    let view = view(&made);
    let lost = TaskFilter {
        area: Area::all(Arrangement::BySlot),
        outcome: Some(Outcome::Lost),
        op: None,
        batch: None,
        worker: None,
        error: None,
    };
    let lost = view.filter(&lost, 0, 100).expect("is in memory");
    assert!((1..=4).contains(&lost.len()));
    let groups = view.failures.groups();
    assert!(!groups.is_empty());
    assert!(groups.iter().all(|group| group.example.kind == FailureKind::LostWorker));
    assert_eq!(view.lanes.len(), 16);
    assert_eq!(made.summary.batches.committed, made.summary.batches.total);
}

#[test]
fn what_is_counted_in_an_area_is_what_is_found_in_it() {
    let made = Fixture::new(RunId(1), 30_000, Shape::DepthFirst, Story::Failures).make();
    let view = view(&made);
    for (from_us, to_us, first_row, end_row) in [
        (0, u64::MAX, 0, u64::MAX),
        (2_000_000, 3_000_000, 0, 7_000),
        (0, 9_000_000, 100, 150),
    ] {
        let area = Area {
            by: Arrangement::ByBatch,
            from_us,
            to_us,
            first_row,
            end_row,
        };
        let found = view.tasks_in(area, 0, usize::MAX).expect("is in memory");
        let by_hand = view.tasks_in(Area::all(area.by), 0, usize::MAX).expect("is in memory");
        let is_in = |found: &&Found| {
            let task = &found.task;
            let seen = if task.op == 0 && task.attempt == 1 {
                task.started
            } else {
                task.queued
            };
            seen < to_us && task.ended >= Some(from_us) && (first_row..end_row).contains(&task.batch)
        };
        assert_eq!(found.len(), by_hand.iter().filter(is_in).count());
        assert_eq!(view.count_in(area, usize::MAX), Ok(found.len()));
    }
}

#[test]
fn a_gap_in_a_lane_is_empty_whoever_waits_to_come_to_it_later() {
    let made = Fixture::new(RunId(1), 40_000, Shape::BreadthFirst, Story::Plain).make();
    let view = view(&made);
    let area = Area {
        from_us: 2_000_000,
        to_us: 2_010_000,
        ..Area::all(Arrangement::BySlot)
    };
    let found = view.tasks_in(area, 0, usize::MAX).expect("is in memory");
    assert!(
        (16..200).contains(&found.len()),
        "{} run in 10 ms on 16 slots",
        found.len()
    );
    assert!(found.iter().all(|found| found.task.started < area.to_us));
    assert_eq!(view.count_in(area, usize::MAX), Ok(found.len()));
    let cells = view.cells(area.by, tile(area.by, 14, 0, 0, 0)).expect("is in memory");
    assert_eq!(cells.wait_us(), 0);
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
            let view = view(&Fixture::new(RunId(1), 4_000, shape, story).make());
            assert!(view.rows <= most, "{story:?} {shape:?}: {}", view.rows);
            assert_eq!(view.rows == 0, story == Story::Empty);
            assert_eq!(view.live, Life::Ended);
        }
    }
}
