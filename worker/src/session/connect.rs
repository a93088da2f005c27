//! Dialling a coordinator: the hello, its answer, and what is to be made of a refusal.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use agent::{SessionEnd, SessionKind, Welcome};
use common::ids::{SessionId, WorkerName};
use proto::token::WorkerToken;
use proto::v1;
use proto::v1::session_ended::Reason;
use proto::v1::welcome::Resumption;
use proto::v1::worker_service_client::WorkerServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use super::advertised::Advertised;
use super::outside::Outside;

/// The protocol's version that this worker speaks.
const PROTOCOL_VERSION: u32 = 1;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Frames on their way into the connection; more wait in the session.
const OUTGOING: usize = 4;

/// Why a worker cannot work for its coordinator, whatever it tries.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The coordinator refuses this worker: another version of the protocol, or something else it says.
    #[error("the coordinator refuses this worker: {message}")]
    Refused {
        /// What the coordinator said.
        message: String,
    },
    /// A coordinator's URL is none.
    #[error("{url:?} is no url of a coordinator: {message}; write one like http://127.0.0.1:50052")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        message: String,
    },
}

/// What the worker says about itself whenever it connects.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// The coordinators to dial, in turn; never empty.
    pub coordinators: Vec<String>,
    /// What is shown to a coordinator that asks for it.
    pub token: Option<WorkerToken>,
    /// The worker's name.
    pub name: WorkerName,
    /// How many chains it runs at once.
    pub slots: NonZeroU32,
    /// The kinds of op that it can do.
    pub ops: Vec<String>,
    /// Where its exchange is reached.
    pub advertised: Advertised,
    /// Free words for people and tools.
    pub labels: BTreeMap<String, String>,
}

impl Introduction {
    fn hello(&self, outside: &Outside, exchange_address: String, claim: Claim, number: u64) -> v1::Hello {
        let (resume, holdings) = match claim {
            Claim::Nothing => (None, None),
            Claim::Session(resume) => (Some(resume), None),
            Claim::Holdings(holdings) => (None, Some(holdings)),
        };
        v1::Hello {
            protocol_version: PROTOCOL_VERSION,
            worker_name: self.name.as_str().to_owned(),
            slots: self.slots.get(),
            ops: self.ops.clone(),
            exchange_address,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: outside.pid,
            boot_id: outside.boot_id.clone(),
            labels: self.labels.clone(),
            resume,
            holdings,
            number,
        }
    }
}

/// What a hello claims from before.
#[derive(Clone, Debug)]
pub(super) enum Claim {
    /// Nothing.
    Nothing,
    /// A session to go on with.
    Session(v1::Resume),
    /// What is held from a session that the coordinator does not know.
    Holdings(v1::Holdings),
}

/// A connection whose hello was answered.
pub(super) struct Connected {
    pub(super) channel: Channel,
    pub(super) outgoing: mpsc::Sender<v1::WorkerFrame>,
    pub(super) incoming: Streaming<v1::CoordinatorFrame>,
    pub(super) session: SessionId,
    pub(super) welcome: Welcome,
    pub(super) last_received: u64,
    pub(super) exchange_key: Vec<u8>,
    pub(super) clock: ClockAnswer,
}

/// What a welcome says about the clocks.
#[derive(Clone, Copy, Debug)]
pub(super) enum ClockAnswer {
    /// Both processes share one monotonic clock.
    Shared { offset: i64 },
    /// They do not; the offset is as good as the round trip was short.
    Guess { offset: i64 },
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// Try again, or another coordinator.
    Unreachable { url: String, message: String },
    /// The coordinator does not want this hello.
    Refused(String),
    /// The coordinator has ended the session that the hello was to begin.
    Ended(SessionEnd),
    /// Nothing will help.
    Fatal(SessionError),
}

/// Connects and says hello.
pub(super) async fn connect(
    outside: Outside,
    url: String,
    introduction: Introduction,
    claim: Claim,
    number: u64,
) -> Result<Connected, ConnectError> {
    let unreachable = |message: String| ConnectError::Unreachable {
        url: url.clone(),
        message,
    };
    let endpoint = Endpoint::from_shared(url.clone()).map_err(|error| {
        let (url, message) = (url.clone(), error.to_string());
        ConnectError::Fatal(SessionError::BadUrl { url, message })
    })?;
    let uri = endpoint.uri().clone();
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let connected = (outside.connect)(endpoint).await;
    let channel = connected.map_err(|error| unreachable(chain_of(&error)))?;
    let exchange_address = introduction.advertised.url(&uri).await;
    let exchange_address = exchange_address.map_err(|error| unreachable(error.to_string()))?;
    let hello = introduction.hello(&outside, exchange_address, claim, number);
    let greeting = greet(channel, hello, introduction.token.as_ref(), &outside);
    match tokio::time::timeout(HELLO_TIMEOUT, greeting).await {
        Err(_elapsed) => Err(unreachable("it did not answer the hello in time".to_owned())),
        Ok(Err(GreetError::Status(status))) => Err(refusal(url, &status)),
        Ok(Err(GreetError::Ended(end))) => Err(ConnectError::Ended(end)),
        Ok(Ok(connected)) => Ok(connected),
    }
}

