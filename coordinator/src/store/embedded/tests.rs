//! The journal on real files: what is there after a crash, a torn write, a flipped bit, and what is given back.

mod any_records;
mod batches;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use common::counts::RowCounts;
use common::done::{DoneOp, OpDone};
use common::failure::Failure;
use common::ids::{Attempt, LeaseId, OpId, SessionId, WorkerName};
use common::job::{Batching, Job, LimitsChange, OpKind, Sink};
use common::slice::{ByteSlice, FileId, FrozenSource, Slice, SourceFile};
use common::steering::{Activity, Asker, RunCommand};
use common::time::Time;
use proptest::prelude::*;
use scheduler::{Checkpoint, Ending, FailedBatch, Finishing, HighMarks, Origin, Record, Rerun, Tolerance, UsedUp};

use super::group::SNAPSHOT_EVERY;
use super::tables::{FORMAT, FORMAT_ROW, META};
use super::*;
use crate::testing::{self, ended_summary};

const PATIENCE: Duration = Duration::from_secs(60);

fn job() -> Arc<Job> {
    Arc::new(Job {
        batching: Batching::Bounded {
            rows: None,
            bytes: NonZeroU64::new(1_000).expect("is not zero"),
        },
        labels: BTreeMap::from([("team".to_owned(), "data".to_owned())]),
        seed: Some(7),
        ..testing::job("first", [("load", OpKind::Write(Sink::Discard))])
    })
}

fn accepted(run: u64) -> Record {
    Record::RunAccepted {
        run: RunId(run),
        job: job(),
        source: Arc::new(FrozenSource {
            files: vec![SourceFile {
                path: "/in.csv".to_owned(),
                bytes: 100,
                etag: "1-2-3".to_owned(),
                data_start: 5,
            }],
            columns: vec!["a".to_owned()],
        }),
        seed: 7,
        request_id: Some(format!("request {run}")),
        rerun: Some(Box::new(Rerun {
            of: RunId(0),
            from: "load".to_owned(),
            behind: OpId(0),
            origins: vec![Origin {
                run: RunId(0),
                up_to: OpId(0),
            }],
            kept: 3,
            gone: 1,
            by: Asker::Grpc,
        })),
        at: Time(1),
    }
}

fn part(batch: u64) -> Part {
    Part {
        op: OpId(1),
        file: format!("/out/.plumbline/r1/load/w1-{batch}.part"),
        offset: batch,
        length: 10,
        checksum: 3,
        rows: 1,
    }
}

fn checkpointed(run: u64, batch: u64) -> Record {
    let done = |op| DoneOp {
        op: OpId(op),
        did: OpDone {
            rows_in: 2,
            rows_out: 1,
            parts: vec![part(batch)],
            ..OpDone::default()
        },
    };
    Record::BatchCheckpointed {
        run: RunId(run),
        batch: BatchId::whole(batch),
        lease: LeaseId {
            generation: Generation(1),
            sequence: batch + 1,
        },
        ran: 2,
        checkpoint: Box::new(Checkpoint {
            part: part(batch),
            done: vec![done(0), done(1)],
        }),
    }
}

fn committed(run: u64, batch: u64) -> Record {
    committed_with(run, batch, vec![part(batch)])
}

fn committed_with(run: u64, batch: u64, parts: Vec<Part>) -> Record {
    Record::BatchCommitted {
        run: RunId(run),
        batch: BatchId::whole(batch),
        lease: LeaseId {
            generation: Generation(1),
            sequence: batch + 1,
        },
        rows: RowCounts {
            read: 1,
            loaded: 1,
            ..RowCounts::default()
        },
        parts,
        ran: 3,
        at: Time(batch + 2),
    }
}

fn ended(run: u64) -> Record {
    let mut summary = ended_summary(RunId(run));
    summary.ended = Some(Time(99));
    Record::RunEnded {
        summary: Arc::new(summary),
        used: UsedUp::default(),
    }
}

fn numbered(first: u64, records: impl IntoIterator<Item = Record>) -> Vec<Entry> {
    let numbers = (first..).map(RecordSequence);
    let entries = numbers.zip(records);
    entries.map(|(sequence, record)| Entry { sequence, record }).collect()
}

