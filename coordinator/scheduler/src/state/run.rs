//! A run: its source, its batches in flight, its counts, and where it is in its life.
//!
//! What a run does with itself is told by subject: [`flight`] (what waits, is in flight, is set aside), [`failures`],
//! [`halves`], [`checkpoints`], [`attempts`], [`finish`] (its ops over the whole run), [`kept`] (to and from its ledger). These
//! import the run and what the state may import; only [`finish`] is below it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use common::counts::{BatchCounts, RowCounts, TaskCounts};
use common::ids::{BatchId, Generation, LeaseId, OpId, RunId};
use common::job::{Job, LimitsChange};
use common::message::Step;
use common::part::Part;
use common::slice::{FrozenSource, RunContext, Slice};
use common::state::RunState;
use common::steering::{Activity, ActivityLog, CancelMode, RunCommand};
use common::summary::{Gauge, RunFailure};
use common::time::Time;

use crate::interface::event::{Asked, NewRun};
use crate::journal::budgets::Budgets;
use crate::journal::checkpoint::{Checkpoint, Rerun};
use crate::journal::committed::Committed;
use crate::journal::ending::Ending;
use crate::journal::failed::{FailedBatch, Tolerance};
use crate::journal::marks::HighMarks;
use crate::journal::run_ledger::Hold;
use crate::state::batch::Batch;
use crate::state::bucket::Bucket;
use crate::state::flow::Flow;
use crate::state::ready_queue::ReadyQueue;
use crate::state::run::finish::FinishOp;

mod attempts;
mod checkpoints;
mod failures;
pub(crate) mod finish;
mod flight;
pub(crate) mod halves;
mod kept;
mod marks;

/// Comes before every lease.
const NO_LEASE: LeaseId = LeaseId {
    generation: Generation(0),
    sequence: 0,
};

/// One execution of a job.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) job: Arc<Job>,
    pub(crate) source: Arc<FrozenSource>,
    pub(crate) context: Arc<RunContext>,
    pub(crate) accepted: Time,
    /// When it was reopened last, if it had ended before.
    pub(crate) reopened: Option<Time>,
    pub(crate) request_id: Option<String>,
    pub(crate) phase: RunPhase,
    /// Whether it is paused: then it takes no turns.
    pub(crate) hold: Hold,
    /// Whether somebody has asked that it go on, which is not durable yet.
    pub(crate) release: Release,
    /// How it was cancelled, if it was.
    pub(crate) cancelled: Option<CancelMode>,
    /// What it was told while it went on.
    pub(crate) told: Told,
    /// Slices that were found and are not begun.
    pub(crate) slices: VecDeque<(BatchId, Slice)>,
    pub(crate) sharding: Sharding,
    /// How many slices are kept at hand at least; raised when they are used up before more are found.
    pub(crate) slices_ahead: u32,
    pub(crate) bytes_sharded: u64,
    /// How many slices were found: the index of the next one.
    pub(crate) found: u64,
    /// How many batches were begun.
    pub(crate) begun: u64,
    /// Whether any was, also before a restart.
    pub(crate) has_started: bool,
    /// Whether a lease that begins a batch reaches to the end of the chain.
    pub(crate) flow: Flow,
    /// The steps of the lease that was granted last.
    pub(crate) last_steps: Arc<[Step]>,
    /// Leases that wait at workers for a permit, and the bytes of their slices.
    pub(crate) queued: BTreeSet<LeaseId>,
    pub(crate) queued_bytes: u64,
    /// Those of them that were asked back.
    pub(crate) recalled: BTreeSet<LeaseId>,
    /// Batches that were queued and came back unbegun: what they used up, and the attempts that a lost worker may have
    /// made, still count.
    pub(crate) put_back: BTreeMap<BatchId, Box<Batch>>,
    /// Batches begun and not done, and those that are queued.
    pub(crate) batches: BTreeMap<BatchId, Box<Batch>>,
    pub(crate) ready: ReadyQueue,
    /// Batches that failed for good.
    pub(crate) failed: BTreeMap<BatchId, FailedBatch>,
    /// Whether they are tolerated.
    pub(crate) tolerance: Tolerance,
    /// Halves of batches that were cut in two: neither committed nor failed nor cut themselves.
    pub(crate) halves: BTreeMap<BatchId, Slice>,
    /// How many batches were cut in two.
    pub(crate) halvings: u64,
    /// The failed batches that somebody asked to try again, as long as that is not durable.
    pub(crate) retrying: BTreeSet<BatchId>,
    /// Batches that were cut in two, before a restart or since: whoever finds or brings one whole comes too late.
    pub(crate) halved: BTreeSet<u64>,
    /// Failed batches that were taken back to be tried again before their slices were found again.
    pub(crate) taken_back: BTreeSet<u64>,
    /// Batches whose commit is durable.
    pub(crate) committed: Committed,
    /// The last checkpoints of batches that are neither committed nor cut in two.
    pub(crate) checkpoints: BTreeMap<BatchId, Checkpoint>,
    /// How many batches wait for their checkpoint to become durable.
    pub(crate) checkpointing: u64,
    /// Those that batches begin at because the run runs the later ops of another one again.
    pub(crate) inherited: BTreeMap<BatchId, Checkpoint>,
    /// Batches that begin at none of those any more, because it could not be read.
    pub(crate) given_up: BTreeSet<BatchId>,
    /// The run that it goes on from, if so.
    pub(crate) rerun: Option<Box<Rerun>>,
    /// What batches had used up of their budgets when the coordinator was restarted, or when they failed for good.
    pub(crate) budgets: BTreeMap<BatchId, Budgets>,
    /// What ops over the whole run had committed when the coordinator was restarted.
    pub(crate) committed_ops: BTreeMap<OpId, (LeaseId, Vec<Part>)>,
    /// What ops over the whole run had used up when the coordinator was restarted, or when the run ended before.
    pub(crate) finishing: Budgets,
    /// The last lease that was granted before its batches were all done, once they are.
    pub(crate) finish_after: LeaseId,
    /// How many records of how it ends are not durable.
    pub(crate) endings_under_way: u32,
    /// The ops over the whole run that put its output in place, once every batch is done.
    pub(crate) finish: Vec<FinishOp>,
    /// Permits in use: units of the run's cap.
    pub(crate) units: u32,
    /// Per op: units of its own limit in use.
    pub(crate) op_units: Vec<u32>,
    /// The token buckets of ops that have a rate.
    pub(crate) buckets: BTreeMap<OpId, Bucket>,
    /// Batches whose wait after a failure is over, and that wait for room among the batches in flight.
    pub(crate) returning: BTreeSet<BatchId>,
    pub(crate) gauges: Gauges,
    /// The numbers that only rise, as they were recorded last.
    pub(crate) recorded_marks: HighMarks,
    pub(crate) batch_counts: BatchCounts,
    pub(crate) task_counts: TaskCounts,
    pub(crate) rows: RowCounts,
    /// Those of them that belong to batches that were given up and have not failed.
    pub(crate) rows_given_up: RowCounts,
    pub(crate) first_loaded: Option<Time>,
    /// The first failure that counted.
    pub(crate) failure: Option<RunFailure>,
}

