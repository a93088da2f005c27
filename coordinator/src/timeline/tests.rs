//! The promises of what is kept: nothing lost but the last moments, memory within its bound, few bytes on the disk.

use std::ops::ControlFlow;

use common::failure::FailureKind;
use common::ids::{Attempt, Generation};
use common::job::OpKind;
use common::state::TaskState;
use common::timeline::Moved;

use super::*;
use crate::chart::fixture::{Fixture, Shape, Story};
use crate::testing;
use crate::timeline::TimelineView;

const RUN: RunId = RunId(7);

fn job() -> Job {
    testing::job("four", ["op_1", "op_2", "op_3"].map(|name| (name, OpKind::Noop)))
}

fn known(ended: Option<Time>) -> Known {
    Known {
        run: RUN,
        accepted: Time(1_000_000),
        ops: 4,
        ended,
        now: Time(900_000_000_000),
    }
}

fn entry(number: u64) -> TimelineEntry {
    let queued = 2_000_000 + number * 3_000_000;
    TimelineEntry {
        op: OpId((number % 4) as u16),
        batch: Some(BatchId::whole(number / 4)),
        attempt: Attempt::FIRST,
        worker: WorkerName::new(&format!("w{}", number % 3)).expect("a name"),
        slot: (number % 2) as u32,
        state: TaskState::Succeeded,
        queued: Time(queued),
        leased: Time(queued + 1_000_000),
        fetch_started: (number % 10 == 1).then_some(Time(queued + 1_500_000)),
        started: Time(queued + 2_000_000),
        finished: Some(Time(queued + 9_000_000)),
        committed: None,
        moved: Moved {
            rows_in: number,
            rows_out: number / 2,
            bytes_in: 70_000,
            bytes_out: 90_000 + number,
        },
    }
}

fn failed(number: u64) -> TimelineEntry {
    TimelineEntry {
        state: TaskState::Failed,
        moved: Moved::default(),
        ..entry(number)
    }
}

fn fill(timelines: &Timelines, numbers: std::ops::Range<u64>) {
    for number in numbers {
        if number % 1_000 == 77 {
            let failure = Failure::new(FailureKind::Permanent, format!("row {number} is bad"));
            timelines.append(RUN, failed(number), Some(failure));
        } else {
            timelines.append(RUN, entry(number), None);
        }
        if number % 4 == 3 {
            timelines.commit(RUN, BatchId::whole(number / 4), Time(20_000_000 + number * 3_000_000));
        }
    }
}

fn look(timelines: &Timelines, ended: Option<Time>) -> TimelineView {
    timelines.view(&known(ended), &Outlook::default()).expect("can be read")
}

fn entries(view: &TimelineView) -> Vec<TimelineEntry> {
    let mut entries = Vec::new();
    let read = view.rows_from(0, |_, row| {
        entries.push(view.entry(row));
        ControlFlow::Continue(())
    });
    read.expect("can be read");
    entries
}

fn expected(numbers: std::ops::Range<u64>) -> Vec<TimelineEntry> {
    let row = |number: u64| match number % 1_000 {
        77 => failed(number),
        _ if number % 4 == 3 => TimelineEntry {
            committed: Some(Time(20_000_000 + number * 3_000_000)),
            ..entry(number)
        },
        _ => entry(number),
    };
    numbers.map(row).collect()
}

#[test]
fn every_field_of_every_attempt_is_there_again_after_a_clean_stop_of_a_live_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let timelines = Timelines::in_folder(folder.path()).expect("is made");
    timelines.begin(RUN, Time(1_000_000), &job());
    timelines.sample(RUN, Sample { values: vec![5; 9] }, Time(2_000_000));
    timelines.sample(RUN, Sample { values: vec![7; 9] }, Time(900_000_000));
    timelines.sample(RUN, Sample { values: vec![8; 9] }, Time(1_900_000_000));
    fill(&timelines, 0..10_000);
    let before = look(&timelines, None);
    assert_eq!(entries(&before), expected(0..10_000));
    drop(timelines);

    let again = Timelines::in_folder(folder.path()).expect("is made");
    again.resume([(RUN, Time(1_000_000), &job())].into_iter(), std::iter::empty());
    let after = look(&again, None);
    assert_eq!(entries(&after), expected(0..10_000));
    assert_eq!((after.restarts, after.epoch), (1, before.epoch + 1));
    assert_eq!(after.failures.groups()[0].attempts, 10);
    assert_eq!(
        after.failures.of_task(77).map(|failure| failure.message.as_str()),
        Some("row 77 is bad")
    );
    let peak = again.series(&known(None), |series| {
        series
            .read(0, u64::MAX, 100)
            .1
            .iter()
            .map(|bucket| bucket.values[0][1])
            .max()
    });
    assert_eq!(peak, Ok(Some(7)), "the last bucket was not closed yet");

    fill(&again, 10_000..20_000);
    again.finish(RUN, Time(800_000_000_000));
    drop(again);
    let last = Timelines::in_folder(folder.path()).expect("is made");
    let ended = look(&last, Some(Time(800_000_000_000)));
    assert_eq!(entries(&ended), expected(0..20_000));
    assert_eq!((ended.restarts, ended.live), (1, crate::timeline::Life::Ended));
    assert_eq!(ended.failures.groups()[0].attempts, 20);
}