fn ledger_of(entries: &[Entry]) -> Ledger {
    let mut ledger = Ledger::default();
    for entry in entries {
        ledger.apply(entry.sequence, &entry.record);
    }
    ledger
}

fn open(folder: &Path) -> EmbeddedJournal {
    EmbeddedJournal::open(folder, Generation(1)).expect("opens")
}

/// Appends, and waits until it is durable.
fn append(journal: &mut EmbeddedJournal, entries: Vec<Entry>) {
    let last = journal.append(entries).expect("takes them");
    wait_for(journal, last);
}

fn wait_for(journal: &EmbeddedJournal, last: RecordSequence) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while *journal.durability().borrow() != Durability::UpTo(last) {
        assert!(std::time::Instant::now() < deadline, "is not durable in time");
        std::thread::yield_now();
    }
}

/// What a killed process would leave now.
fn image(folder: &Path) -> Vec<u8> {
    std::fs::read(EmbeddedJournal::path_in(folder)).expect("can be read")
}

fn open_image(bytes: &[u8]) -> Result<Ledger, JournalError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(EmbeddedJournal::path_in(folder.path()), bytes).expect("can be written");
    Ok(EmbeddedJournal::open(folder.path(), Generation(2))?.recover())
}

#[test]
fn what_is_durable_is_there_after_a_kill_and_after_a_clean_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut journal = open(folder.path());
    let entries = numbered(
        1,
        [accepted(1), committed(1, 0), committed(1, 2), accepted(2), ended(2)],
    );
    append(&mut journal, entries.clone());
    assert_eq!(open_image(&image(folder.path())).ok(), Some(ledger_of(&entries)));
    drop(journal);
    let mut again = open(folder.path());
    assert_eq!(again.recover(), ledger_of(&entries));
    let more = numbered(6, [committed(1, 1), ended(1)]);
    append(&mut again, more.clone());
    drop(again);
    assert_eq!(open(folder.path()).recover(), ledger_of(&[entries, more].concat()));
}

#[test]
fn what_was_appended_is_written_when_the_journal_is_dropped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut journal = open(folder.path());
    let entries = numbered(1, [accepted(1), committed(1, 0)]);
    journal.append(entries.clone()).expect("takes them");
    drop(journal);
    assert_eq!(open(folder.path()).recover(), ledger_of(&entries));
}

#[test]
fn a_gap_is_refused_also_behind_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut journal = open(folder.path());
    append(&mut journal, numbered(1, [accepted(1)]));
    drop(journal);
    let mut again = open(folder.path());
    let gap = again.append(numbered(3, [committed(1, 0)]));
    assert!(matches!(gap, Err(JournalError::Gap { .. })));
}

#[test]
fn a_group_torn_anywhere_is_there_as_a_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut journal = open(folder.path());
    let first = numbered(1, [accepted(1), committed(1, 0)]);
    append(&mut journal, first.clone());
    let before = image(folder.path());
    let second = numbered(3, [committed(1, 1), committed(1, 2)]);
    append(&mut journal, second.clone());
    let mut after = image(folder.path());
    after.resize(after.len().max(before.len()), 0);
    let (old, new) = (ledger_of(&first), ledger_of(&[first, second].concat()));
    let mut base = before;
    base.resize(after.len(), 0);
    let changed: Vec<usize> = (0..after.len()).filter(|&at| base[at] != after[at]).collect();
    // Written from the front up to any byte, and from the back: pages reach a disk in any order.
    let spread = changed.len() / 20;
    for cut in 0..changed.len() {
        // Every byte at both ends, where the header and the last page are; some between.
        if cut % spread != 0 && cut > 20 && cut + 20 < changed.len() {
            continue;
        }
        for is_written in [&changed[..cut], &changed[cut..]] {
            let mut torn = base.clone();
            for &at in is_written {
                torn[at] = after[at];
            }
            let found = open_image(&torn).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            assert!(found == old || found == new, "cut at {cut} gives something else");
        }
    }
}

