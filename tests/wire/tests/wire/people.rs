//! The people of a history: they submit one job over JobService, as often as it takes, and wait for the end of its run.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use proto::v1;
use proto::v1::job_service_client::JobServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::coordinator::{HOST, JOBS};
use crate::network;
use crate::trace::Trace;

/// How many rows the input has, and how many go into a batch.
const ROWS: u32 = 96;
const BATCH: u32 = 4;
/// The run's cap.
pub(crate) const CAP: usize = 3;
/// How long each op but the first takes on a batch.
const OP: Duration = Duration::from_millis(200);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(300);

/// Writes the input into a folder.
pub(crate) fn write_input(folder: &Path) -> std::io::Result<()> {
    let rows: String = (0..ROWS).map(|row| format!("name {row},{row}\n")).collect();
    std::fs::write(folder.join("in.csv"), format!("name,number\n{rows}"))
}

/// Returns the names that the output must have, in order.
pub(crate) fn names() -> Vec<String> {
    (0..ROWS).map(|row| format!("name {row}")).collect()
}

/// Submits the job and waits until its run has ended; returns in which state.
pub(crate) async fn run_one_job(trace: Trace) -> v1::RunState {
    let submission = v1::SubmitJobRequest {
        job: Some(job()),
        request_id: "the only one".to_owned(),
        validate_only: false,
    };
    let run = loop {
        let asked = ask(&trace, |mut jobs| {
            let submission = submission.clone();
            async move { jobs.submit_job(with_deadline(submission)).await }
        });
        match asked.await {
            Ok(answer) => break answer.run_id,
            Err(status) => trace.tell(|| format!("people hear {:?} and submit again", status.code())),
        }
        tokio::time::sleep(PAUSE).await;
    };
    trace.tell(|| format!("people know {run}"));
    loop {
        let request = v1::GetRunRequest { run_id: run.clone() };
        let asked = ask(&trace, |mut jobs| {
            let request = request.clone();
            async move { jobs.get_run(with_deadline(request)).await }
        });
        let state = asked.await.ok().and_then(|answer| answer.run).map(|run| run.state());
        match state {
            Some(state) if is_final(state) => {
                trace.tell(|| format!("people see {state:?}"));
                return state;
            }
            Some(_) | None => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn is_final(state: v1::RunState) -> bool {
    match state {
        v1::RunState::Succeeded
        | v1::RunState::CompletedWithFailures
        | v1::RunState::Failed
        | v1::RunState::Cancelled => true,
        v1::RunState::Unspecified | v1::RunState::Queued | v1::RunState::Running | v1::RunState::Paused => false,
    }
}

/// Asks something over a connection of its own: one that broke is of no use any more.
async fn ask<T, F>(trace: &Trace, question: impl FnOnce(JobServiceClient<Channel>) -> F) -> Result<T, Status>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let asking = async {
        let endpoint = Endpoint::from_shared(format!("http://{HOST}:{JOBS}"));
        let endpoint = endpoint.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let channel = network::connect(endpoint, trace.clone()).await;
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        question(JobServiceClient::new(channel)).await
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    let answer = answer.map_err(|_| Status::deadline_exceeded("nobody answers"))?;
    answer.map(tonic::Response::into_inner)
}

fn with_deadline<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

fn job() -> v1::JobSpec {
    let op = |name: &str, kind: v1::op::Kind| v1::Op {
        name: name.to_owned(),
        kind: Some(kind),
        delay: Some(v1::Delay {
            per_batch: Some(prost_types::Duration {
                seconds: 0,
                nanos: OP.as_nanos() as i32,
            }),
            per_row: None,
        }),
        ..v1::Op::default()
    };
    let select = v1::Select {
        columns: vec!["name".to_owned()],
    };
    let uuid = v1::Column {
        kind: Some(v1::column::Kind::Uuid(v1::Uuid { random: false })),
    };
    let add = v1::Add {
        columns: HashMap::from([("id".to_owned(), uuid)]).into_iter().collect(),
    };
    let file = v1::FileSink {
        uri: "out.csv".to_owned(),
        single_file: true,
        ..v1::FileSink::default()
    };
    let write = v1::Write {
        sink: Some(v1::write::Sink::Csv(file)),
    };
    v1::JobSpec {
        name: "over-the-wire".to_owned(),
        source: Some(v1::Source {
            uris: vec!["in.csv".to_owned()],
            format: Some(v1::source::Format::Csv(v1::CsvFormat::default())),
        }),
        batch: Some(v1::Batching {
            rows: Some(BATCH),
            ..v1::Batching::default()
        }),
        schedule: Some(v1::Schedule {
            max_concurrent: Some(CAP as u32),
            ..v1::Schedule::default()
        }),
        ops: vec![
            op("pick", v1::op::Kind::Select(select)),
            op("id", v1::op::Kind::Add(add)),
            op("load", v1::op::Kind::Write(write)),
        ],
        seed: Some(7),
        ..v1::JobSpec::default()
    }
}
