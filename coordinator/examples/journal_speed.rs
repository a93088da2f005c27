//! Measures the embedded journal on this disk: durable records a second by the size of their groups, and then a run of
//! many batches: how long it takes to write, to open again as a kill leaves it, to end, and how large the file is.
//!
//! `cargo run --release -p coordinator --example journal_speed -- [BATCHES] [FOLDER]`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use common::counts::{BatchCounts, RowCounts, TaskCounts};
use common::ids::{BatchId, Generation, LeaseId, OpId, RunId};
use common::job::{Batching, CsvDialect, FailurePolicy, Job, Op, OpKind, Schedule, Sink, Source};
use common::part::Part;
use common::state::RunState;
use common::summary::{Gauge, Progress, RunSummary};
use common::time::Time;
use coordinator::store::{Durability, EmbeddedJournal, Entry, Journal};
use scheduler::{Record, RecordSequence, UsedUp};

const RUN: RunId = RunId(1);

struct Writer {
    journal: EmbeddedJournal,
    next: u64,
}

impl Writer {
    fn append(&mut self, records: impl Iterator<Item = Record>) -> anyhow::Result<()> {
        let entries = records.map(|record| {
            let sequence = RecordSequence(self.next);
            self.next += 1;
            Entry { sequence, record }
        });
        let entries = entries.collect();
        let last = self.journal.append(entries)?;
        let durability = self.journal.durability();
        loop {
            match &*durability.borrow() {
                Durability::UpTo(durable) if *durable >= last => return Ok(()),
                Durability::UpTo(_) => {}
                failed @ (Durability::Fenced { .. } | Durability::Failed { .. }) => anyhow::bail!("{failed:?}"),
            }
            std::thread::yield_now();
        }
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let batches: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    for (group, count) in [(1, 1_000), (100, 50_000), (1_000, 200_000)] {
        let place = folder.path().join(format!("groups-{group}"));
        std::fs::create_dir(&place)?;
        let (took, _) = write(&place, group, count)?;
        say(&format!("groups of {group}: {:.0} records/s", count as f64 / took));
    }
    let place = folder.path().join("run");
    std::fs::create_dir(&place)?;
    let (took, mut writer) = write(&place, 1_000, batches)?;
    say(&format!("{batches} batches: {took:.1} s, {} MiB", mebibytes(&place)?));

    let killed = folder.path().join("killed");
    std::fs::create_dir(&killed)?;
    std::fs::copy(file(&place), file(&killed))?;
    let begun = Instant::now();
    let found = EmbeddedJournal::open(&killed, Generation(2))?.recover();
    let committed = found.runs.get(&RUN).map_or(0, |run| run.committed_count);
    say(&format!(
        "opened after a kill: {:.2?}, {committed} batches",
        begun.elapsed()
    ));

    let begun = Instant::now();
    writer.append(std::iter::once(Record::RunEnded {
        summary: summary(),
        used: UsedUp::default(),
    }))?;
    say(&format!("the run's end is durable: {:.2?}", begun.elapsed()));
    drop(writer);
    say(&format!(
        "closed and compacted: {:.2?}, {} MiB",
        begun.elapsed(),
        mebibytes(&place)?
    ));
    Ok(())
}

fn write(folder: &Path, group: u64, count: u64) -> anyhow::Result<(f64, Writer)> {
    let journal = EmbeddedJournal::open(folder, Generation(1))?;
    let mut writer = Writer { journal, next: 1 };
    writer.append(std::iter::once(accepted()))?;
    let begun = Instant::now();
    for first in (0..count).step_by(usize::try_from(group)?) {
        writer.append((first..first + group).map(committed))?;
    }
    Ok((begun.elapsed().as_secs_f64(), writer))
}

fn file(folder: &Path) -> PathBuf {
    EmbeddedJournal::path_in(folder)
}

fn mebibytes(folder: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(file(folder))?.len() >> 20)
}

#[expect(clippy::print_stdout, reason = "an example prints what it measured")]
fn say(line: &str) {
    println!("{line}");
}

fn accepted() -> Record {
    let job = Job {
        name: "speed".to_owned(),
        source: Source {
            uris: vec!["/in.csv".to_owned()],
            csv: CsvDialect::default(),
        },
        batching: Batching::default(),
        schedule: Schedule::default(),
        ops: vec![Op::extract(), Op::new("load", OpKind::Write(Sink::Discard))],
        failure: FailurePolicy::default(),
        deadline: None,
        labels: BTreeMap::new(),
        seed: None,
        checkpoint_uri: None,
    };
    Record::RunAccepted {
        run: RUN,
        job: Arc::new(job),
        source: Arc::default(),
        seed: 7,
        rerun: None,
        request_id: None,
        at: Time(1),
    }
}

fn committed(batch: u64) -> Record {
    Record::BatchCommitted {
        run: RUN,
        batch: BatchId::whole(batch),
        lease: LeaseId {
            generation: Generation(1),
            sequence: batch + 1,
        },
        rows: RowCounts {
            read: 100,
            loaded: 100,
            ..RowCounts::default()
        },
        parts: vec![Part {
            op: OpId(1),
            // As file sinks name them; leases end in about the order in which they were granted.
            file: format!(
                "/data/out/.customers.csv.plumbline-r1/part-{batch:06}-l1.{}.csv",
                batch + 1
            ),
            offset: 0,
            length: 12_000,
            checksum: (batch as u32).wrapping_mul(0x9e37_79b1),
            rows: 100,
        }],
        ran: 4,
        at: Time(batch + 2),
    }
}

fn summary() -> Arc<RunSummary> {
    Arc::new(RunSummary {
        run: RUN,
        job: "speed".to_owned(),
        state: RunState::Succeeded,
        accepted: Time(1),
        ended: Some(Time(2)),
        first_batch_loaded: None,
        batches_in_flight: Gauge::default(),
        committing: Gauge::default(),
        bytes_in_flight: Gauge::default(),
        tasks_running: Gauge::default(),
        max_in_flight: None,
        cap: 1,
        batches: BatchCounts::default(),
        total_is_exact: true,
        source_bytes: Progress::default(),
        tasks: TaskCounts::default(),
        rows: RowCounts::default(),
        failure: None,
        stalled: None,
    })
}
