//! A crowd of simulated workers: many sessions in one process, over real gRPC and with the real agent, whose ops end at once.
//!
//! What is left out is what costs the coordinator nothing: threads, files, data. Each session has a connection of its own
//! and sends what it has to say as soon as it has said it, which is the most work for the coordinator that a worker makes.
//! Known weakness: a session whose connection breaks is not resumed; the process ends, and the benchmark with it.

use std::collections::VecDeque;
use std::error::Error;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use agent::{Action, Agent, Chain, Config, Input, SessionKind, Welcome};
use common::done::OpDone;
use common::message::{OpRan, Report};
use common::time::Time;
use proto::convert::packed::{messages_from_wire, reports_to_wire};
use proto::v1;
use proto::v1::worker_service_client::WorkerServiceClient;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Request, Streaming};

const PROTOCOL_VERSION: u32 = 1;
/// How many frames may wait for the connection.
const OUTGOING: usize = 16;
/// How many reports go into a frame, as with real workers.
const REPORTS_PER_FRAME: usize = 512;
/// How many frames are taken before they are acknowledged at the latest.
const ACKNOWLEDGE_EVERY: u64 = 16;
/// How long each of the agent's graces is: nothing here takes any time.
const GRACE: Duration = Duration::from_secs(10);

type Failed = Box<dyn Error + Send + Sync>;

/// A process' share of the crowd, written as `URL,FIRST,SESSIONS,SLOTS`.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    pub(crate) url: String,
    pub(crate) first: u32,
    pub(crate) sessions: u32,
    pub(crate) slots: NonZeroU32,
}

impl Crowd {
    /// Returns the word that [`Crowd::from_str`] reads.
    pub(crate) fn word(&self) -> String {
        format!("{},{},{},{}", self.url, self.first, self.sessions, self.slots)
    }
}

impl FromStr for Crowd {
    type Err = Failed;

    fn from_str(word: &str) -> Result<Crowd, Failed> {
        let [url, first, sessions, slots] = word.split(',').collect::<Vec<_>>()[..] else {
            return Err("write URL,FIRST,SESSIONS,SLOTS".into());
        };
        Ok(Crowd {
            url: url.to_owned(),
            first: first.parse()?,
            sessions: sessions.parse()?,
            slots: slots.parse()?,
        })
    }
}

/// Works until the first session ends.
pub(crate) fn work(crowd: &Crowd) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut sessions = JoinSet::new();
        for number in crowd.first..crowd.first + crowd.sessions {
            let connected = Member::connect(&crowd.url, format!("c{number}"), crowd.slots).await?;
            sessions.spawn(connected.work());
        }
        sessions.join_next().await.ok_or("a crowd of nobody")??
    })
}

/// One simulated worker.
struct Member {
    agent: Agent,
    outgoing: mpsc::Sender<v1::WorkerFrame>,
    incoming: Streaming<v1::CoordinatorFrame>,
    /// The coordinator's clock minus this machine's, in nanoseconds.
    offset: i64,
    /// Chains that wait for a slot.
    waiting: VecDeque<Chain>,
    reports: Vec<Report>,
    heartbeat: Option<v1::Heartbeat>,
    sent: u64,
    received: u64,
    acknowledged: u64,
}

impl Member {
    async fn connect(url: &str, name: String, slots: NonZeroU32) -> Result<Member, Failed> {
        let channel = Endpoint::from_shared(url.to_owned())?
            .tcp_nodelay(true)
            .connect()
            .await?;
        let (outgoing, frames) = mpsc::channel(OUTGOING);
        let hello_sent_at = monotonic_now();
        let hello = v1::Hello {
            protocol_version: PROTOCOL_VERSION,
            // Distinct for each member, as addresses of real workers are: it tells their processes apart.
            exchange_address: format!("http://{name}.invalid"),
            worker_name: name,
            slots: slots.get(),
            ops: vec!["extract".to_owned(), "noop".to_owned()],
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            number: 1,
            ..v1::Hello::default()
        };
        let first = v1::WorkerFrame {
            hello: Some(hello),
            ..v1::WorkerFrame::default()
        };
        outgoing.send(first).await?;
        let request = Request::new(ReceiverStream::new(frames));
        let mut incoming = WorkerServiceClient::new(channel).session(request).await?.into_inner();
        let frame = incoming.message().await?.ok_or("the coordinator said nothing")?;
        let welcome = frame.welcome.ok_or("the first frame is no welcome")?;
        let duration = |wire: Option<prost_types::Duration>| -> Result<Duration, Failed> {
            Ok(wire.ok_or("the welcome misses a time")?.try_into()?)
        };
        let mut agent = Agent::new(Config {
            slots,
            drain_grace: GRACE,
            leave_grace: GRACE,
            timeout_grace: GRACE,
        });
        let input = Input::Welcomed(Welcome {
            hello_sent_at,
            lease_time: duration(welcome.lease_time)?,
            lease_margin: duration(welcome.lease_margin)?,
            heartbeat_interval: duration(welcome.heartbeat_interval)?,
            kind: SessionKind::Fresh,
        });
        agent.handle(input, monotonic_now());
        Ok(Member {
            agent,
            outgoing,
            incoming,
            offset: welcome.clock.unwrap_or_default().offset_nanos,
            waiting: VecDeque::new(),
            reports: Vec::new(),
            heartbeat: None,
            sent: 0,
            received: 0,
            acknowledged: 0,
        })
    }