#[test]
fn a_flipped_bit_is_refused_or_without_effect_and_never_a_silent_loss() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut journal = open(folder.path());
    let mut entries = numbered(1, [accepted(1)]);
    append(&mut journal, entries.clone());
    for batch in 0..40 {
        let more = numbered(batch + 2, [committed(1, batch)]);
        append(&mut journal, more.clone());
        entries.extend(more);
    }
    drop(journal);
    let whole = image(folder.path());
    let ledger = ledger_of(&entries);
    let mut refused = 0;
    for step in 0..120 {
        let at = whole.len() * step / 120 + step % 61;
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (step % 8);
        match open_image(&damaged) {
            Ok(found) => assert_eq!(found, ledger, "a bit of byte {at}"),
            Err(JournalError::Damaged { .. }) => refused += 1,
            Err(other) => panic!("a bit of byte {at}: {other}"),
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_journal_of_a_newer_program_is_refused_and_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    drop(open(folder.path()));
    let database = Database::create(EmbeddedJournal::path_in(folder.path())).expect("opens");
    let write = database.begin_write().expect("begins");
    let mut meta = write.open_table(META).expect("opens");
    meta.insert(FORMAT_ROW, FORMAT + 1).expect("inserts");
    drop(meta);
    write.commit().expect("commits");
    drop(database);
    let refused = EmbeddedJournal::open(folder.path(), Generation(2)).err();
    let message = refused.map(|error| error.to_string()).unwrap_or_default();
    let (newer, known) = (FORMAT + 1, FORMAT);
    let wanted = format!("has format {newer}, this program knows {known}");
    assert!(message.contains(&wanted), "{message}");
}

#[test]
fn a_journal_of_an_older_program_is_refused_and_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    drop(open(folder.path()));
    let database = Database::create(EmbeddedJournal::path_in(folder.path())).expect("opens");
    let write = database.begin_write().expect("begins");
    let mut meta = write.open_table(META).expect("opens");
    meta.insert(FORMAT_ROW, FORMAT - 1).expect("inserts");
    drop(meta);
    write.commit().expect("commits");
    drop(database);
    let refused = EmbeddedJournal::open(folder.path(), Generation(2)).err();
    assert!(matches!(refused, Some(JournalError::Older { found, .. }) if found == FORMAT - 1));
}

#[test]
fn a_file_that_is_no_journal_is_refused() {
    assert!(matches!(open_image(&[7; 10_000]), Err(JournalError::Damaged { .. })));
}

#[test]
fn a_second_opener_of_the_file_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let _first = open(folder.path());
    assert!(EmbeddedJournal::open(folder.path(), Generation(2)).is_err());
}

#[test]
fn a_forgotten_run_is_gone_after_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut journal = open(folder.path());
    append(&mut journal, numbered(1, [accepted(1), ended(1)]));
    drop(journal);
    let mut again = open(folder.path());
    assert_eq!(again.recover().ended.len(), 1);
    again.forget(RunId(1));
    drop(again);
    let ledger = open(folder.path()).recover();
    assert_eq!((ledger.ended.len(), ledger.last_run), (0, RunId(1)));
}

#[test]
fn a_long_run_leaves_a_small_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut journal = open(folder.path());
    let batches = 3 * SNAPSHOT_EVERY;
    append(&mut journal, numbered(1, [accepted(1)]));
    for group in 0..batches / 1_000 {
        let first = group * 1_000;
        let records = (first..first + 1_000).map(|batch| committed(1, batch));
        journal.append(numbered(first + 2, records)).expect("takes them");
    }
    let last = RecordSequence(batches + 1);
    wait_for(&journal, last);
    let ledger = open_image(&image(folder.path())).expect("opens");
    assert_eq!(ledger.runs[&RunId(1)].committed_count, batches);
    append(&mut journal, numbered(batches + 2, [ended(1)]));
    drop(journal);
    let bytes = image(folder.path()).len();
    assert!(bytes < 16 << 20, "{bytes} bytes");
    assert_eq!(open(folder.path()).recover().ended.len(), 1);
}
