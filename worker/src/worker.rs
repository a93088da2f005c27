//! The worker: puts session, agent, executor and exchange together, and runs them.
//!
//! Owns the run loop, the only owner of the agent: it takes what the session, the slots, the publications and the
//! clock have to say, hands it to the agent, and does what the agent wants done. All decisions are the agent's.
//!
//! Data does not flow through here, only messages: leases down, reports up.
//!
//! Known weakness: when the loop itself is held up, nothing stops the slots in time; only the leases' tokens protect
//! the output then.

mod publishing;
mod resident;
mod shutdown;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agent::{Action, Agent, ExitReason, Input};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::shutdown::{Shutdown, ShutdownHandle, shutdown};

use self::publishing::Publishing;
use self::resident::Resident;
use self::shutdown::Stage;
use crate::clock::monotonic_now;
use crate::config::WorkerConfig;
use crate::exchange::{ExchangeKey, ExchangeServer, Fetcher, Health, Link};
use crate::executor::{Backlog, Executor, News, Surroundings, TakenBack};
use crate::memory::Memory;
use crate::ops::Registry;
use crate::parking::Parking;
use crate::session::{
    Advertised, ChainsRunning, Coordinator, Introduction, Outside, Session, SessionError, SessionEvent, Vitals,
};
use crate::task_log::TaskLogs;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long chains that were just stopped may take to end before the process does: what a thawed process may overlap.
const STOP_MOMENT: Duration = Duration::from_millis(100);

/// A worker, ready to run.
pub struct Worker {
    config: WorkerConfig,
    registry: Registry,
}

/// What is known when the worker is ready to be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The address that the exchange is bound to.
    pub exchange: SocketAddr,
}

/// Why a worker ended without having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// There is no coordinator to work for.
    #[error("no coordinator is given; name one by its url, such as http://127.0.0.1:50052")]
    NoCoordinator,
    /// The exchange's address cannot be bound.
    #[error("listen on {address} for other workers: {source}; choose another address")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The system gives no more threads.
    #[error("start the threads of the slots: {0}; run with fewer slots")]
    Threads(io::Error),
    /// The coordinator does not want this worker.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The exchange stopped by itself.
    #[error("serve other workers: {0}")]
    Exchange(String),
    /// Another process of the same name has connected.
    #[error("another worker of this name has connected; give each worker a name of its own")]
    Replaced,
    /// An op runs on though its lease is over. The process has to end now, without waiting for any thread.
    #[error("an op did not stop when its lease was over")]
    OpDidNotStop,
}

impl Worker {
    /// Makes a worker that can do every standard kind of op, and run the programs that it allows.
    pub fn new(config: WorkerConfig) -> Worker {
        Worker {
            registry: Registry::with_programs(config.allowed_programs.clone()),
            config,
        }
    }

    /// Works until it is asked to leave or cannot go on; says on `ready` when it can be reached.
    ///
    /// After an error, and when it was told to leave at once, threads may still run ops: the caller ends the process.
    pub async fn run(self, shutdown: Shutdown, ready: oneshot::Sender<Ready>) -> Result<(), WorkerError> {
        if self.config.coordinators.is_empty() {
            return Err(WorkerError::NoCoordinator);
        }
        let mut running = self.start().await?;
        // Nobody has to care whether the worker is ready.
        let _ = ready.send(Ready {
            exchange: running.exchange_address,
        });
        let result = running.work(shutdown).await;
        running.end(result).await
    }