    /// Takes what comes and answers it, until the session ends.
    async fn work(mut self) -> Result<(), Failed> {
        loop {
            self.act();
            self.send().await?;
            let idle = Duration::from_secs(3_600);
            let nap = self.agent.next_timeout().map_or(idle, |at| at.since(monotonic_now()));
            tokio::select! {
                frame = self.incoming.message() => match frame? {
                    Some(frame) => self.take(frame)?,
                    None => return Ok(()),
                },
                () = tokio::time::sleep(nap) => self.agent.handle(Input::TimeoutReached, monotonic_now()),
            }
        }
    }

    fn take(&mut self, frame: v1::CoordinatorFrame) -> Result<(), Failed> {
        let now = monotonic_now();
        if let Some(ended) = frame.ended {
            return Err(format!("the session ended: {}", ended.message).into());
        }
        if let Some(reply) = frame.heartbeat_reply {
            let sent_at = Time(reply.sent_at_nanos);
            self.agent.handle(Input::HeartbeatEchoed { sent_at }, now);
        }
        if frame.number != 0 {
            self.received = frame.number;
            for message in messages_from_wire(frame.messages)? {
                self.agent.handle(Input::Received(message), now);
            }
        }
        Ok(())
    }

    /// Does what the agent wants done; a chain that is started is over at once.
    fn act(&mut self) {
        while let Some(action) = self.agent.next_action() {
            match action {
                Action::StartChain { chain, .. } => self.run(chain),
                Action::QueueChain(chain) => self.waiting.push_back(chain),
                Action::TakeBackChain { lease } => {
                    let place = self.waiting.iter().position(|chain| chain.lease == lease);
                    if place.and_then(|place| self.waiting.remove(place)).is_some() {
                        self.agent.handle(Input::ChainTakenBack { lease }, monotonic_now());
                    }
                }
                Action::Report(report) => self.reports.push(report),
                Action::SendHeartbeat { sent_at } => {
                    self.heartbeat = Some(v1::Heartbeat {
                        sent_at_nanos: sent_at.0,
                        ..v1::Heartbeat::default()
                    });
                }
                Action::OpenRun(_)
                | Action::CloseRun { .. }
                | Action::TruncateChain { .. }
                | Action::TimeOutOp { .. }
                | Action::StopChain { .. }
                | Action::DropOutput { .. }
                | Action::Publish(_)
                | Action::Reattach(_)
                | Action::Reconnect
                | Action::SayGoodbye
                | Action::Exit(_) => {}
            }
        }
    }

    /// Runs a chain, and in its slot every chain that waits.
    fn run(&mut self, chain: Chain) {
        let mut next = Some(chain);
        while let Some(chain) = next {
            let now = monotonic_now();
            let at = Time(now.0.saturating_add_signed(self.offset));
            let ran = OpRan {
                started: at,
                ended: at,
                done: OpDone {
                    rows_in: 1,
                    rows_out: 1,
                    ..OpDone::default()
                },
            };
            next = self.waiting.pop_front();
            let input = Input::ChainRan {
                lease: chain.lease,
                ops: vec![ran; chain.steps.len()],
                next: next.as_ref().map(|next| next.lease),
            };
            self.agent.handle(input, now);
        }
    }

    async fn send(&mut self) -> Result<(), Failed> {
        let reports = std::mem::take(&mut self.reports);
        let mut frames: Vec<&[Report]> = reports.chunks(REPORTS_PER_FRAME).collect();
        let is_due = self.heartbeat.is_some() || self.received >= self.acknowledged + ACKNOWLEDGE_EVERY;
        if frames.is_empty() && is_due {
            frames.push(&[]);
        }
        for frame in frames {
            let number = match frame {
                [] => 0,
                [..] => {
                    self.sent += 1;
                    self.sent
                }
            };
            self.acknowledged = self.received;
            let frame = v1::WorkerFrame {
                number,
                acknowledged: self.received,
                heartbeat: self.heartbeat.take(),
                reports: reports_to_wire(frame),
                ..v1::WorkerFrame::default()
            };
            self.outgoing.send(frame).await?;
        }
        Ok(())
    }
}

fn monotonic_now() -> Time {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    Time(seconds * 1_000_000_000 + nanos)
}
