//! A coordinator that serves on free ports, and what is sent to it.

use std::net::SocketAddr;
use std::time::Duration;

use coordinator::{Coordinator, CoordinatorConfig};
use proto::v1;
use proto::v1::job_service_client::JobServiceClient;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::transport::Channel;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A coordinator that serves, and what stops it.
pub(crate) struct Serving {
    pub(crate) addresses: coordinator::Addresses,
    pub(crate) folder: tempfile::TempDir,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), coordinator::RunError>>,
}

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn serve() -> Serving {
    serve_with(|_| {})
}

/// Serves with a configuration that the test changes first.
pub(crate) fn serve_with(change: impl FnOnce(&mut CoordinatorConfig)) -> Serving {
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
    pub(crate) async fn jobs(&self) -> JobServiceClient<Channel> {
        JobServiceClient::new(connect(self.addresses.grpc).await)
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let ended = timeout(PATIENCE, self.task).await.expect("stops in time");
        ended.expect("does not panic").expect("stops cleanly");
    }
}

pub(crate) async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("connects")
}

pub(crate) fn spec(column: &str) -> v1::JobSpec {
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

pub(crate) fn submission(column: &str, request_id: &str) -> v1::SubmitJobRequest {
    v1::SubmitJobRequest {
        job: Some(spec(column)),
        request_id: request_id.to_owned(),
        validate_only: false,
    }
}