/// What a run was told while it went on: it is still so if the run goes on after its end.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) limits: LimitsChange,
    pub(crate) activity: ActivityLog,
}

impl Told {
    /// Takes in a command.
    pub(crate) fn push(&mut self, activity: &Activity) {
        match &activity.command {
            RunCommand::ChangeLimits(change) => self.limits.add(change),
            RunCommand::Pause { .. } | RunCommand::Resume | RunCommand::Cancel(_) | RunCommand::RetryFailed { .. } => {}
        }
        self.activity.push(activity.clone());
    }
}

/// Values of a run that go up and down.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) in_flight: Gauge,
    pub(crate) bytes: Gauge,
    pub(crate) committing: Gauge,
    pub(crate) running: Gauge,
    /// Batches set aside after a failure.
    pub(crate) backoff: Gauge,
}

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunPhase {
    /// Its record is not durable yet.
    Accepting,
    /// Begins batches.
    Active,
    /// Begins no more batches, and finishes the begun ones.
    Draining(Ending),
    /// Stopped its leases, and waits for their ends.
    Stopping(Ending),
    /// Puts its output in place.
    Finishing(Ending),
    /// Its end is recorded but not durable.
    Ending,
}

/// Whether a paused run is about to go on.
#[derive(Debug, Default)]
pub(crate) enum Release {
    #[default]
    NotAsked,
    /// Whether to pause or to go on is asked again meanwhile, or its policy says that it pauses: that is judged when it
    /// goes on, so that the journal and the effects have one order.
    UnderWay(Vec<BehindRelease>),
}

/// What comes while a paused run is about to go on, and is judged when it does.
#[derive(Debug)]
pub(crate) enum BehindRelease {
    /// Somebody asked for something.
    Asked(Asked),
    /// The run's policy pauses it.
    PolicyPause {
        /// Why.
        reason: String,
    },
}

/// How far the sharding of a run's source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharding {
    /// More slices can be asked for.
    Idle,
    /// More slices were asked for.
    Asked,
    /// There are no more, or no more are wanted.
    Over,
}