    async fn start(self) -> Result<Running, WorkerError> {
        let config = self.config;
        let memory = Memory::new(config.parking_memory);
        let parking = Arc::new(Parking::new(Arc::clone(&memory), config.spill_dir.clone()));
        let exchange_key = ExchangeKey::default();
        let address = config.exchange;
        let exchange = ExchangeServer::bind(address, Arc::clone(&parking), exchange_key.clone()).await;
        let exchange = exchange.map_err(|source| WorkerError::Bind { address, source })?;
        let exchange_address = exchange.address();
        let health = exchange.health();
        let (stop_exchange, stop) = oneshot::channel();
        let exchange = tokio::spawn(exchange.serve(stop));

        let coordinator = Coordinator::new(config.token.clone());
        let task_logs = TaskLogs::default();
        let surroundings = Surroundings {
            parking: Arc::clone(&parking),
            fetcher: Fetcher::new(memory),
            task_logs: task_logs.clone(),
            coordinator: coordinator.clone(),
            runtime: tokio::runtime::Handle::current(),
        };
        let slots = config.slots.get();
        let executor = Executor::start(slots, self.registry.clone(), &surroundings);
        let (executor, news) = executor.map_err(WorkerError::Threads)?;
        let introduction = Introduction {
            coordinators: config.coordinators,
            token: config.token,
            name: config.name,
            slots: config.slots,
            ops: self.registry.names().map(str::to_owned).collect(),
            advertised: Advertised::new(config.advertise, exchange_address),
            labels: config.labels,
        };
        Ok(Running {
            agent: Agent::new(agent::Config {
                slots: config.slots,
                drain_grace: config.drain_grace,
                leave_grace: config.leave_grace,
                timeout_grace: config.timeout_grace,
            }),
            session: Session::new(introduction, coordinator, task_logs, Outside::system()),
            executor,
            news,
            publishing: Publishing::default(),
            resident: Resident::default(),
            parking,
            exchange_key,
            exchange_address,
            health,
            exchange,
            stop_exchange,
        })
    }
}

/// A worker that runs.
struct Running {
    agent: Agent,
    session: Session,
    executor: Executor,
    news: News,
    publishing: Publishing,
    resident: Resident,
    parking: Arc<Parking>,
    exchange_key: ExchangeKey,
    exchange_address: SocketAddr,
    health: Health,
    exchange: JoinHandle<Result<(), tonic::transport::Error>>,
    stop_exchange: oneshot::Sender<()>,
}

/// Whether the last word is said.
enum Farewell {
    /// A goodbye is due.
    Say,
    /// There is nobody to say it to.
    Skip,
}

impl Running {
    /// Takes inputs until the agent wants the process to end.
    async fn work(&mut self, mut shutdown: Shutdown) -> Result<(ExitReason, Farewell), WorkerError> {
        let mut slot_inputs = Vec::new();
        loop {
            let timeout = self.next_timeout();
            self.session.note_running(ChainsRunning {
                all: self.agent.running(),
                orphans: self.agent.orphans(),
            });
            self.executor.works_until(self.agent.works_until());
            match self.executor.relieve() {
                Backlog::None => {}
                Backlog::Some => self.news.look_soon(),
            }
            tokio::select! {
                biased;
                stage = shutdown.next() => self.agent.handle(match stage {
                    Stage::Draining => Input::DrainRequested,
                    Stage::Leaving => Input::LeaveNow,
                    Stage::Staying => Input::TimeoutReached,
                }, monotonic_now()),
                () = tokio::time::sleep_until(timeout) => self.agent.handle(Input::TimeoutReached, monotonic_now()),
                () = self.news.wait() => self.take_slot_inputs(&mut slot_inputs),
                event = self.session.next() => self.take_session_event(event?).await,
                input = self.publishing.next() => self.agent.handle(input, monotonic_now()),
                served = &mut self.exchange => {
                    return Err(WorkerError::Exchange(format!("the exchange ended: {served:?}")));
                }
            }
            if let Some(end) = self.act() {
                return Ok(end);
            }
        }
    }

    fn next_timeout(&self) -> Instant {
        let idle = Duration::from_secs(3600);
        let wait = self.agent.next_timeout().map_or(idle, |at| at.since(monotonic_now()));
        Instant::now() + wait
    }

    fn take_slot_inputs(&mut self, inputs: &mut Vec<Input>) {
        let now = monotonic_now();
        self.news.take(now, inputs);
        for input in inputs.drain(..) {
            self.agent.handle(input, now);
        }
    }

