//! A coordinator on real loopback sockets, spoken to as clients and workers do.

use std::net::SocketAddr;
use std::time::Duration;

use coordinator::{BindError, Coordinator, CoordinatorConfig};
use proto::v1;
use proto::v1::job_service_client::JobServiceClient;
use proto::v1::worker_service_client::WorkerServiceClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt;

const PATIENCE: Duration = Duration::from_secs(20);

/// A coordinator that serves, and what stops it.
struct Serving {
    addresses: coordinator::Addresses,
    folder: tempfile::TempDir,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), coordinator::RunError>>,
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn serve() -> Serving {
    serve_with(|_| {})
}

/// Serves with a configuration that the test changes first.
fn serve_with(change: impl FnOnce(&mut CoordinatorConfig)) -> Serving {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(
        folder.path().join("in.csv"),
        "name,type\nbulbasaur,grass\ncharmander,fire\n",
    )
    .expect("writes");
    let mut config = CoordinatorConfig {
        grpc: any_port(),
        worker_grpc: any_port(),
        web: any_port(),
        state: Some(folder.path().join("state")),
        data_root: folder.path().to_owned(),
        output_root: folder.path().to_owned(),
        ..CoordinatorConfig::default()
    };
    change(&mut config);
    let coordinator = Coordinator::bind(config).expect("binds");
    let addresses = coordinator.addresses();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(coordinator.run(async {
        let _ = stopped.await;
    }));
    Serving {
        addresses,
        folder,
        stop,
        task,
    }
}

impl Serving {
    async fn jobs(&self) -> JobServiceClient<Channel> {
        JobServiceClient::new(connect(self.addresses.grpc).await)
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        let ended = timeout(PATIENCE, self.task).await.expect("stops in time");
        ended.expect("does not panic").expect("stops cleanly");
    }
}

async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("connects")
}

fn spec(column: &str) -> v1::JobSpec {
    v1::JobSpec {
        name: "sample".to_owned(),
        source: Some(v1::Source {
            uris: vec!["in.csv".to_owned()],
            format: Some(v1::source::Format::Csv(v1::CsvFormat::default())),
        }),
        ops: vec![v1::Op {
            name: "pick".to_owned(),
            kind: Some(v1::op::Kind::Select(v1::Select {
                columns: vec![column.to_owned()],
            })),
            ..v1::Op::default()
        }],
        ..v1::JobSpec::default()
    }
}

fn submission(column: &str, request_id: &str) -> v1::SubmitJobRequest {
    v1::SubmitJobRequest {
        job: Some(spec(column)),
        request_id: request_id.to_owned(),
        validate_only: false,
    }
}

fn hello(name: &str, protocol_version: u32, resume: Option<v1::Resume>) -> v1::WorkerFrame {
    v1::WorkerFrame {
        hello: Some(v1::Hello {
            protocol_version,
            worker_name: name.to_owned(),
            slots: 1,
            ops: ["extract", "select"].map(str::to_owned).to_vec(),
            resume,
            ..v1::Hello::default()
        }),
        ..v1::WorkerFrame::default()
    }
}

/// A worker's stream, spoken by hand.
struct PlayedSession {
    frames: mpsc::Sender<v1::WorkerFrame>,
    answers: tonic::Streaming<v1::CoordinatorFrame>,
}

impl PlayedSession {
    async fn open(address: SocketAddr, first: v1::WorkerFrame) -> PlayedSession {
        let (frames, outgoing) = mpsc::channel(16);
        frames.send(first).await.expect("has room");
        let mut client = WorkerServiceClient::new(connect(address).await);
        let answers = client.session(ReceiverStream::new(outgoing)).await.expect("a stream");
        PlayedSession {
            frames,
            answers: answers.into_inner(),
        }
    }

    async fn next(&mut self) -> Result<v1::CoordinatorFrame, Status> {
        let frame = timeout(PATIENCE, self.answers.message()).await.expect("comes in time");
        frame.map(|frame| frame.expect("the stream goes on"))
    }

