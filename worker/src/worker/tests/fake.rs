//! A coordinator of which the test plays every word.

use std::io::Write;
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::ids::{Attempt, BatchId, Generation, LeaseId, OpId, RunId, WorkerName};
use common::job::{Batching, CsvDialect, FailurePolicy, Job as JobSpec, Op, OpKind, Schedule, Sink, Source};
use common::message::{Grant, Input, Report, Start, Step, ToWorker};
use common::slice::{ByteSlice, FileId, FrozenSource, RunContext, Slice, SourceFile};
use proto::convert::packed::reports_from_wire;
use proto::v1;
use proto::v1::welcome::Resumption;
use proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::worker::{ShutdownHandle, Worker, WorkerError, shutdown};
use crate::{Ready, WorkerConfig};

pub(super) const KEY: &[u8] = b"a key of the test";
const PATIENCE: Duration = Duration::from_secs(20);

/// The numbers of a welcome.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) lease_time: Duration,
}

/// The coordinator.
pub(super) struct FakeCoordinator {
    url: String,
    connections: mpsc::Receiver<Connection>,
    server: AbortHandle,
    away_until: watch::Sender<Option<Instant>>,
}

/// One connection of a worker, welcomed.
pub(super) struct Connection {
    pub(super) hello: v1::Hello,
    outgoing: mpsc::Sender<Result<v1::CoordinatorFrame, Status>>,
    incoming: Streaming<v1::WorkerFrame>,
    sent: u64,
}

/// A worker that runs in the test.
pub(super) struct RunningWorker {
    handle: ShutdownHandle,
    task: JoinHandle<Result<(), WorkerError>>,
    _ready: oneshot::Receiver<Ready>,
}

impl FakeCoordinator {
    pub(super) async fn start(terms: Terms) -> FakeCoordinator {
        FakeCoordinator::serve(Ok(terms)).await
    }

    pub(super) async fn refusing(message: &str) -> FakeCoordinator {
        FakeCoordinator::serve(Err(message.to_owned())).await
    }

    async fn serve(terms: Result<Terms, String>) -> FakeCoordinator {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}", listener.local_addr().expect("is bound"));
        let (connected, connections) = mpsc::channel(4);
        let (away_until, away) = watch::channel(None);
        let service = WorkerServiceServer::new(Service { terms, connected, away });
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener));
        let server = tokio::spawn(serving).abort_handle();
        FakeCoordinator {
            url,
            connections,
            server,
            away_until,
        }
    }

    pub(super) fn config(&self, slots: u32) -> WorkerConfig {
        let name = WorkerName::new("w1").expect("is a name");
        let slots = NonZeroU32::new(slots).expect("has slots");
        WorkerConfig::new(vec![self.url.clone()], name, slots)
    }

    pub(super) fn worker(&self, slots: u32) -> RunningWorker {
        let (handle, stages) = shutdown();
        let (ready, is_ready) = oneshot::channel();
        let task = tokio::spawn(Worker::new(self.config(slots)).run(stages, ready));
        RunningWorker {
            handle,
            task,
            _ready: is_ready,
        }
    }

    /// Takes no hello for a time.
    pub(super) fn go_away_for(&self, time: Duration) {
        self.away_until.send_replace(Some(Instant::now() + time));
    }

    pub(super) async fn connection(&mut self) -> Connection {
        let connection = tokio::time::timeout(PATIENCE, self.connections.recv()).await;
        connection.expect("connects in time").expect("the server lives")
    }
}

impl Drop for FakeCoordinator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl RunningWorker {
    /// Drains the worker, and waits until it has said goodbye and ended.
    pub(super) async fn leave(self, connection: &mut Connection) {
        self.handle.drain();
        connection.goodbye().await;
        // The coordinator closes the stream; here the test does.
        let (closed, _) = mpsc::channel(1);
        connection.outgoing = closed;
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended
            .expect("ends in time")
            .expect("does not panic")
            .expect("ends well");
    }
}

impl Connection {
    /// Sends messages in a frame.
    pub(super) async fn say(&mut self, messages: impl IntoIterator<Item = ToWorker>) {
        self.sent += 1;
        let frame = v1::CoordinatorFrame {
            number: self.sent,
            messages: messages.into_iter().map(|message| (&message).into()).collect(),
            ..v1::CoordinatorFrame::default()
        };
        self.outgoing.send(Ok(frame)).await.expect("the worker listens");
    }

    /// Returns the reports of the next frame that has some.
    pub(super) async fn reports(&mut self) -> Vec<Report> {
        loop {
            let frame = self.frame().await;
            if !frame.reports.is_empty() {
                return reports_from_wire(frame.reports).expect("the reports are in order");
            }
        }
    }

    async fn goodbye(&mut self) {
        while self.frame().await.goodbye.is_none() {}
    }

    async fn frame(&mut self) -> v1::WorkerFrame {
        let frame = tokio::time::timeout(PATIENCE, self.incoming.message()).await;
        let frame = frame.expect("says something in time").expect("the connection stands");
        let frame = frame.expect("the worker has not gone");
        if let Some(heartbeat) = &frame.heartbeat {
            let reply = v1::HeartbeatReply {
                sent_at_nanos: heartbeat.sent_at_nanos,
                ..v1::HeartbeatReply::default()
            };
            let answer = v1::CoordinatorFrame {
                heartbeat_reply: Some(reply),
                ..v1::CoordinatorFrame::default()
            };
            self.outgoing.send(Ok(answer)).await.expect("the worker listens");
        }
        frame
    }
}