#[test]
fn what_a_kill_leaves_is_a_prefix_of_the_rows_however_the_files_are_cut() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let timelines = Timelines::in_folder(folder.path()).expect("is made");
    timelines.begin(RUN, Time(1_000_000), &job());
    fill(&timelines, 0..6_000);
    drop(timelines);
    let (rows, tail) = (file::rows_path(folder.path(), RUN), file::tail_path(folder.path(), RUN));
    let (rows_whole, tail_whole) = (
        std::fs::read(&rows).expect("is there"),
        std::fs::read(&tail).expect("is there"),
    );
    assert!(!tail_whole.is_empty());
    for cut in [0, 3, 40, 333, 5_000, 20_000, 60_000, 150_000] {
        for file in [&rows, &tail] {
            let whole = if file == &rows { &rows_whole } else { &tail_whole };
            std::fs::write(&rows, &rows_whole).expect("is written");
            std::fs::write(&tail, &tail_whole).expect("is written");
            std::fs::write(file, &whole[..whole.len().saturating_sub(cut)]).expect("is written");
            let again = Timelines::in_folder(folder.path()).expect("is made");
            again.resume([(RUN, Time(1_000_000), &job())].into_iter(), std::iter::empty());
            let found = entries(&look(&again, None));
            assert_eq!(
                found,
                expected(0..found.len() as u64),
                "cut {cut} of {}",
                file.display()
            );
            let kept_chunk = found.len() >= CHUNK;
            assert!(kept_chunk || file == &rows, "a cut tail takes no chunk away");
            fill(&again, found.len() as u64..9_000);
            drop(again);
            let last = Timelines::in_folder(folder.path()).expect("is made");
            last.resume([(RUN, Time(1_000_000), &job())].into_iter(), std::iter::empty());
            assert_eq!(entries(&look(&last, None)), expected(0..9_000));
        }
    }
}

const CHUNK: usize = chunk::CHUNK_ROWS;

#[test]
fn a_run_whose_first_write_found_no_room_has_no_rows_and_is_no_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let timelines = Timelines::in_folder(folder.path()).expect("is made");
    timelines.begin(RUN, Time(1_000_000), &job());
    fill(&timelines, 0..10);
    drop(timelines);
    let path = folder.path().join(format!("{RUN}.rows"));
    let whole = std::fs::read(&path).expect("is there");
    std::fs::remove_file(folder.path().join(format!("{RUN}.tail"))).expect("it comes after the other file");
    for length in [0, 1, 5, 9] {
        std::fs::write(&path, &whole[..length]).expect("is cut");
        let again = Timelines::in_folder(folder.path()).expect("is made");
        let view = look(&again, Some(Time(800_000_000_000)));
        assert_eq!((entries(&view).len(), view.restarts), (0, 1), "cut to {length} bytes");
        drop(again);
        let live = Timelines::in_folder(folder.path()).expect("is made");
        live.resume([(RUN, Time(1_000_000), &job())].into_iter(), std::iter::empty());
        fill(&live, 0..4);
        live.finish(RUN, Time(800_000_000_000));
        drop(live);
        let again = Timelines::in_folder(folder.path()).expect("is made");
        assert_eq!(entries(&look(&again, Some(Time(800_000_000_000)))), expected(0..4));
    }
}