    async fn welcome(&mut self) -> v1::Welcome {
        self.next().await.expect("a frame").welcome.expect("a welcome")
    }

    /// Returns the next numbered frame.
    async fn messages(&mut self) -> v1::CoordinatorFrame {
        loop {
            let frame = self.next().await.expect("a frame");
            if frame.number != 0 {
                return frame;
            }
        }
    }
}

#[tokio::test]
async fn a_bad_spec_is_answered_with_the_path_of_each_wrong_field() {
    let serving = serve();
    let status = serving
        .jobs()
        .await
        .submit_job(submission("nmae", ""))
        .await
        .expect_err("is refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("ops[0].select.columns[0]"), "{status}");
    let details = status.get_error_details();
    let violation = &details.bad_request().expect("a bad request").field_violations[0];
    assert_eq!(violation.field, "ops[0].select.columns[0]");
    assert_eq!(details.error_info().expect("an error info").reason, "INVALID_JOB");
    let mut missing = submission("name", "");
    missing
        .job
        .as_mut()
        .and_then(|job| job.source.as_mut())
        .expect("a source")
        .uris = vec!["none.csv".to_owned()];
    let status = serving.jobs().await.submit_job(missing).await.expect_err("is refused");
    assert!(status.message().contains("source.uris[0]"), "{status}");
    serving.stop().await;
}

#[tokio::test]
async fn a_request_id_names_one_run_and_validating_runs_nothing() {
    let serving = serve();
    let mut jobs = serving.jobs().await;
    let validated = v1::SubmitJobRequest {
        validate_only: true,
        ..submission("name", "mine")
    };
    let plan = jobs.submit_job(validated).await.expect("is fine").into_inner();
    assert_eq!(plan.run_id, "");
    assert_eq!(plan.plan.expect("a plan").output_columns, ["name"]);
    let first = jobs
        .submit_job(submission("name", "mine"))
        .await
        .expect("runs")
        .into_inner();
    std::fs::remove_file(serving.folder.path().join("in.csv")).expect("is there");
    let again = jobs
        .submit_job(submission("name", "mine"))
        .await
        .expect("is known")
        .into_inner();
    assert_eq!((first.run_id.as_str(), again.run_id.as_str()), ("r1", "r1"));
    let other = jobs.submit_job(submission("type", "mine")).await.expect_err("is taken");
    assert_eq!(other.code(), Code::AlreadyExists);
    serving.stop().await;
}

#[tokio::test]
async fn an_occupied_target_is_refused_by_its_path() {
    let serving = serve();
    let out = serving.folder.path().join("out");
    std::fs::create_dir(&out).expect("is new");
    std::fs::write(out.join("theirs"), "x").expect("writes");
    let mut request = submission("name", "");
    request.job.as_mut().expect("a job").ops.push(v1::Op {
        name: "load".to_owned(),
        kind: Some(v1::op::Kind::Write(v1::Write {
            sink: Some(v1::write::Sink::Csv(v1::FileSink {
                uri: "out/".to_owned(),
                ..v1::FileSink::default()
            })),
        })),
        ..v1::Op::default()
    });
    let status = serving.jobs().await.submit_job(request).await.expect_err("is refused");
    assert!(status.message().starts_with("ops[1].write.csv.uri: "), "{status}");
    serving.stop().await;
}

#[tokio::test]
async fn a_watcher_sees_a_snapshot_and_the_end() {
    let serving = serve();
    let mut jobs = serving.jobs().await;
    let run_id = jobs
        .submit_job(submission("name", ""))
        .await
        .expect("runs")
        .into_inner()
        .run_id;
    let watching = v1::WatchRunRequest {
        run_id: run_id.clone(),
        task_events: true,
    };
    let mut updates = jobs.watch_run(watching).await.expect("a stream").into_inner();
    let first = timeout(PATIENCE, updates.message())
        .await
        .expect("in time")
        .expect("an update");
    let snapshot = first.and_then(|first| first.update);
    assert!(matches!(snapshot, Some(v1::watch_run_response::Update::Snapshot(_))));
    jobs.cancel_run(v1::CancelRunRequest { run_id, mode: 0 })
        .await
        .expect("is cancelled");
    let mut last = None;
    while let Some(update) = timeout(PATIENCE, updates.next()).await.expect("ends in time") {
        last = update.expect("an update").update;
    }
    let Some(v1::watch_run_response::Update::Ended(run)) = last else {
        panic!("the last update is {last:?}");
    };
    assert_eq!(run.state(), v1::RunState::Cancelled);
    serving.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_a_bad_id_is_a_bad_field() {
    let serving = serve();
    let mut jobs = serving.jobs().await;
    let mut get = async |id: &str| {
        let request = v1::GetRunRequest { run_id: id.to_owned() };
        jobs.get_run(request).await.expect_err("is refused").code()
    };
    assert_eq!(get("r99").await, Code::NotFound);
    assert_eq!(get("99").await, Code::InvalidArgument);
    serving.stop().await;
}

#[tokio::test]
async fn reflection_lists_the_services_and_knows_the_error_details() {
    let serving = serve();
    let ports = [
        (serving.addresses.grpc, "plumbline.v1.JobService"),
        (serving.addresses.worker_grpc, "plumbline.v1.WorkerService"),
    ];
    for (address, service) in ports {
        let mut client = ServerReflectionClient::new(connect(address).await);
        let ask = |message| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message),
        };
        let asked = tokio_stream::iter([
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("google.rpc.BadRequest".to_owned())),
        ]);
        let mut answers = client
            .server_reflection_info(asked)
            .await
            .expect("a stream")
            .into_inner();
        let listed = answers
            .message()
            .await
            .expect("an answer")
            .and_then(|answer| answer.message_response);
        let Some(MessageResponse::ListServicesResponse(services)) = listed else {
            panic!("the answer is {listed:?}");
        };
        let names: Vec<&str> = services.service.iter().map(|service| service.name.as_str()).collect();
        assert!(names.contains(&service), "{names:?}");
        assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
        let ours = names.iter().filter(|name| name.starts_with("plumbline.")).count();
        assert_eq!(ours, 1, "a port lists what it serves: {names:?}");
        let found = answers
            .message()
            .await
            .expect("an answer")
            .and_then(|answer| answer.message_response);
        assert!(
            matches!(found, Some(MessageResponse::FileDescriptorResponse(_))),
            "{found:?}"
        );
    }
    serving.stop().await;
}

