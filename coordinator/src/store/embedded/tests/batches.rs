//! What is kept of batches, parts and checkpoints: in pages, over snapshots and kills, in few bytes.

use super::*;

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
        ran: 2,
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