#[test]
fn workers_and_slots_keep_their_rows_when_only_the_tail_finds_no_room() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tail = folder.path().join(format!("{RUN}.tail"));
    std::os::unix::fs::symlink("/dev/full", &tail).expect("is linked");
    let timelines = Timelines::in_folder(folder.path()).expect("is made");
    timelines.begin(RUN, Time(1_000_000), &job());
    // The first write brings what it can to the disk; the second one comes with lanes that are new.
    fill(&timelines, 0..2);
    let rows = folder.path().join(format!("{RUN}.rows"));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::fs::metadata(&rows).map_or(0, |rows| rows.len()) == 0 {
        assert!(std::time::Instant::now() < deadline, "the first write");
        std::thread::yield_now();
    }
    fill(&timelines, 2..12);
    timelines.finish(RUN, Time(800_000_000_000));
    drop(timelines);
    assert!(!tail.exists(), "the run is complete");
    let again = Timelines::in_folder(folder.path()).expect("is made");
    assert_eq!(entries(&look(&again, Some(Time(800_000_000_000)))), expected(0..12));
}

#[test]
fn a_flipped_bit_is_an_error_and_no_other_row() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let timelines = Timelines::in_folder(folder.path()).expect("is made");
    timelines.begin(RUN, Time(1_000_000), &job());
    fill(&timelines, 0..8_192);
    timelines.finish(RUN, Time(800_000_000_000));
    drop(timelines);
    let rows = file::rows_path(folder.path(), RUN);
    let mut bytes = std::fs::read(&rows).expect("is there");
    bytes[30_000] ^= 4;
    std::fs::write(&rows, &bytes).expect("is written");
    let again = Timelines::in_folder(folder.path()).expect("is made");
    let view = look(&again, Some(Time(800_000_000_000)));
    let read = view.rows_from(0, |_, _| ControlFlow::Continue(()));
    assert!(read.is_err());
}

#[test]
fn a_forgotten_run_leaves_no_file_and_unknown_files_go_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let timelines = Timelines::in_folder(folder.path()).expect("is made");
    for run in [RUN, RunId(8)] {
        timelines.begin(run, Time(1_000_000), &job());
        timelines.append(run, entry(1), None);
        timelines.finish(run, Time(2_000_000_000));
    }
    timelines.forget(RUN);
    drop(timelines);
    let names = || {
        let entries = std::fs::read_dir(folder.path()).expect("is there");
        entries
            .map(|entry| entry.expect("is there").file_name().into_string().expect("is text"))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(), ["r8.rows"]);
    let again = Timelines::in_folder(folder.path()).expect("is made");
    again.resume(std::iter::empty(), std::iter::empty());
    assert_eq!(names(), Vec::<String>::new());
}

#[test]
fn an_attempt_takes_less_than_24_bytes_on_the_disk() {
    for shape in [Shape::DepthFirst, Shape::BreadthFirst] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let timelines = Timelines::in_folder(folder.path()).expect("is made");
        let fixture = Fixture::new(RUN, 100_000, shape, Story::Plain);
        fixture.play(&timelines);
        drop(timelines);
        let bytes = std::fs::metadata(file::rows_path(folder.path(), RUN))
            .expect("is there")
            .len();
        assert!(bytes < 24 * 100_000, "{shape:?}: {bytes} bytes");
    }
}

