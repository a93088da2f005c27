//! A worker against a coordinator that the test plays, over real sockets.

mod fake;

use std::time::Duration;

use common::ids::{Generation, OpId, RunId, SessionId};
use common::message::{LeaseEnd, OpOutcome, PermitFate, RemoteOutput, Report, ToWorker};
use common::units::ByteSize;
use proto::ticket::fetch_ticket;

use self::fake::{Connection, FakeCoordinator, Job, KEY, Terms, id};
use super::{Worker, shutdown};
use crate::exchange::Fetcher;
use crate::memory::Memory;
use crate::testing::output;

const LONG: Terms = Terms {
    lease_time: Duration::from_secs(30),
};

/// Says in short words what was reported, without times.
fn words(reports: &[Report]) -> Vec<String> {
    reports.iter().flat_map(words_of).collect()
}

/// Says the same of a chain that was reported as a whole as of one that was reported op by op.
fn words_of(report: &Report) -> Vec<String> {
    let Report::ChainRan(ran) = report else {
        return vec![word(report)];
    };
    let ops = ran.ops.iter().enumerate().flat_map(|(op, ran)| {
        let done = format!("done {op} {}/{}", ran.done.rows_in, ran.done.rows_out);
        [format!("start {op}"), done]
    });
    ops.chain(["prepared".to_owned()]).collect()
}

fn word(report: &Report) -> String {
    match report {
        Report::OpStarted { op, .. } => format!("start {}", op.0),
        Report::OpEnded { op, outcome, .. } => match outcome {
            OpOutcome::Done(done) => format!("done {} {}/{}", op.0, done.rows_in, done.rows_out),
            OpOutcome::Failed(failure) => format!("failed {} {}", op.0, failure.kind),
        },
        Report::FetchStarted { .. } => "fetch".to_owned(),
        Report::Truncated { last, .. } => format!("truncated {}", last.0),
        Report::LeaseEnded { end, permit, .. } => match (end, permit) {
            (LeaseEnd::Prepared, PermitFate::Returned) => "prepared".to_owned(),
            (LeaseEnd::Parked { output, .. }, PermitFate::Returned) => format!("parked {}", output.op.0),
            (LeaseEnd::Stopped, PermitFate::Returned) => "stopped".to_owned(),
            (end, permit) => format!("{end:?} {permit:?}"),
        },
        Report::ChainRan(ran) => format!("ran {}", ran.ops.len()),
        Report::Published { .. } => "published".to_owned(),
        Report::PublishFailed { .. } => "publish failed".to_owned(),
        Report::Draining => "draining".to_owned(),
    }
}

async fn until(connection: &mut Connection, last: &str) -> Vec<String> {
    let mut said = Vec::new();
    while said.last().is_none_or(|word| word != last) {
        said.extend(words(&connection.reports().await));
    }
    said
}

const WHOLE_CHAIN: [&str; 7] = [
    "start 0",
    "done 0 3/3",
    "start 1",
    "done 1 3/3",
    "start 2",
    "done 2 3/3",
    "prepared",
];

#[tokio::test]
async fn a_granted_chain_is_run_and_reported_in_order() {
    let mut coordinator = FakeCoordinator::start(LONG).await;
    let worker = coordinator.worker(1);
    let mut connection = coordinator.connection().await;
    assert!(connection.hello.resume.is_none());
    let job = Job::quick();
    connection.say([ToWorker::OpenRun(job.context()), job.grant(1)]).await;
    assert_eq!(until(&mut connection, "prepared").await, WHOLE_CHAIN);
    worker.leave(&mut connection).await;
}

#[tokio::test]
async fn reports_that_a_broken_connection_swallowed_are_sent_again() {
    let mut coordinator = FakeCoordinator::start(LONG).await;
    let worker = coordinator.worker(1);
    let mut first = coordinator.connection().await;
    let job = Job::quick();
    first.say([ToWorker::OpenRun(job.context()), job.grant(1)]).await;
    // Some reports arrive and are never acknowledged.
    first.reports().await;
    drop(first);
    let mut second = coordinator.connection().await;
    let resume = second.hello.resume.expect("the worker goes on with its session");
    assert_eq!(resume.last_received, 1);
    assert_eq!(until(&mut second, "prepared").await, WHOLE_CHAIN);
    worker.leave(&mut second).await;
}

