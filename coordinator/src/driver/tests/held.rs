//! What a driver says while the disk keeps it waiting: nothing that could still be lost.

use std::sync::Mutex;

use common::counts::RowCounts;
use common::ids::OpId;
use common::steering::{Activity, Asker};
use scheduler::{FailedBatch, Ledger, Record, Tolerance, UsedUp};

use super::*;
use crate::store::Archive;
use crate::testing::ended_summary;

fn failed_batch(batch: u64) -> FailedBatch {
    FailedBatch {
        op: OpId(1),
        failure: Failure::permanent("broken"),
        slice: Slice::Bytes(ByteSlice {
            file: FileId(0),
            start: batch * 10,
            end: batch * 10 + 10,
            first_line: batch + 1,
            first_row: Some(batch),
            rows: Some(1),
            rows_before: batch,
        }),
        rows: RowCounts::default(),
        attempts: BTreeMap::from([(OpId(1), 1)]),
        crashes: 0,
        row: None,
    }
}

/// A journal whose disk the test plays.
struct HeldJournal {
    disk: HeldDisk,
    /// What was there before.
    ledger: Ledger,
}

/// The disk of such a journal.
#[derive(Clone)]
struct HeldDisk {
    last: Arc<Mutex<RecordSequence>>,
    durability: watch::Sender<Durability>,
}

impl HeldDisk {
    fn new() -> HeldDisk {
        HeldDisk {
            last: Arc::default(),
            durability: watch::channel(Durability::UpTo(RecordSequence(0))).0,
        }
    }

    fn last(&self) -> RecordSequence {
        *self.last.lock().expect("no test panics with it")
    }

    /// Waits for a record behind one, and returns its place.
    async fn record_behind(&self, before: RecordSequence) -> RecordSequence {
        let appended = async {
            while self.last() <= before {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, appended).await.expect("a record is appended");
        self.last()
    }

    fn sync(&self, up_to: RecordSequence) {
        self.durability.send_replace(Durability::UpTo(up_to));
    }
}

impl Journal for HeldJournal {
    fn generation(&self) -> Generation {
        Generation(1)
    }

    fn append(&mut self, entries: Vec<Entry>) -> Result<RecordSequence, JournalError> {
        let mut last = self.disk.last.lock().expect("no test panics with it");
        *last = entries.last().map_or(*last, |entry| entry.sequence);
        Ok(*last)
    }

    fn durability(&self) -> watch::Receiver<Durability> {
        self.disk.durability.subscribe()
    }

    fn recover(&mut self) -> Ledger {
        std::mem::take(&mut self.ledger)
    }

    fn forget(&mut self, _run: RunId) {}