#[test]
fn rows_beyond_the_bound_spill_and_are_read_back() {
    let rows = 100_000;
    let bound = 300_000;
    let timelines = Timelines::start(None, bound);
    let fixture = Fixture::new(RUN, rows, Shape::DepthFirst, Story::Plain);
    let summary = fixture.play(&timelines);
    let known = Known {
        accepted: fixture.accepted,
        ended: summary.ended,
        ..known(None)
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let view = loop {
        let view = timelines.view(&known, &Outlook::default()).expect("is there");
        let resident: usize = view.chunks.iter().map(|chunk| chunk.resident()).sum();
        if view.tail.is_empty() && resident <= bound {
            break view;
        }
        assert!(std::time::Instant::now() < deadline, "{resident} bytes are in memory");
        std::thread::yield_now();
    };
    assert!(
        view.chunks.iter().any(|chunk| chunk.resident() == 0),
        "nothing had to spill"
    );
    let mut seen = 0;
    view.rows_from(0, |id, _| {
        assert_eq!(id, seen);
        seen += 1;
        ControlFlow::Continue(())
    })
    .expect("can be read");
    assert_eq!((seen, view.rows, view.dropped), (rows, rows, 0));
}

#[test]
fn running_attempts_have_numbers_of_their_own() {
    let timelines = Timelines::in_memory();
    timelines.begin(RUN, Time(1_000_000), &job());
    fill(&timelines, 0..10);
    let lease = common::ids::LeaseId {
        generation: Generation(1),
        sequence: 3,
    };
    let running = TimelineEntry {
        state: TaskState::Running,
        finished: None,
        moved: Moved::default(),
        ..entry(10)
    };
    let outlook = Outlook {
        running: vec![(lease, running.clone())],
        oldest_waiting: None,
    };
    let view = timelines.view(&known(None), &outlook).expect("is there");
    assert_eq!(view.tasks(), 11);
    assert_eq!(entries(&view).last(), Some(&running));
}

fn line(number: u64, level: common::logs::LogLevel) -> KeptLine {
    KeptLine {
        worker: WorkerName::new("w1").ok(),
        line: common::logs::LogLine {
            at: Time(2_000_000 + number),
            level,
            op: OpId((number % 4) as u16),
            batch: Some(BatchId::whole(number / 4)),
            attempt: Attempt::FIRST,
            text: format!("line {number}"),
        },
    }
}

#[test]
fn what_tasks_logged_is_there_again_after_a_restart_and_can_be_searched_page_by_page() {
    use common::logs::LogLevel;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let timelines = Timelines::in_folder(folder.path()).expect("is made");
    timelines.begin(RUN, Time(1_000_000), &job());
    let level = |number: u64| {
        if number % 100 == 3 {
            LogLevel::Warn
        } else {
            LogLevel::Info
        }
    };
    timelines.log(RUN, (0..1_500).map(|number| line(number, level(number))).collect(), 0);
    let failure = Failure::new(FailureKind::Permanent, "status 503 from host");
    timelines.append(RUN, failed(77), Some(failure));
    timelines.log(RUN, vec![line(1_500, LogLevel::Info)], 9);
    drop(timelines);
    let again = Timelines::in_folder(folder.path()).expect("is made");
    again.resume([(RUN, Time(1_000_000), &job())].into_iter(), std::iter::empty());
    again.log(RUN, vec![line(1_501, LogLevel::Info)], 0);
    let log = again.logs(&known(None)).expect("can be read");
    let mut from = 0;
    let mut numbers = Vec::new();
    let dropped = loop {
        let page = log.read(&LogFilter::default(), from, 400).expect("can be read");
        numbers.extend(page.lines.iter().map(|(number, _)| *number));
        from = page.next;
        if page.end == LogEnd::Reached {
            break page.dropped;
        }
    };
    assert_eq!(numbers, (0..1_503).collect::<Vec<_>>());
    assert_eq!(dropped, 9);
    let texts = |filter: LogFilter| {
        let page = log.read(&filter, 0, 1_000).expect("can be read");
        page.lines
            .into_iter()
            .map(|(_, kept)| kept.line.text)
            .collect::<Vec<_>>()
    };
    let errors = LogFilter {
        level: Some(LogLevel::Error),
        ..LogFilter::default()
    };
    assert_eq!(texts(errors), ["status 503 from host"]);
    let warnings = LogFilter {
        level: Some(LogLevel::Warn),
        op: Some(OpId(3)),
        text: Some("03".to_owned()),
        ..LogFilter::default()
    };
    assert_eq!(texts(warnings).len(), 14);
    let of_batch = LogFilter {
        batch: Some(BatchId::whole(12)),
        ..LogFilter::default()
    };
    assert_eq!(texts(of_batch), ["line 48", "line 49", "line 50", "line 51"]);
}

#[test]
fn lines_beyond_what_a_run_may_keep_are_counted() {
    let timelines = Timelines::in_memory();
    timelines.begin(RUN, Time(1_000_000), &job());
    let mut long = line(0, common::logs::LogLevel::Info);
    long.line.text = "x".repeat(4_000);
    // More than may wait to be written, before anybody can write it.
    timelines.log(RUN, vec![long; 2_000], 0);
    let log = timelines.logs(&known(None)).expect("is there");
    assert!(
        log.dropped > 900 && log.next() + log.dropped == 2_000,
        "{} dropped",
        log.dropped
    );
}

#[test]
fn a_run_that_is_reopened_goes_on_behind_its_rows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let timelines = Timelines::in_folder(folder.path()).expect("is made");
    timelines.begin(RUN, Time(1_000_000), &job());
    fill(&timelines, 0..50);
    timelines.finish(RUN, Time(700_000_000));
    drop(timelines);
    let again = Timelines::in_folder(folder.path()).expect("is made");
    again.reopen(&known(None), &job());
    fill(&again, 50..80);
    again.finish(RUN, Time(800_000_000));
    drop(again);
    let last = Timelines::in_folder(folder.path()).expect("is made");
    let view = look(&last, Some(Time(800_000_000)));
    assert_eq!(entries(&view), expected(0..80));
    assert_eq!(view.restarts, 0);
}