    async fn take_session_event(&mut self, event: SessionEvent) {
        let input = match event {
            SessionEvent::Welcomed { welcome, exchange_key } => {
                self.exchange_key.set(exchange_key);
                self.health.set(Link::Up).await;
                Input::Welcomed(welcome)
            }
            SessionEvent::Received(messages) => {
                let now = monotonic_now();
                for message in messages {
                    self.agent.handle(Input::Received(message), now);
                }
                return;
            }
            SessionEvent::HeartbeatEchoed { sent_at } => Input::HeartbeatEchoed { sent_at },
            SessionEvent::Disconnected => {
                self.health.set(Link::Down).await;
                Input::Disconnected
            }
            SessionEvent::Unknown => Input::SessionUnknown,
            SessionEvent::Ended(end) => {
                self.health.set(Link::Down).await;
                Input::SessionEnded(end)
            }
        };
        self.agent.handle(input, monotonic_now());
    }

    /// Does what the agent wants done; returns how the process ends if it is to.
    fn act(&mut self) -> Option<(ExitReason, Farewell)> {
        let mut farewell = Farewell::Skip;
        while let Some(action) = self.agent.next_action() {
            match action {
                Action::OpenRun(context) => self.executor.open_run(context),
                Action::CloseRun { run } => {
                    self.executor.close_run(run);
                    self.parking.drop_run(run);
                }
                Action::StartChain { slot, chain } => self.executor.start_chain(slot, chain),
                Action::QueueChain(chain) => self.executor.queue_chain(chain),
                Action::TakeBackChain { lease } => match self.executor.take_back_chain(lease) {
                    TakenBack::Yes => self.agent.handle(Input::ChainTakenBack { lease }, monotonic_now()),
                    TakenBack::SlotTookIt => {}
                },
                Action::TruncateChain { lease } => self.executor.truncate_chain(lease),
                Action::TimeOutOp { lease, op } => self.executor.time_out_op(lease, op),
                Action::StopChain { lease } => self.executor.stop_chain(lease),
                Action::DropOutput { run, output } => self.parking.drop_output(run, output),
                Action::Publish(publish) => {
                    let run = self.executor.run(publish.run).cloned();
                    self.publishing.begin(run, publish);
                }
                Action::Report(report) => self.session.report(report),
                Action::SendHeartbeat { sent_at } => {
                    let bytes = self.parking.bytes();
                    let resident = self.resident.look();
                    let vitals = Vitals {
                        rss_bytes: resident.now,
                        peak_rss_bytes: resident.peak,
                        peak_held_bytes: self.parking.memory().take_peak(),
                        parked_bytes: bytes.memory + bytes.spilled,
                        spilled_bytes: bytes.spilled,
                    };
                    self.session.send_heartbeat(sent_at, vitals);
                }
                Action::Reattach(holdings) => self.session.reattach(&holdings),
                Action::Reconnect => self.session.reconnect(),
                Action::SayGoodbye => farewell = Farewell::Say,
                Action::Exit(reason) => return Some((reason, farewell)),
            }
        }
        None
    }

    /// Gives chains that were stopped only just now a moment to delete what they staged: of a process that was frozen for
    /// longer than a lease nobody else might.
    async fn let_stopped_chains_end(&mut self) {
        let mut unheard = Vec::new();
        while let Some(since) = self.executor.waits_since() {
            let moment = tokio::time::timeout_at((since + STOP_MOMENT).into(), self.news.wait());
            if moment.await.is_err() {
                return;
            }
            self.news.take(monotonic_now(), &mut unheard);
        }
    }

    /// Says goodbye where it is due, and lets go of everything that can be let go of.
    async fn end(mut self, result: Result<(ExitReason, Farewell), WorkerError>) -> Result<(), WorkerError> {
        let (reason, farewell) = result?;
        match reason {
            ExitReason::Left => {}
            ExitReason::LeftRunning | ExitReason::OpDidNotStop | ExitReason::Replaced => {
                self.let_stopped_chains_end().await;
            }
        }
        match farewell {
            Farewell::Say => self.session.leave(GOODBYE).await,
            Farewell::Skip => {}
        }
        let _ = self.stop_exchange.send(());
        match reason {
            ExitReason::Left => {
                self.executor.shut_down();
                Ok(())
            }
            ExitReason::LeftRunning => {
                tracing::warn!("left with an op that did not stop");
                Ok(())
            }
            ExitReason::OpDidNotStop => Err(WorkerError::OpDidNotStop),
            ExitReason::Replaced => Err(WorkerError::Replaced),
        }
    }
}
