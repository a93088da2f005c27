//! The driver with a journal in memory and sessions played by the test.

mod held;

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use common::done::OpDone;
use common::failure::Failure;
use common::ids::WorkerName;
use common::job::{Batching, Job, OpKind, Sink};
use common::message::{Grant, LeaseEnd, OpOutcome, PermitFate, Report, ToWorker};
use common::slice::{ByteSlice, FileId, FrozenSource, Slice, SourceFile};
use common::state::RunState;
use common::steering::{CancelMode, RunCommand};
use scheduler::{EndReason, RecordSequence, SourceEnd};
use tokio::time::timeout;

use super::*;
use crate::shutdown::{ShutdownTrigger, shutdown_channel};
use crate::store::MemoryJournal;
use crate::testing;
use crate::timeline::Known;

/// Long enough for a busy machine, short enough to notice a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A driver that runs, and what stops it.
struct Driving {
    handle: DriverHandle,
    trigger: ShutdownTrigger,
    task: tokio::task::JoinHandle<Result<(), DriverError>>,
}

fn drive(journal: Box<dyn Journal>) -> Driving {
    let (trigger, shutdown) = shutdown_channel();
    let config = scheduler::Config {
        generation: journal.generation(),
        ..scheduler::Config::default()
    };
    let retention = Retention {
        runs: 100,
        age: Duration::from_secs(3_600),
    };
    let (driver, handle) = Driver::new(
        config,
        Clock::start(),
        journal,
        Timelines::in_memory(),
        retention,
        |_, _| ten(),
    );
    let task = tokio::spawn(driver.run(shutdown));
    Driving { handle, trigger, task }
}

impl Driving {
    async fn stop(self) -> Result<(), DriverError> {
        self.trigger.request();
        timeout(PATIENCE, self.task)
            .await
            .expect("stops")
            .expect("does not panic")
    }
}

/// A worker's end of a session.
struct PlayedWorker {
    handle: DriverHandle,
    session: SessionId,
    messages: mpsc::Receiver<Vec<ToWorker>>,
    ended: oneshot::Receiver<EndReason>,
}

impl PlayedWorker {
    async fn connect(handle: &DriverHandle, name: &str, queue: usize) -> PlayedWorker {
        let (outgoing, messages) = mpsc::channel(queue);
        let (end, ended) = oneshot::channel();
        let (accept, accepted) = oneshot::channel();
        let opening = Opening {
            worker: WorkerName::new(name).expect("a name"),
            instance: String::new(),
            slots: NonZeroU32::new(2).expect("two"),
            ops: OpKind::NAMES
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>(),
            exchange_address: String::new(),
            hello: 1,
            reattached: None,
            exchange_key: Vec::new(),
            outgoing,
            ended: end,
            accepted: accept,
        };
        handle
            .session(FromSession::Opened(Box::new(opening)))
            .await
            .expect("the driver runs");
        let session = timeout(PATIENCE, accepted)
            .await
            .expect("in time")
            .expect("is accepted");
        PlayedWorker {
            handle: handle.clone(),
            session,
            messages,
            ended,
        }
    }

    /// Does every lease at once, until the driver ends the session or stops.
    async fn work(mut self) {
        while let Some(messages) = self.messages.recv().await {
            for message in messages {
                if let ToWorker::Grant(grant) = message {
                    let reports = done(&grant, &self.handle).await;
                    let _ = self.handle.session(FromSession::Reported(self.session, reports)).await;
                }
            }
        }
    }
}

async fn done(grant: &Grant, handle: &DriverHandle) -> Vec<Report> {
    let at = handle.read(|world| world.now).await.unwrap_or_default();
    let mut reports = Vec::new();
    for step in grant.steps.iter() {
        reports.push(Report::OpStarted {
            lease: grant.lease,
            op: step.op,
            slot: 0,
            at,
        });
        let outcome = OpOutcome::Done(OpDone {
            rows_in: 1,
            rows_out: 1,
            ..OpDone::default()
        });
        reports.push(Report::OpEnded {
            lease: grant.lease,
            op: step.op,
            at,
            outcome,
        });
    }
    reports.push(Report::LeaseEnded {
        lease: grant.lease,
        end: LeaseEnd::Prepared,
        permit: PermitFate::Returned,
    });
    reports
}

/// So many slices of ten bytes.
struct Slices {
    left: u64,
    all: u64,
}

impl SliceFinder for Slices {
    fn next_slices(&mut self, count: u32) -> Result<FoundSlices, Failure> {
        let taken = self.left.min(u64::from(count));
        let first = self.all - self.left;
        self.left -= taken;
        let slices = (first..first + taken).map(|place| {
            Slice::Bytes(ByteSlice {
                file: FileId(0),
                start: place * 10,
                end: place * 10 + 10,
                first_line: place + 1,
                first_row: Some(place),
                rows: Some(1),
                rows_before: 0,
            })
        });
        Ok(FoundSlices {
            checkpoints: Vec::new(),
            slices: slices.collect(),
            bytes_sharded: (self.all - self.left) * 10,
            end: if self.left == 0 {
                SourceEnd::Reached
            } else {
                SourceEnd::More
            },
        })
    }
}

/// Panics.
struct Panicking;

impl SliceFinder for Panicking {
    fn next_slices(&mut self, _count: u32) -> Result<FoundSlices, Failure> {
        panic!("the test wants a finder that panics");
    }
}

fn job(name: &str) -> Arc<Job> {
    Arc::new(Job {
        batching: Batching::Bounded {
            rows: NonZeroU32::new(1),
            bytes: NonZeroU64::new(1_000).expect("is not zero"),
        },
        ..testing::job(name, [("load", OpKind::Write(Sink::Discard))])
    })
}