impl Run {
    /// Makes a run that is not durable yet.
    pub(crate) fn new(new: NewRun, now: Time) -> Run {
        let NewRun {
            run,
            job,
            source,
            seed,
            request_id,
            rerun,
        } = new;
        let context = RunContext {
            run,
            job: Arc::clone(&job),
            source: Arc::clone(&source),
            seed,
        };
        Run {
            id: run,
            ready: ReadyQueue::new(&job),
            flow: Flow::of(&job, rerun.as_deref()),
            last_steps: Arc::from([]),
            queued: BTreeSet::new(),
            queued_bytes: 0,
            recalled: BTreeSet::new(),
            put_back: BTreeMap::new(),
            op_units: vec![0; job.ops.len()],
            buckets: BTreeMap::new(),
            returning: BTreeSet::new(),
            job,
            source,
            context: Arc::new(context),
            accepted: now,
            reopened: None,
            request_id,
            phase: RunPhase::Accepting,
            hold: Hold::GoesOn,
            release: Release::NotAsked,
            cancelled: None,
            told: Told::default(),
            slices: VecDeque::new(),
            sharding: Sharding::Idle,
            slices_ahead: 0,
            bytes_sharded: 0,
            found: 0,
            begun: 0,
            has_started: false,
            batches: BTreeMap::new(),
            failed: BTreeMap::new(),
            tolerance: Tolerance::Within,
            halves: BTreeMap::new(),
            halvings: 0,
            retrying: BTreeSet::new(),
            halved: BTreeSet::new(),
            taken_back: BTreeSet::new(),
            committed: Committed::default(),
            checkpoints: BTreeMap::new(),
            inherited: BTreeMap::new(),
            given_up: BTreeSet::new(),
            rerun,
            checkpointing: 0,
            budgets: BTreeMap::new(),
            committed_ops: BTreeMap::new(),
            finishing: Budgets::default(),
            finish_after: NO_LEASE,
            endings_under_way: 0,
            finish: Vec::new(),
            units: 0,
            gauges: Gauges::default(),
            recorded_marks: HighMarks::default(),
            batch_counts: BatchCounts::default(),
            task_counts: TaskCounts::default(),
            rows: RowCounts::default(),
            rows_given_up: RowCounts::default(),
            first_loaded: None,
            failure: None,
        }
    }

    /// Replaces the job in force by one with other limits.
    pub(crate) fn put_into_force(&mut self, job: Arc<Job>) {
        self.flow = Flow::of(&job, self.rerun.as_deref());
        self.job = job;
    }

    /// Returns the run's state as people see it.
    pub(crate) fn state(&self) -> RunState {
        match self.phase {
            RunPhase::Accepting | RunPhase::Active | RunPhase::Draining(_) | RunPhase::Finishing(_)
                if self.hold == Hold::Paused =>
            {
                RunState::Paused
            }
            RunPhase::Accepting | RunPhase::Active if !self.has_started => RunState::Queued,
            RunPhase::Accepting
            | RunPhase::Active
            | RunPhase::Draining(_)
            | RunPhase::Stopping(_)
            | RunPhase::Finishing(_)
            | RunPhase::Ending => RunState::Running,
        }
    }

    /// Tells whether nothing of it may begin, while what runs goes on.
    pub(crate) fn begins_nothing(&self) -> bool {
        match self.phase {
            RunPhase::Stopping(_) => self.cancelled == Some(CancelMode::AfterRunning),
            RunPhase::Accepting
            | RunPhase::Active
            | RunPhase::Draining(_)
            | RunPhase::Finishing(_)
            | RunPhase::Ending => self.hold == Hold::Paused,
        }
    }

    /// Returns the state that the run has once it has ended this way.
    pub(crate) fn final_state(&self, ending: Ending) -> RunState {
        match ending {
            Ending::Complete if self.failed.is_empty() => RunState::Succeeded,
            Ending::Complete => RunState::CompletedWithFailures,
            Ending::Failed => RunState::Failed,
            Ending::Cancelled => RunState::Cancelled,
        }
    }

    /// Tells whether a slice that the sharder finds is known already: done, cut in two, or taken back.
    pub(crate) fn is_past(&self, id: BatchId) -> bool {
        self.committed.contains(id)
            || self.failed.contains_key(&id)
            || self.halved.contains(&id.index)
            || self.taken_back.contains(&id.index)
    }

    /// Tells whether a batch was begun, whether or not it is done; its slice is not to be begun again.
    pub(crate) fn has_begun(&self, id: BatchId) -> bool {
        self.is_past(id) || self.batches.contains_key(&id) || self.put_back.contains_key(&id)
    }

    /// Tells whether every batch that was begun is done.
    pub(crate) fn has_no_open_batch(&self) -> bool {
        self.batches.is_empty()
    }

    /// Returns the op over the whole run that a lease works on.
    pub(crate) fn finish_op(&mut self, op: OpId) -> Option<&mut FinishOp> {
        self.finish.iter_mut().find(|finish| finish.op == op)
    }
}
