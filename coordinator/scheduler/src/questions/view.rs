//! What can be seen from outside: batches, workers and pools as lists show them.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use common::failure::Failure;
use common::ids::{Attempt, BatchId, OpId, RunId, SessionId, WorkerName};
use common::job::PoolName;
use common::slice::{BadRow, Slice};
use common::state::BatchState;
use common::time::Time;

use crate::journal::failed::FailedBatch;
use crate::scheduler::Scheduler;
use crate::state::batch::{Batch, BatchPhase, Place};
use crate::state::run::Run;
use crate::state::worker::{Session, SessionPhase};

/// A batch that is in flight, committing or failed. Batches that are done are known by their ids alone.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchView {
    /// The batch.
    pub id: BatchId,
    /// Where it is in its life.
    pub state: BatchState,
    /// The op that runs or is next; `None` when the chain is done.
    pub op: Option<OpId>,
    /// The number of that op's attempt.
    pub attempt: Attempt,
    /// The piece of the source it is made of; `None` once it is done.
    pub slice: Option<Slice>,
    /// The worker that holds it.
    pub worker: Option<WorkerName>,
    /// The last failure of it.
    pub failure: Option<Failure>,
    /// How many worker processes were lost while they ran it.
    pub crashes: u32,
    /// The row, of a batch that failed and was halved down to a single one.
    pub row: Option<BadRow>,
    /// Whether its wait after a failure is over, and it waits for room.
    pub comes_back: ComesBack,
}

impl BatchView {
    /// Shows a batch that has failed for good, of a run that goes on or of one that has ended.
    pub fn of_failed(id: BatchId, failed: &FailedBatch) -> BatchView {
        BatchView {
            id,
            state: BatchState::Failed,
            op: Some(failed.op),
            attempt: Attempt(failed.attempts.get(&failed.op).copied().unwrap_or(1)),
            slice: Some(failed.slice.clone()),
            worker: None,
            failure: Some(failed.failure.clone()),
            crashes: failed.crashes,
            row: failed.row.clone(),
            comes_back: ComesBack::No,
        }
    }
}

/// Whether a batch that was set aside after a failure is about to come back into flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComesBack {
    /// It is in flight, or its wait is not over.
    No,
    /// As soon as there is room: before any batch of its run is begun.
    WhenThereIsRoom,
}

/// A worker's session as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerView {
    /// The session.
    pub session: SessionId,
    /// The worker's name.
    pub worker: WorkerName,
    /// How it is doing.
    pub state: WorkerState,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// How many it runs now, unknown ones of a lost worker included.
    pub busy: u32,
    /// The kinds of op it can do.
    pub ops: BTreeSet<String>,
    /// When it was last heard.
    pub last_heard: Time,
}

/// A limit that runs share, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolView {
    /// Its name.
    pub name: PoolName,
    /// Its limit.
    pub limit: u32,
    /// Units in use, over all runs.
    pub used: u32,
    /// Who holds how many.
    pub holders: Vec<(RunId, u32)>,
}

/// How a worker's session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// Connected and heard.
    Live,
    /// Its connection broke; its leases live on until their time is over.
    Disconnected,
    /// Takes no new leases.
    Draining,
    /// Fenced: it commits nothing, and its units are freed when its leases are certainly over.
    Fenced,
}

impl Scheduler {
    /// Returns the batches of a run that are in flight, committing or failed, in order.
    pub fn batches(&self, run: RunId) -> impl Iterator<Item = BatchView> + '_ {
        self.runs.get(&run).into_iter().flat_map(|run| batches(run, self))
    }

    /// Returns the sessions, oldest first.
    pub fn workers(&self) -> impl Iterator<Item = WorkerView> + '_ {
        self.sessions.values().map(worker_view)
    }

    /// Returns the pools, by name.
    pub fn pools(&self) -> impl Iterator<Item = PoolView> + '_ {
        self.pools.iter().map(|(name, pool)| PoolView {
            name: name.clone(),
            limit: pool.limit.get(),
            used: pool.used,
            holders: self.holders(name),
        })
    }

    /// Returns the coordinator's own cap.
    pub fn coordinator_cap(&self) -> Option<NonZeroU32> {
        self.config.global_cap
    }
}

/// Lists the batches of a run that are known one by one.
fn batches<'a>(run: &'a Run, scheduler: &'a Scheduler) -> impl Iterator<Item = BatchView> + 'a {
    let mut open: Vec<BatchView> = run.batches.values().map(|batch| open_batch(batch, scheduler)).collect();
    open.extend(run.failed.iter().map(|(id, failed)| BatchView::of_failed(*id, failed)));
    open.sort_by_key(|view| view.id);
    open.into_iter()
}

fn open_batch(batch: &Batch, scheduler: &Scheduler) -> BatchView {
    let (state, step, session) = match batch.phase {
        BatchPhase::Ready | BatchPhase::Queued(_) | BatchPhase::Checkpointing => {
            (BatchState::Waiting, None, parked_at(batch))
        }
        BatchPhase::Backoff { .. } | BatchPhase::Returning => (BatchState::Backoff, None, parked_at(batch)),
        BatchPhase::Halving { .. } | BatchPhase::Halved => (BatchState::Halving, None, None),
        BatchPhase::Committing { session, .. } => (BatchState::Committing, None, Some(session)),
        BatchPhase::Publishing => (BatchState::Committing, None, None),
        BatchPhase::Leased(lease) => {
            let lease = scheduler.leases.get(&lease);
            let step = lease.and_then(|lease| lease.running.map(|running| running.step).or_else(|| lease.next_step()));
            (BatchState::Leased, step, lease.map(|lease| lease.session))
        }
    };
    let op = (batch.phase.is_in_flight() || batch.phase.is_set_aside())
        .then(|| step.map_or_else(|| batch.next_op(), |step| step.op));
    let next = |op: OpId| batch.next_attempt(op);
    BatchView {
        id: batch.id,
        state,
        op,
        attempt: step.map(|step| step.attempt).or(op.map(next)).unwrap_or(Attempt::FIRST),
        slice: Some(batch.slice.clone()),
        worker: session
            .and_then(|id| scheduler.sessions.get(&id))
            .map(|session| session.worker.clone()),
        failure: batch.failure.clone(),
        crashes: batch.crashes(),
        row: None,
        comes_back: match batch.phase {
            BatchPhase::Returning => ComesBack::WhenThereIsRoom,
            BatchPhase::Ready
            | BatchPhase::Queued(_)
            | BatchPhase::Leased(_)
            | BatchPhase::Halving { .. }
            | BatchPhase::Halved
            | BatchPhase::Backoff { .. }
            | BatchPhase::Committing { .. }
            | BatchPhase::Checkpointing
            | BatchPhase::Publishing => ComesBack::No,
        },
    }
}

fn parked_at(batch: &Batch) -> Option<SessionId> {
    match batch.place {
        Place::Source | Place::Checkpoint(_) => None,
        Place::Parked { session, .. } => Some(session),
    }
}

/// Returns the session as lists show it.
fn worker_view(session: &Session) -> WorkerView {
    WorkerView {
        session: session.id,
        worker: session.worker.clone(),
        state: match session.phase {
            SessionPhase::Opening | SessionPhase::Live => WorkerState::Live,
            SessionPhase::Draining => WorkerState::Draining,
            SessionPhase::Disconnected { .. } => WorkerState::Disconnected,
            SessionPhase::Fenced => WorkerState::Fenced,
        },
        slots: session.slots.get(),
        busy: session.busy,
        ops: session.ops.clone(),
        last_heard: session.last_heard,
    }
}