fn submission(name: &str, slices: Box<dyn SliceFinder>, request_id: Option<&str>) -> Submission {
    Submission {
        job: job(name),
        source: Arc::new(FrozenSource {
            files: vec![SourceFile {
                path: "/in.csv".to_owned(),
                bytes: 100,
                etag: String::new(),
                data_start: 0,
            }],
            columns: vec!["a".to_owned()],
        }),
        seed: 1,
        request_id: request_id.map(str::to_owned),
        rerun: None,
        slices,
    }
}

fn ten() -> Box<dyn SliceFinder> {
    Box::new(Slices { left: 10, all: 10 })
}

async fn ended(handle: &DriverHandle, run: RunId) -> Arc<common::summary::RunSummary> {
    let waiting = async {
        loop {
            let ended = handle.read(move |world| world.registry.run(run)?.ended.clone()).await;
            match ended.expect("the driver runs") {
                Some(summary) => return summary,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(PATIENCE, waiting).await.expect("the run ends")
}

fn memory() -> Box<dyn Journal> {
    Box::new(MemoryJournal::new(Generation(1)))
}

#[tokio::test]
async fn a_run_ends_when_all_its_batches_are_committed() {
    let driving = drive(memory());
    let worker = tokio::spawn(PlayedWorker::connect(&driving.handle, "w1", 64).await.work());
    let submitted = driving.handle.submit(submission("first", ten(), None)).await;
    let run = submitted.expect("runs").expect("is new");
    let summary = ended(&driving.handle, run).await;
    assert_eq!(summary.state, RunState::Succeeded);
    assert_eq!((summary.batches.committed, summary.rows.loaded), (10, 10));
    let known = Known {
        run,
        accepted: summary.accepted,
        ops: 2,
        ended: summary.ended,
        now: Time::ZERO,
    };
    let chart = driving.handle.timelines().view(&known, &scheduler::Outlook::default());
    let rows = chart.expect("is kept").tail.to_vec();
    let last: Vec<_> = rows.iter().filter(|row| row.task.op == 1).collect();
    assert_eq!(last.len(), 10);
    assert!(last.iter().all(|row| row.committed >= row.task.ended));
    driving.stop().await.expect("stops cleanly");
    worker.await.expect("the worker ends with its session");
}

#[tokio::test]
async fn a_retried_submission_is_the_same_run_and_another_job_is_refused() {
    let driving = drive(memory());
    let handle = &driving.handle;
    let (first, again) = tokio::join!(
        handle.submit(submission("first", ten(), Some("mine"))),
        handle.submit(submission("first", ten(), Some("mine"))),
    );
    let run = first.expect("runs").expect("is new");
    assert_eq!(again.expect("runs").expect("is the same"), run);
    let other = handle.submit(submission("second", ten(), Some("mine"))).await;
    let refused = other.expect("runs").expect_err("is another job");
    assert!(matches!(refused, Refused::RequestIdTaken(taken) if taken.run == run));
    driving.stop().await.expect("stops cleanly");
}

fn cancel_of(run: RunId) -> Ask {
    let command = RunCommand::Cancel(CancelMode::Now);
    Ask::Run { run, command }
}

#[tokio::test]
async fn a_run_is_cancelled_once_and_an_unknown_one_never() {
    let driving = drive(memory());
    let submitted = driving.handle.submit(submission("first", ten(), None)).await;
    let run = submitted.expect("runs").expect("is new");
    let cancel = |run| driving.handle.command(Asker::Grpc, cancel_of(run));
    assert_eq!(cancel(run).await, Ok(Ok(())));
    assert_eq!(ended(&driving.handle, run).await.state, RunState::Cancelled);
    assert_eq!(cancel(run).await, Ok(Ok(())));
    let unknown = RunId(99);
    assert_eq!(cancel(unknown).await, Ok(Err(NoSuchRun { run: unknown }.into())));
    driving.stop().await.expect("stops cleanly");
}

#[tokio::test]
async fn a_source_that_panics_fails_its_run_and_nothing_more() {
    let driving = drive(memory());
    let submitted = driving
        .handle
        .submit(submission("first", Box::new(Panicking), None))
        .await;
    let run = submitted.expect("runs").expect("is new");
    let _worker = PlayedWorker::connect(&driving.handle, "w1", 64).await;
    assert_eq!(ended(&driving.handle, run).await.state, RunState::Failed);
    driving.stop().await.expect("stops cleanly");
}

#[tokio::test]
async fn a_session_that_does_not_take_its_messages_is_cut_off() {
    let driving = drive(memory());
    let mut worker = PlayedWorker::connect(&driving.handle, "w1", 1).await;
    let submitted = driving.handle.submit(submission("first", ten(), None)).await;
    let run = submitted.expect("runs").expect("is new");
    let granted = async {
        while worker.messages.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, granted)
        .await
        .expect("the first round fills the queue");
    let cancelled = driving.handle.command(Asker::Grpc, cancel_of(run)).await;
    cancelled.expect("runs").expect("is known");
    let cut_off = async {
        while !worker.messages.is_closed() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, cut_off).await.expect("is cut off");
    assert!(worker.messages.recv().await.is_some());
    assert!(worker.ended.try_recv().is_err());
    driving.stop().await.expect("stops cleanly");
}

#[tokio::test]
async fn a_second_process_of_the_same_name_ends_the_first_ones_session() {
    let driving = drive(memory());
    let first = PlayedWorker::connect(&driving.handle, "w1", 64).await;
    let _second = PlayedWorker::connect(&driving.handle, "w1", 64).await;
    let reason = timeout(PATIENCE, first.ended).await.expect("is told");
    assert_eq!(reason, Ok(EndReason::Replaced));
    driving.stop().await.expect("stops cleanly");
}