#[tokio::test]
async fn both_services_are_healthy() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    let serving = serve();
    for (address, service) in [
        (serving.addresses.grpc, "plumbline.v1.JobService"),
        (serving.addresses.worker_grpc, "plumbline.v1.WorkerService"),
    ] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = HealthClient::new(connect(address).await)
            .check(request)
            .await
            .expect("an answer");
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
    serving.stop().await;
}

#[tokio::test]
async fn a_worker_of_another_protocol_is_refused_clearly() {
    let serving = serve();
    let mut session = PlayedSession::open(serving.addresses.worker_grpc, hello("w1", 2, None)).await;
    let status = session.next().await.expect_err("is refused");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("version 2"), "{status}");
    serving.stop().await;
}

#[tokio::test]
async fn only_who_shows_the_worker_token_gets_a_session() {
    let secrets = tempfile::tempdir().expect("a temporary folder");
    let file = secrets.path().join("token");
    std::fs::write(&file, "0123456789abcdef\n").expect("writes");
    let serving = serve_with(|config| config.worker_token_file = Some(file));
    for (shown, outcome) in [
        (None, Err(Code::Unauthenticated)),
        (Some("0123456789abcdeg"), Err(Code::Unauthenticated)),
        (Some("0123456789abcdef"), Ok(())),
    ] {
        let (frames, outgoing) = mpsc::channel(16);
        frames.send(hello("w1", 1, None)).await.expect("has room");
        let mut request = tonic::Request::new(ReceiverStream::new(outgoing));
        if let Some(token) = shown.and_then(proto::token::WorkerToken::new) {
            token.authorize(request.metadata_mut());
        }
        let mut client = WorkerServiceClient::new(connect(serving.addresses.worker_grpc).await);
        let answered = client.session(request).await;
        assert_eq!(answered.map(drop).map_err(|status| status.code()), outcome, "{shown:?}");
    }
    serving.stop().await;
}

