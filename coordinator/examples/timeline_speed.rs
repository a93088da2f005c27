//! Measures what an attempt costs the coordinator: `cargo run --release -p coordinator --example timeline_speed -- 2000000`.
//!
//! Tells timelines of so many attempts, 4 ops a batch, with commits, as the driver does; prints nanoseconds of processor time an
//! attempt on the driver's side and on the timelines' own thread, bytes on the disk, and how long a restart reads.
//! Instructions: `valgrind --tool=callgrind --toggle-collect='*Timelines*append*' target/release/examples/timeline_speed 200000`.

#![expect(clippy::print_stdout, reason = "a measurement prints what it found")]

use std::fs;
use std::time::{Duration, Instant};

use common::ids::{Attempt, BatchId, OpId, RunId, WorkerName};
use common::state::TaskState;
use common::time::Time;
use common::timeline::{Moved, TimelineEntry};
use coordinator::chart::fixture::{Fixture, Shape, Story};
use coordinator::timeline::{Known, Timelines};

const RUN: RunId = RunId(1);
/// How many attempts are told between two moments in which the timelines' thread may catch up.
const PIECE: u64 = 50_000;

fn main() -> anyhow::Result<()> {
    let attempts: u64 = std::env::args().nth(1).map_or(Ok(2_000_000), |text| text.parse())?;
    let folder = std::env::temp_dir().join(format!("plumbline-timeline-speed-{}", std::process::id()));
    let measured = measure(attempts, &folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(attempts: u64, folder: &std::path::Path) -> anyhow::Result<()> {
    let timelines = Timelines::in_folder(folder)?;
    let job = Fixture::new(RUN, attempts, Shape::DepthFirst, Story::Plain).job();
    timelines.begin(RUN, Time(0), &job);
    let workers: Vec<WorkerName> = (0..8)
        .map(|name| WorkerName::new(&format!("worker-{name}")))
        .collect::<Result<_, _>>()?;
    let mut told = 0;
    for piece in 0..attempts.div_ceil(PIECE) {
        let numbers = piece * PIECE..attempts.min((piece + 1) * PIECE);
        let begun = on_processor("thread-self")?;
        for number in numbers {
            timelines.append(RUN, entry(number, &workers), None);
            if number % 4 == 3 {
                timelines.commit(RUN, BatchId::whole(number / 4), Time(number * 50_000 + 90_000_000));
            }
        }
        told += on_processor("thread-self")? - begun;
        // The inbox has a bound, and the driver's rounds are not all at once.
        std::thread::sleep(Duration::from_millis(120));
    }
    timelines.finish(RUN, Time(attempts * 50_000));
    let written = written_by("timeline")?;
    drop(timelines);
    let bytes = fs::metadata(folder.join("r1.rows"))?.len();
    let peak = fs::read_to_string("/proc/self/status")?;
    let peak = peak
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default()
        .to_owned();
    let begun = Instant::now();
    let again = Timelines::in_folder(folder)?;
    let known = Known {
        run: RUN,
        accepted: Time(0),
        ops: 4,
        ended: Some(Time(attempts * 50_000)),
        now: Time(0),
    };
    let view = again.view(&known, &scheduler::Outlook::default())?;
    println!(
        "| {} attempts | told in {:.0} ns each, kept in {:.0} ns each | {:.1} bytes each, there again in {:.1?}, {peak} |",
        view.tasks(),
        told as f64 / attempts as f64,
        written as f64 / attempts as f64,
        bytes as f64 / attempts as f64,
        begun.elapsed()
    );
    Ok(())
}

fn entry(number: u64, workers: &[WorkerName]) -> TimelineEntry {
    let started = number * 50_000;
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
    TimelineEntry {
        op: OpId((number % 4) as u16),
        batch: Some(BatchId::whole(number / 4)),
        attempt: Attempt::FIRST,
        worker: workers[(number / 16 % 8) as usize].clone(),
        slot: (number / 4 % 4) as u32,
        state: TaskState::Succeeded,
        queued: Time(started.saturating_sub(spread % 700_000)),
        leased: Time(started.saturating_sub(spread % 300_000)),
        fetch_started: None,
        started: Time(started),
        finished: Some(Time(started + 800_000 + spread)),
        committed: None,
        moved: Moved {
            rows_in: 100,
            rows_out: 98 + spread % 3,
            bytes_in: 8_000 + spread % 900,
            bytes_out: 9_000 + spread % 1_100,
        },
    }
}

/// Returns the nanoseconds that a thread has used.
fn on_processor(thread: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{thread}/schedstat"))?;
    Ok(text.split(' ').next().unwrap_or("0").parse()?)
}

/// Returns the nanoseconds that the threads of a name have used.
fn written_by(name: &str) -> anyhow::Result<u64> {
    let mut used = 0;
    for entry in fs::read_dir("/proc/self/task")? {
        let entry = entry?;
        if fs::read_to_string(entry.path().join("comm"))?.trim() == name {
            used += on_processor(&format!("self/task/{}", entry.file_name().to_string_lossy()))?;
        }
    }
    Ok(used)
}