#[tokio::test]
async fn an_op_is_stopped_before_its_lease_can_have_ended() {
    let lease_time = Duration::from_millis(600);
    let mut coordinator = FakeCoordinator::start(Terms { lease_time }).await;
    let worker = coordinator.worker(1);
    let mut connection = coordinator.connection().await;
    let job = Job::slow(Duration::from_secs(3600));
    connection.say([ToWorker::OpenRun(job.context()), job.grant(1)]).await;
    until(&mut connection, "start 1").await;
    coordinator.go_away_for(lease_time * 2);
    drop(connection);
    // The worker stops the op while nobody hears it, lives on, and says so when it is heard again.
    let mut second = coordinator.connection().await;
    // The test acknowledged nothing, so the worker says everything again.
    let said = until(&mut second, "stopped").await;
    assert_eq!(
        said,
        ["start 0", "done 0 3/3", "start 1", "failed 1 cancelled", "stopped"]
    );
    worker.leave(&mut second).await;
}

#[tokio::test]
async fn a_truncated_chain_is_parked_and_fetched_with_its_ticket_only() {
    let mut coordinator = FakeCoordinator::start(LONG).await;
    let worker = coordinator.worker(1);
    let mut connection = coordinator.connection().await;
    let job = Job::slow(Duration::from_millis(300));
    connection.say([ToWorker::OpenRun(job.context()), job.grant(1)]).await;
    let mut said = until(&mut connection, "start 1").await;
    connection.say([ToWorker::Truncate { lease: id(1) }]).await;
    said.extend(until(&mut connection, "parked 1").await);
    assert_eq!(said.last().map(String::as_str), Some("parked 1"));
    assert!(said.contains(&"truncated 1".to_owned()), "{said:?}");

    let output = output(1, 1);
    let mut remote = RemoteOutput {
        output,
        holder: SessionId {
            generation: Generation(1),
            sequence: 1,
        },
        address: connection.hello.exchange_address.clone(),
        ticket: fetch_ticket(KEY, RunId(1), output, id(2)).to_vec(),
    };
    let fetcher = Fetcher::new(Memory::new(ByteSize(0)));
    let fetched = fetcher
        .fetch(RunId(1), id(2), &remote)
        .await
        .expect("the ticket is right");
    assert_eq!(fetched.rows(), 3);
    assert!(
        fetcher.fetch(RunId(1), id(3), &remote).await.is_err(),
        "the ticket is for another lease"
    );
    remote.output = crate::testing::output(9, 1);
    remote.ticket = fetch_ticket(KEY, RunId(1), remote.output, id(2)).to_vec();
    assert!(
        fetcher.fetch(RunId(1), id(2), &remote).await.is_err(),
        "there is no such output"
    );

    let discard = ToWorker::Discard { run: RunId(1), output };
    connection.say([discard]).await;
    worker.leave(&mut connection).await;
}

#[tokio::test]
async fn a_source_that_changed_fails_its_op_and_the_worker_goes_on() {
    let mut coordinator = FakeCoordinator::start(LONG).await;
    let worker = coordinator.worker(1);
    let mut connection = coordinator.connection().await;
    let job = Job::quick();
    job.change_source();
    connection.say([ToWorker::OpenRun(job.context()), job.grant(1)]).await;
    let mut ended = None;
    while ended.is_none() {
        let reports = connection.reports().await;
        ended = reports
            .into_iter()
            .find(|report| matches!(report, Report::LeaseEnded { .. }));
    }
    let Some(Report::LeaseEnded { end, .. }) = ended else {
        panic!("the lease ended");
    };
    let op = OpId(0);
    assert_eq!(end, LeaseEnd::Failed { op, kept: None });
    worker.leave(&mut connection).await;
}

#[tokio::test]
async fn a_worker_that_is_refused_says_what_the_coordinator_said() {
    let coordinator = FakeCoordinator::refusing("this coordinator speaks version 7").await;
    let (_handle, stages) = shutdown();
    let (ready, _) = tokio::sync::oneshot::channel();
    let error = Worker::new(coordinator.config(1)).run(stages, ready).await;
    let error = error.expect_err("the worker is refused").to_string();
    assert!(error.contains("version 7"), "{error}");
}
