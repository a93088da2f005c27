//! Sessions of workers, spoken by hand.

use std::net::SocketAddr;

use proto::v1;
use proto::v1::worker_service_client::WorkerServiceClient;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::serving::{PATIENCE, connect, serve, serve_with, submission};

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