    fn archive(&self) -> Arc<dyn Archive> {
        MemoryJournal::new(Generation(1)).archive()
    }
}

fn drive_held(disk: &HeldDisk, ledger: Ledger) -> Driving {
    let disk = disk.clone();
    drive(Box::new(HeldJournal { disk, ledger }))
}

/// What a journal holds of a run with two failed batches that goes on, or has ended.
fn two_failed(end: Option<Record>) -> Ledger {
    let accepted = submission("first", ten(), None);
    let begin = [
        Record::RunAccepted {
            run: RunId(1),
            job: accepted.job,
            source: accepted.source,
            seed: accepted.seed,
            request_id: None,
            rerun: None,
            at: Time(1),
        },
        Record::RunCommanded {
            run: RunId(1),
            activity: Activity {
                at: Time(2),
                by: Asker::Grpc,
                command: RunCommand::Pause { reason: None },
            },
        },
    ];
    let failed = (0..2).map(|batch| Record::BatchFailed {
        run: RunId(1),
        batch: batch.into(),
        failed: Box::new(failed_batch(batch)),
        tolerance: Tolerance::Within,
    });
    let mut ledger = Ledger::default();
    let records = begin.into_iter().chain(failed).chain(end);
    for (sequence, record) in (1..).map(RecordSequence).zip(records) {
        ledger.apply(sequence, &record);
    }
    ledger
}

fn retry(driving: &Driving, batch: u64) -> tokio::task::JoinHandle<u64> {
    let handle = driving.handle.clone();
    tokio::spawn(async move {
        let selection = RetrySelection {
            op: None,
            batches: BTreeSet::from([batch.into()]),
        };
        let answer = handle.retry(RunId(1), selection, Asker::Grpc).await;
        answer.expect("the driver runs").expect("is retried")
    })
}

async fn answered(request: &mut tokio::task::JoinHandle<u64>) -> u64 {
    timeout(PATIENCE, request)
        .await
        .expect("is answered")
        .expect("no panic")
}

/// Lets the driver hear everything that was said to it until now.
async fn settled(driving: &Driving) {
    for _ in 0..100 {
        driving.handle.read(|_| ()).await.expect("the driver runs");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nobody_is_told_of_a_run_before_its_record_is_durable() {
    let disk = HeldDisk::new();
    let driving = drive_held(&disk, Ledger::default());
    let handle = driving.handle.clone();
    let mut submitting = tokio::spawn(async move { handle.submit(submission("first", ten(), None)).await });
    let position = disk.record_behind(RecordSequence(0)).await;
    let known = driving
        .handle
        .read(|world| world.registry.runs_before(None).count())
        .await;
    assert_eq!(known, Ok(0));
    assert!(!submitting.is_finished());
    disk.sync(position);
    let answer = timeout(PATIENCE, &mut submitting)
        .await
        .expect("is answered")
        .expect("no panic");
    assert_eq!(answer.expect("runs").expect("is new"), RunId(1));
    driving.stop().await.expect("stops cleanly");
}

#[tokio::test]
async fn who_asks_for_a_retry_is_answered_when_their_own_is_durable() {
    let disk = HeldDisk::new();
    let driving = drive_held(&disk, two_failed(None));
    settled(&driving).await;
    disk.sync(disk.last());
    let mut first = retry(&driving, 0);
    let of_first = disk.record_behind(disk.last()).await;
    let mut same = retry(&driving, 0);
    let mut second = retry(&driving, 1);
    let of_second = disk.record_behind(of_first).await;
    settled(&driving).await;
    assert!(!first.is_finished() && !same.is_finished() && !second.is_finished());
    disk.sync(of_first);
    assert_eq!((answered(&mut first).await, answered(&mut same).await), (1, 1));
    settled(&driving).await;
    assert!(!second.is_finished(), "its record is not durable");
    disk.sync(of_second);
    assert_eq!(answered(&mut second).await, 1);
    driving.stop().await.expect("stops cleanly");
}

#[tokio::test]
async fn who_asks_again_while_a_run_is_being_reopened_waits_until_that_is_durable() {
    let mut summary = ended_summary(RunId(1));
    summary.state = RunState::CompletedWithFailures;
    summary.ended = Some(Clock::start().now());
    let end = Record::RunEnded {
        summary: Arc::new(summary),
        used: UsedUp::default(),
    };
    let disk = HeldDisk::new();
    let driving = drive_held(&disk, two_failed(Some(end)));
    settled(&driving).await;
    disk.sync(disk.last());
    let mut first = retry(&driving, 0);
    let reopened = disk.record_behind(disk.last()).await;
    let mut again = retry(&driving, 0);
    settled(&driving).await;
    assert!(!first.is_finished() && !again.is_finished());
    disk.sync(reopened);
    assert_eq!(answered(&mut first).await, 1);
    answered(&mut again).await;
    driving.stop().await.expect("stops cleanly");
}

#[tokio::test]
async fn a_driver_whose_journal_belongs_to_another_stops_at_once() {
    let disk = HeldDisk::new();
    let driving = drive_held(&disk, Ledger::default());
    disk.durability.send_replace(Durability::Fenced { by: Generation(2) });
    let outcome = timeout(PATIENCE, driving.task).await.expect("stops").expect("no panic");
    assert!(matches!(outcome, Err(DriverError::Fenced { by: Generation(2) })));
}