#[tokio::test]
async fn a_session_that_is_resumed_gets_again_what_it_did_not_take() {
    let serving = serve();
    let address = serving.addresses.worker_grpc;
    let mut session = PlayedSession::open(address, hello("w1", 1, None)).await;
    let welcome = session.welcome().await;
    assert_eq!(welcome.exchange_key.len(), 32);
    serving
        .jobs()
        .await
        .submit_job(submission("name", ""))
        .await
        .expect("runs");
    let first = session.messages().await;
    assert_eq!(first.number, 1);
    drop(session);
    let resume = v1::Resume {
        session: welcome.session,
        last_received: 0,
    };
    let mut again = PlayedSession::open(address, hello("w1", 1, Some(resume))).await;
    let resumed = again.welcome().await;
    assert_eq!(resumed.resumption(), v1::welcome::Resumption::Resumed);
    assert_eq!(again.messages().await.messages, first.messages);
    let heartbeat = v1::WorkerFrame {
        acknowledged: 1,
        heartbeat: Some(v1::Heartbeat {
            sent_at_nanos: 7,
            ..v1::Heartbeat::default()
        }),
        ..v1::WorkerFrame::default()
    };
    again.frames.send(heartbeat).await.expect("the session lives");
    let reply = loop {
        if let Some(reply) = again.next().await.expect("a frame").heartbeat_reply {
            break reply;
        }
    };
    assert_eq!(reply.sent_at_nanos, 7);
    assert!(reply.replied_at_nanos >= reply.received_at_nanos);
    serving.stop().await;
}

#[tokio::test]
async fn a_later_session_of_the_same_name_ends_the_earlier_one() {
    let serving = serve();
    let address = serving.addresses.worker_grpc;
    let mut first = PlayedSession::open(address, hello("w1", 1, None)).await;
    let welcome = first.welcome().await;
    let mut second = PlayedSession::open(address, hello("w1", 1, None)).await;
    second.welcome().await;
    let ended = first.next().await.expect("a frame").ended.expect("the end");
    assert_eq!(ended.reason(), v1::session_ended::Reason::Replaced);
    let resume = v1::Resume {
        session: welcome.session,
        last_received: 0,
    };
    let mut late = PlayedSession::open(address, hello("w1", 1, Some(resume))).await;
    let status = late.next().await.expect_err("is over");
    assert_eq!(status.code(), Code::FailedPrecondition);
    serving.stop().await;
}

#[tokio::test]
async fn the_web_port_answers_health_runs_and_a_page_without_scripts() {
    let serving = serve();
    serving
        .jobs()
        .await
        .submit_job(submission("name", ""))
        .await
        .expect("runs");
    let web = serving.addresses.web;
    assert!(get(web, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(web, "/readyz").await.starts_with("HTTP/1.1 200"));
    let page = get(web, "/").await;
    assert!(page.contains("content-security-policy: default-src 'none'"), "{page}");
    assert!(page.contains("sample"), "{page}");
    assert!(get(web, "/api/runs").await.contains("\"id\":\"r1\""));
    assert!(get(web, "/api/runs/r9").await.starts_with("HTTP/1.1 404"));
    serving.stop().await;
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("UTF-8");
    answer
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_names_the_flag() {
    let taken = std::net::TcpListener::bind(any_port()).expect("binds");
    let config = CoordinatorConfig {
        grpc: any_port(),
        worker_grpc: taken.local_addr().expect("an address"),
        web: any_port(),
        ..CoordinatorConfig::default()
    };
    let refused = Coordinator::bind(config).err().expect("is refused");
    assert!(matches!(
        refused,
        BindError::InUse {
            flag: "--worker-grpc",
            ..
        }
    ));
}
