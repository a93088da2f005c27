//! Records of every kind: their stored form is that of the format, and a crash behind any of them leaves what was durable.

use super::*;

/// Stored types may not change without a new format: these bytes are what the format makes of the sample.
#[test]
fn the_stored_form_of_a_record_is_that_of_its_format() {
    let records = [accepted(1), limited(1), checkpointed(1, 7), committed(1, 7), ended(1)];
    let stored = codec::encode(&records);
    // With its own checksum behind them, any bytes have the same one.
    let (value, _) = stored.split_last_chunk::<4>().expect("has a checksum");
    assert_eq!(
        (FORMAT, crc32fast::hash(value)),
        (10, 2_315_247_729),
        "raise FORMAT when a stored type changes"
    );
}

fn limited(run: u64) -> Record {
    let command = RunCommand::ChangeLimits(LimitsChange::default());
    let (at, by) = (Time(5), Asker::Grpc);
    Record::RunCommanded {
        run: RunId(run),
        activity: Activity { at, by, command },
    }
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
        (run.clone(), 0..30_u64).prop_map(|(run, peak)| Record::MarksRisen {
            run: RunId(run),
            marks: HighMarks {
                in_flight: peak,
                ..HighMarks::default()
            },
        }),
        run.clone().prop_map(|run| Record::RunFinishing {
            run: RunId(run),
            finishing: Finishing {
                ending: Ending::Failed,
                after: LeaseId {
                    generation: Generation(1),
                    sequence: run,
                },
                batches: 7,
                bytes_sharded: 700,
            },
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
