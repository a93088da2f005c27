//! The journal on real files: what is there after a crash, a torn write, a flipped bit, and what is given back.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use common::counts::RowCounts;
use common::failure::Failure;
use common::holdings::DoneOp;
use common::ids::{Attempt, LeaseId, OpId, SessionId, WorkerName};
use common::job::{Batching, CsvDialect, FailurePolicy, Job, Op, OpKind, Schedule, Sink, Source};
use common::message::OpDone;
use common::slice::{ByteSlice, FileId, FrozenSource, Slice, SourceFile};
use common::steering::{Activity, Asker, RunCommand};
use common::time::Time;
use proptest::prelude::*;
use scheduler::{Checkpoint, FailedBatch, Origin, Record, Rerun, Tolerance, UsedUp};

use super::group::SNAPSHOT_EVERY;
use super::tables::{FORMAT, FORMAT_ROW, META};
use super::*;
use crate::testing::ended_summary;

const PATIENCE: Duration = Duration::from_secs(60);

fn job() -> Arc<Job> {
    Arc::new(Job {
        name: "first".to_owned(),
        source: Source {
            uris: vec!["/in.csv".to_owned()],
            csv: CsvDialect::default(),
        },
        batching: Batching::Bounded {
            rows: None,
            bytes: NonZeroU64::new(1_000).expect("is not zero"),
        },
        schedule: Schedule::default(),
        ops: vec![Op::extract(), Op::new("load", OpKind::Write(Sink::Discard))],
        failure: FailurePolicy::default(),
        deadline: None,
        labels: BTreeMap::from([("team".to_owned(), "data".to_owned())]),
        seed: Some(7),
        checkpoint_uri: None,
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
fn parts_are_read_in_pages_in_the_order_of_the_source_until_their_run_ends() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut journal = open(folder.path());
    let archive = journal.archive();
    let mut records = vec![accepted(1), accepted(2), committed(2, 4)];
    records.extend([5, 2, 9, 3].map(|batch| committed(1, batch)));
    append(&mut journal, numbered(1, records));
    let page = |after: Option<u64>| {
        let page = archive
            .parts_page(RunId(1), after.map(BatchId::whole), 3)
            .expect("is read");
        page.iter().map(|(batch, _)| batch.index).collect::<Vec<_>>()
    };
    assert_eq!(page(None), [2, 3, 5]);
    assert_eq!(page(Some(5)), [9]);
    assert_eq!(page(Some(9)), Vec::<u64>::new());
    let found = archive.parts_page(RunId(1), None, 1).expect("is read");
    assert_eq!(found, [(BatchId::whole(2), vec![part(2)])]);
    append(&mut journal, numbered(8, [ended(1)]));
    assert_eq!(page(None), Vec::<u64>::new());
    assert_eq!(archive.parts_page(RunId(2), None, 9).map(|page| page.len()), Ok(1));
}

/// Commits batches out of order, with names as file sinks make them.
fn commit_many(journal: &mut EmbeddedJournal, batches: u64) {
    append(journal, numbered(1, [accepted(1)]));
    for first in (0..batches).step_by(1_000) {
        let records = (first..batches.min(first + 1_000)).map(|place| {
            let batch = place ^ 3;
            committed_with(1, batch, vec![named_part(batch)])
        });
        let entries = numbered(first + 2, records);
        journal.append(entries).expect("takes them");
    }
    wait_for(journal, RecordSequence(batches + 1));
}

fn named_part(batch: u64) -> Part {
    let lease = batch * 2 + batch % 5;
    Part {
        file: format!("/data/customers/out/.all.csv.plumbline-r1/part-{batch:06}-l1.{lease}.csv"),
        length: 12_000 + batch % 97,
        checksum: u32::try_from(batch * 2_654_435_761 % (1 << 32)).expect("fits"),
        ..part(batch)
    }
}

fn all_parts(journal: &EmbeddedJournal) -> Vec<(BatchId, Vec<Part>)> {
    let mut all: Vec<(BatchId, Vec<Part>)> = Vec::new();
    loop {
        let after = all.last().map(|(batch, _)| *batch);
        let page = journal.archive().parts_page(RunId(1), after, 700).expect("is read");
        assert!(page.len() <= 700);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

#[test]
fn parts_are_the_same_before_and_behind_a_snapshot_and_after_a_kill() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut journal = open(folder.path());
    // One snapshot, and records behind it; the last block is begun before the snapshot and goes on after it.
    let batches = SNAPSHOT_EVERY + 500;
    commit_many(&mut journal, batches);
    let expected: Vec<(BatchId, Vec<Part>)> = (0..batches)
        .map(|batch| (BatchId::whole(batch), vec![named_part(batch)]))
        .collect();
    assert!(all_parts(&journal) == expected);
    let killed = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(EmbeddedJournal::path_in(killed.path()), image(folder.path())).expect("can be written");
    let mut again = open(killed.path());
    assert!(all_parts(&again) == expected);
    again.recover();
    append(&mut again, numbered(batches + 2, [ended(1)]));
    assert!(all_parts(&again).is_empty());
}

#[test]
fn the_file_of_a_run_that_goes_on_grows_by_some_bytes_a_part() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut journal = open(folder.path());
    let batches = 6 * SNAPSHOT_EVERY;
    commit_many(&mut journal, batches);
    let read = journal
        .archive
        .database
        .read()
        .expect("nobody panicked")
        .begin_read()
        .expect("begins");
    let name = parts_name(RunId(1));
    let table = read.open_table(blocks_table(&name)).expect("is there");
    let stored: usize = table
        .range(0..)
        .expect("is read")
        .map(|row| row.expect("is read").1.value().len())
        .sum();
    assert!((stored as u64) < 20 * batches, "{stored} bytes");
}

fn made(op: u16, batch: u64, lease: u64) -> Record {
    let folder = format!("/data/kept/.plumbline-r1-0000000000000007/op-{op}/{:06}", batch / 256);
    let id = LeaseId {
        generation: Generation(1),
        sequence: lease,
    };
    Record::BatchCheckpointed {
        run: RunId(1),
        batch: BatchId::whole(batch),
        lease: id,
        checkpoint: Box::new(Checkpoint {
            part: Part {
                op: OpId(op),
                file: format!("{folder}/{batch}-{id}.arrow"),
                length: 12_000 + batch % 97,
                ..part(batch)
            },
            done: Vec::new(),
        }),
    }
}

#[test]
fn the_last_word_on_every_checkpoint_is_kept_over_snapshots_and_kills_until_the_run_is_forgotten() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut journal = open(folder.path());
    let mut records = vec![accepted(1)];
    let batches = SNAPSHOT_EVERY / 2 + 300;
    records.extend((0..batches).flat_map(|batch| [made(0, batch, batch), made(1, batch, 2 * batch)]));
    let lost = |batch, op| Record::CheckpointLost {
        run: RunId(1),
        batch: BatchId::whole(batch),
        op: OpId(op),
    };
    // Of batches whose checkpoints are in a snapshot, and of the last, whose are behind it.
    records.extend([
        lost(2, 1),
        lost(3, 1),
        made(1, 3, 9),
        lost(batches - 1, 1),
        lost(batches - 1, 0),
    ]);
    let first = numbered(1, records);
    let count = first.len() as u64;
    for group in first.chunks(1_000) {
        journal.append(group.to_vec()).expect("takes them");
    }
    wait_for(&journal, RecordSequence(count));
    let killed = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(EmbeddedJournal::path_in(killed.path()), image(folder.path())).expect("can be written");
    let mut again = open(killed.path());
    again.recover();
    append(&mut again, numbered(count + 1, [ended(1)]));
    let page = |from, limit| {
        let page = again
            .archive()
            .checkpoints_page(RunId(1), from, limit)
            .expect("is read");
        let brief = |made: &Checkpoint| {
            (
                made.op().0,
                made.part.file.rsplit_once('/').expect("a file").1.to_owned(),
            )
        };
        page.iter()
            .map(|(batch, made)| (*batch, made.iter().map(brief).collect::<Vec<_>>()))
            .collect::<Vec<_>>()
    };
    let of = |op: u16, name: &str| (op, name.to_owned());
    assert_eq!(
        page(1, 3),
        [
            (1, vec![of(0, "1-l1.1.arrow"), of(1, "1-l1.2.arrow")]),
            (2, vec![of(0, "2-l1.2.arrow")]),
            (3, vec![of(0, "3-l1.3.arrow"), of(1, "3-l1.9.arrow")]),
        ]
    );
    assert_eq!(page(0, usize::MAX).len() as u64, batches - 1);
    assert_eq!(page(batches - 1, 5), []);
    again.forget(RunId(1));
    append(&mut again, numbered(count + 2, [accepted(2)]));
    assert_eq!(
        again.archive().checkpoints_page(RunId(1), 0, 5).map(|page| page.len()),
        Ok(0)
    );
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

/// Stored types may not change without a new format: these bytes are what the format makes of the sample.
#[test]
fn the_stored_form_of_a_record_is_that_of_its_format() {
    let records = [accepted(1), checkpointed(1, 7), committed(1, 7), ended(1)];
    let stored = codec::encode(&records);
    // With its own checksum behind them, any bytes have the same one.
    let (value, _) = stored.split_last_chunk::<4>().expect("has a checksum");
    assert_eq!(
        (FORMAT, crc32fast::hash(value)),
        (6, 1_924_329_777),
        "raise FORMAT when a stored type changes"
    );
}

fn retried() -> Activity {
    Activity {
        at: Time(5),
        by: Asker::Web,
        command: RunCommand::RetryFailed { batches: 1 },
    }
}

fn failed_batch() -> FailedBatch {
    FailedBatch {
        op: OpId(1),
        failure: Failure::permanent("broken"),
        slice: Slice::Bytes(ByteSlice {
            file: FileId(0),
            start: 10,
            end: 20,
            first_line: 3,
            first_row: None,
            rows: None,
            rows_before: 0,
        }),
        rows: RowCounts::default(),
        attempts: BTreeMap::from([(OpId(1), 3)]),
        crashes: 0,
        row: None,
    }
}

fn record() -> impl Strategy<Value = Record> {
    let run = 1..4_u64;
    let session = |sequence| SessionId {
        generation: Generation(1),
        sequence,
    };
    prop_oneof![
        run.clone().prop_map(accepted),
        (run.clone(), 0..30_u64).prop_map(|(run, batch)| committed(run, batch)),
        (run.clone(), 0..30_u64).prop_map(|(run, batch)| Record::AttemptFailed {
            run: RunId(run),
            batch: (batch > 0).then(|| BatchId::whole(batch)),
            op: OpId(1),
            attempt: Attempt(batch as u32 + 1),
        }),
        (run.clone(), 0..30_u64).prop_map(|(run, batch)| Record::BatchFailed {
            run: RunId(run),
            batch: BatchId::whole(batch),
            failed: Box::new(failed_batch()),
            tolerance: Tolerance::Exceeded,
        }),
        (run.clone(), 0..30_u64).prop_map(|(run, batch)| Record::BatchHalved {
            run: RunId(run),
            batch: BatchId::whole(batch),
            first: failed_batch().slice,
            second: failed_batch().slice,
        }),
        (run.clone(), 0..30_u64).prop_map(|(run, batch)| checkpointed(run, batch)),
        (run.clone(), 0..30_u64).prop_map(|(run, batch)| Record::CheckpointLost {
            run: RunId(run),
            batch: BatchId::whole(batch),
            op: OpId(1),
        }),
        (run.clone(), 0..30_u64).prop_map(|(run, batch)| Record::FailedRetried {
            run: RunId(run),
            batches: vec![BatchId::whole(batch)],
            activity: retried(),
        }),
        run.clone().prop_map(|run| Record::RunReopened {
            run: RunId(run),
            ledger: Box::new(ledger_of(&numbered(1, [accepted(run)])).runs[&RunId(run)].clone()),
            batches: Vec::new(),
            activity: retried(),
        }),
        (1..5_u64).prop_map(move |sequence| Record::SessionOpened {
            session: session(sequence),
            worker: WorkerName::new("w1").expect("a name"),
            instance: "boot/1".to_owned(),
            slots: 2,
        }),
        (1..5_u64).prop_map(move |sequence| Record::SessionClosed {
            session: session(sequence)
        }),
        run.clone().prop_map(|run| Record::RunCommanded {
            run: RunId(run),
            activity: Activity {
                at: Time(run),
                by: Asker::Web,
                command: RunCommand::Pause { reason: None },
            },
        }),
        run.prop_map(ended),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_crash_at_any_record_leaves_the_ledger_of_the_durable_prefix(
        records in proptest::collection::vec(record(), 1..20),
        group in 1..4_usize,
    ) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut journal = open(folder.path());
        let entries = numbered(1, records);
        let mut durable = 0;
        for group in entries.chunks(group) {
            append(&mut journal, group.to_vec());
            durable += group.len();
            let found = open_image(&image(folder.path())).expect("opens");
            prop_assert_eq!(found, ledger_of(&entries[..durable]));
        }
    }
}
