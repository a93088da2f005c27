//! A coordinator on real loopback sockets, spoken to as clients and workers do.

mod serving;
mod sessions;

use std::net::SocketAddr;

use coordinator::{BindError, Coordinator, CoordinatorConfig};
use proto::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt;

use serving::{PATIENCE, any_port, connect, serve, submission};

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
