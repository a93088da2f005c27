//! A worker's host: the real session and the real agent, and slots that run the real ops ([`crate::slots`]).
//!
//! The loop does what the one in `worker/src/worker.rs` does, without threads, exchange and draining: what a worker
//! keeps only it goes on with.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent::{Action, Agent, Input};
use common::ids::WorkerName;
use common::job::OpKind;
use common::time::Time;
use tokio::time::Instant;
use worker::session::{
    Advertised, ChainsRunning, Coordinator, Introduction, Outside, Session, SessionEvent, TaskLogs, Vitals,
};

use crate::coordinator::{self, simulated_nanos};
use crate::network;
use crate::slots::Slots;
use crate::trace::Trace;

/// What a worker is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) name: String,
    pub(crate) slots: u32,
    /// What names the process: each start of the host has a number of its own.
    pub(crate) process: u32,
    /// What the machine's clock is ahead of the coordinator's.
    pub(crate) ahead: Duration,
    /// How fast it goes, in percent.
    pub(crate) clock_rate: u64,
    /// What chance draws from.
    pub(crate) seed: u64,
    /// Where outputs are spilled to.
    pub(crate) folder: PathBuf,
    pub(crate) trace: Trace,
}

/// Runs a worker until its agent ends it, or its host is crashed.
pub(crate) async fn run(setup: Setup) -> turmoil::Result {
    let trace = setup.trace.clone();
    trace.tell(|| format!("{} starts as process {}", setup.name, setup.process));
    let outside = outside(&setup);
    let now = Arc::clone(&outside.now);
    let coordinator = Coordinator::new(None);
    let introduction = Introduction {
        coordinators: vec![format!("http://{}:{}", coordinator::HOST, coordinator::WORKERS)],
        token: None,
        name: WorkerName::new(&setup.name)?,
        slots: NonZeroU32::new(setup.slots).ok_or("a worker has slots")?,
        ops: OpKind::NAMES.map(str::to_owned).to_vec(),
        advertised: Advertised::Url(String::new()),
        labels: Default::default(),
    };
    let mut session = Session::new(introduction, coordinator.clone(), TaskLogs::default(), outside);
    let mut agent = Agent::new(agent::Config {
        slots: NonZeroU32::new(setup.slots).ok_or("a worker has slots")?,
        drain_grace: Duration::from_secs(5),
        leave_grace: Duration::from_secs(1),
        timeout_grace: Duration::from_secs(1),
    });
    let (slots, mut news) = Slots::new(
        setup.process,
        coordinator,
        Arc::clone(&now),
        setup.folder,
        trace.clone(),
    );
    loop {
        let idle = Duration::from_secs(3600);
        let wait = agent.next_timeout().map_or(idle, |at| at.since(now()));
        session.note_running(ChainsRunning {
            all: agent.running(),
            orphans: agent.orphans(),
        });
        slots.works_until(agent.works_until());
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(Instant::now() + wait) => agent.handle(Input::TimeoutReached, now()),
            input = news.recv() => agent.handle(input.ok_or("the slots are there")?, now()),
            event = session.next() => take(&mut agent, event?, now()),
        }
        agent.check().map_err(|broken| format!("{broken:?}"))?;
        while let Some(action) = agent.next_action() {
            match action {
                Action::OpenRun(context) => slots.open_run(context),
                Action::CloseRun { run } => slots.close_run(run),
                Action::StartChain { slot, chain } => slots.start_chain(slot, chain),
                Action::QueueChain(chain) => slots.queue_chain(chain),
                Action::TakeBackChain { lease } => {
                    if slots.take_back_chain(lease) {
                        agent.handle(Input::ChainTakenBack { lease }, now());
                    }
                }
                Action::TruncateChain { lease } => slots.truncate_chain(lease),
                Action::TimeOutOp { lease, op } => panic!("op {} of {lease} has no time limit", op.0),
                Action::StopChain { lease } => slots.stop_chain(lease),
                Action::DropOutput { run, output } => slots.drop_output(run, output),
                Action::Publish(publish) => slots.publish(&publish),
                Action::Report(report) => session.report(report),
                Action::SendHeartbeat { sent_at } => session.send_heartbeat(sent_at, vitals()),
                Action::Reattach(holdings) => session.reattach(&holdings),
                Action::Reconnect => session.reconnect(),
                Action::SayGoodbye => panic!("nobody asks this worker to leave"),
                Action::Exit(reason) => {
                    trace.exits(setup.process, &format!("{reason:?}"));
                    return Ok(());
                }
            }
        }
    }
}

fn take(agent: &mut Agent, event: SessionEvent, now: Time) {
    let input = match event {
        SessionEvent::Welcomed { welcome, .. } => Input::Welcomed(welcome),
        SessionEvent::Received(messages) => {
            for message in messages {
                agent.handle(Input::Received(message), now);
            }
            return;
        }
        SessionEvent::HeartbeatEchoed { sent_at } => Input::HeartbeatEchoed { sent_at },
        SessionEvent::Disconnected => Input::Disconnected,
        SessionEvent::Unknown => Input::SessionUnknown,
        SessionEvent::Ended(end) => Input::SessionEnded(end),
    };
    agent.handle(input, now);
}

/// What a worker says of its memory: always the same, so that each history has heartbeats of the same length.
fn vitals() -> Vitals {
    Vitals {
        rss_bytes: 1 << 20,
        parked_bytes: 0,
        spilled_bytes: 0,
        peak_rss_bytes: 1 << 20,
        peak_held_bytes: 0,
    }
}

fn outside(setup: &Setup) -> Outside {
    let trace = setup.trace.clone();
    let (ahead, rate) = (setup.ahead.as_nanos() as u64, setup.clock_rate);
    let drawn = AtomicU64::new(setup.seed ^ (u64::from(setup.process) << 32));
    Outside {
        connect: Arc::new(move |endpoint| Box::pin(network::connect(endpoint, trace.clone()))),
        now: Arc::new(move || Time(simulated_nanos() / 100 * rate + ahead)),
        draw: Arc::new(move || next_drawn(&drawn)),
        boot_id: format!("the machine of {}", setup.name),
        pid: setup.process,
    }
}

/// Draws the next number (splitmix64).
fn next_drawn(state: &AtomicU64) -> u64 {
    let step = 0x9e37_79b9_7f4a_7c15_u64;
    let mut mixed = state.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