struct Service {
    terms: Result<Terms, String>,
    connected: mpsc::Sender<Connection>,
    away: watch::Receiver<Option<Instant>>,
}

#[tonic::async_trait]
impl WorkerService for Service {
    type SessionStream = ReceiverStream<Result<v1::CoordinatorFrame, Status>>;
    type ListCommittedPartsStream = ReceiverStream<Result<v1::ListCommittedPartsResponse, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::WorkerFrame>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let is_away = self.away.borrow().is_some_and(|until| Instant::now() < until);
        if is_away {
            return Err(Status::unavailable("the coordinator is away"));
        }
        let terms = self.terms.clone().map_err(Status::failed_precondition)?;
        let mut incoming = request.into_inner();
        let first = incoming.message().await?.expect("the worker speaks first");
        let hello = first.hello.expect("the first frame has a hello");
        let (outgoing, stream) = mpsc::channel(16);
        let (resumption, sent) = match &hello.resume {
            Some(resume) => (Resumption::Resumed, resume.last_received),
            None => (Resumption::New, 0),
        };
        let duration = |time: Duration| prost_types::Duration::try_from(time).ok();
        let welcome = v1::Welcome {
            session: Some(v1::SessionId {
                generation: 1,
                sequence: 1,
            }),
            generation: 1,
            resumption: resumption.into(),
            last_received: 0,
            heartbeat_interval: duration(Duration::from_millis(100)),
            lease_time: duration(terms.lease_time),
            lease_margin: duration(terms.lease_time / 10),
            exchange_key: KEY.to_vec(),
            clock: Some(v1::ClockMapping {
                same_clock: true,
                offset_nanos: 0,
            }),
        };
        let frame = v1::CoordinatorFrame {
            welcome: Some(welcome),
            ..v1::CoordinatorFrame::default()
        };
        outgoing.send(Ok(frame)).await.expect("the stream is open");
        let connection = Connection {
            hello,
            outgoing,
            incoming,
            sent,
        };
        self.connected.send(connection).await.ok();
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn list_committed_parts(
        &self,
        _request: Request<v1::ListCommittedPartsRequest>,
    ) -> Result<Response<Self::ListCommittedPartsStream>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }
}

/// A run over a real file of three rows: extract, noop, discard.
pub(super) struct Job {
    file: tempfile::NamedTempFile,
    context: Arc<RunContext>,
}

impl Job {
    pub(super) fn quick() -> Job {
        Job::slow(Duration::ZERO)
    }

    /// A job whose second op sleeps.
    pub(super) fn slow(delay: Duration) -> Job {
        let mut file = tempfile::NamedTempFile::new().expect("makes a file");
        file.write_all(b"name\na\nb\nc\n").expect("is written");
        let found = file.as_file().metadata().expect("is there");
        let path = file.path().to_str().expect("is UTF-8").to_owned();
        let mut noop = Op::new("noop", OpKind::Noop);
        noop.delay.per_batch = delay;
        let job = JobSpec {
            name: "job".to_owned(),
            source: Source {
                uris: vec![path.clone()],
                csv: CsvDialect::default(),
            },
            batching: Batching::default(),
            schedule: Schedule::default(),
            ops: vec![Op::extract(), noop, Op::new("load", OpKind::Write(Sink::Discard))],
            failure: FailurePolicy::default(),
            deadline: None,
            labels: Default::default(),
            seed: None,
            checkpoint_uri: None,
        };
        let listed = SourceFile {
            path,
            bytes: found.len(),
            etag: SourceFile::etag_of(found.ino(), found.size(), found.mtime(), found.mtime_nsec()),
            data_start: 5,
        };
        let source = FrozenSource {
            files: vec![listed],
            columns: vec!["name".to_owned()],
        };
        let context = Arc::new(RunContext {
            run: RunId(1),
            job: Arc::new(job),
            source: Arc::new(source),
            seed: 1,
        });
        Job { file, context }
    }

    pub(super) fn context(&self) -> Arc<RunContext> {
        Arc::clone(&self.context)
    }

    /// Makes the file another one than was listed.
    pub(super) fn change_source(&self) {
        std::fs::write(self.file.path(), b"name\nchanged\n").expect("is written");
    }

    /// Grants the whole chain of the one batch.
    pub(super) fn grant(&self, sequence: u64) -> ToWorker {
        let step = |op| Step {
            op: OpId(op),
            attempt: Attempt::FIRST,
        };
        ToWorker::Grant(Grant {
            lease: id(sequence),
            run: RunId(1),
            batch: Some(BatchId::whole(1)),
            steps: (0..3).map(step).collect(),
            input: Input::Slice(Slice::Bytes(ByteSlice {
                file: FileId(0),
                start: 5,
                end: 11,
                first_line: 2,
                first_row: None,
                rows: Some(3),
                rows_before: 0,
            })),
            past: None,
            start: Start::Now,
        })
    }
}

pub(super) fn id(sequence: u64) -> LeaseId {
    LeaseId {
        generation: Generation(1),
        sequence,
    }
}