/// Why a hello was not welcomed.
enum GreetError {
    Status(Box<Status>),
    Ended(SessionEnd),
}

impl From<Status> for GreetError {
    fn from(status: Status) -> GreetError {
        GreetError::Status(Box::new(status))
    }
}

async fn greet(
    channel: Channel,
    hello: v1::Hello,
    token: Option<&WorkerToken>,
    outside: &Outside,
) -> Result<Connected, GreetError> {
    let mut client = WorkerServiceClient::new(channel.clone());
    let (outgoing, frames) = mpsc::channel(OUTGOING);
    let hello_sent_at = outside.now();
    let first = v1::WorkerFrame {
        hello: Some(hello),
        ..v1::WorkerFrame::default()
    };
    let closed = |_| Status::unavailable("the stream is closed");
    outgoing.send(first).await.map_err(closed)?;
    let mut request = Request::new(ReceiverStream::new(frames));
    if let Some(token) = token {
        token.authorize(request.metadata_mut());
    }
    let mut incoming = client.session(request).await?.into_inner();
    let frame = incoming.message().await?;
    if let Some(ended) = frame.as_ref().and_then(|frame| frame.ended.as_ref()) {
        return Err(GreetError::Ended(session_end(ended.reason())));
    }
    let welcome = frame.and_then(|frame| frame.welcome);
    let welcome = welcome.ok_or_else(|| Status::unavailable("the first frame is no welcome"))?;
    let kind = match welcome.resumption() {
        Resumption::Resumed => SessionKind::Resumed,
        Resumption::Reattached => SessionKind::Reattached,
        Resumption::New | Resumption::Unspecified => SessionKind::Fresh,
    };
    let clock = welcome.clock.unwrap_or_default();
    let offset = clock.offset_nanos;
    Ok(Connected {
        channel,
        outgoing,
        incoming,
        session: welcome.session.unwrap_or_default().into(),
        welcome: Welcome {
            hello_sent_at,
            lease_time: duration(welcome.lease_time)?,
            lease_margin: duration(welcome.lease_margin)?,
            heartbeat_interval: duration(welcome.heartbeat_interval)?,
            kind,
        },
        last_received: welcome.last_received,
        exchange_key: welcome.exchange_key,
        clock: if clock.same_clock {
            ClockAnswer::Shared { offset }
        } else {
            ClockAnswer::Guess { offset }
        },
    })
}

/// Turns the reason of an ended session into the agent's word for it.
pub(super) fn session_end(reason: Reason) -> SessionEnd {
    match reason {
        Reason::Replaced => SessionEnd::Replaced,
        Reason::Expired => SessionEnd::Expired,
        Reason::Drained => SessionEnd::Drained,
        Reason::Protocol | Reason::Unspecified => SessionEnd::Protocol,
    }
}

/// Returns a time between half of `longest` and all of it, as a number that was drawn says.
pub(super) fn jittered(longest: Duration, drawn: u64) -> Duration {
    let share = (drawn >> 11) as f64 / (1_u64 << 53) as f64;
    longest.mul_f64(0.5 + share / 2.0)
}

/// What the codes mean here: refusals will be repeated, everything else may pass.
fn refusal(url: String, status: &Status) -> ConnectError {
    let message = status.message().to_owned();
    let refuses = [
        Code::FailedPrecondition,
        Code::InvalidArgument,
        Code::Unimplemented,
        Code::Unauthenticated,
        Code::PermissionDenied,
    ];
    if refuses.contains(&status.code()) {
        return ConnectError::Refused(message);
    }
    ConnectError::Unreachable { url, message }
}

fn duration(wire: Option<prost_types::Duration>) -> Result<Duration, Status> {
    let duration = wire.and_then(|wire| Duration::try_from(wire).ok());
    duration.ok_or_else(|| Status::failed_precondition("the welcome misses a time"))
}

fn chain_of(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}
