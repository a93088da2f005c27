//! The plan of a history: who works, what is submitted, what the weather is like, and which faults come when.
//!
//! Everything that chance decides beforehand stands here, so that a history can be printed, and shrunk by taking
//! pieces of its plan away. What is left to chance while it runs follows from the seed and from names.

use std::time::Duration;

use common::job::{Bisect, Checkpointing, OnFailure, Order, Rate};

/// Everything that a history is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the rest was drawn from, and what is drawn while the history runs.
    pub seed: u64,
    /// The numbers that the coordinator is configured with.
    pub terms: Terms,
    /// The workers that there are from the beginning or join later.
    pub workers: Vec<WorkerPlan>,
    /// The jobs that are submitted.
    pub jobs: Vec<JobPlan>,
    /// What goes wrong a little, all the time.
    pub weather: Weather,
    /// What goes wrong at a certain moment.
    pub faults: Vec<Fault>,
}

/// The coordinator's configuration.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How long leases live.
    pub lease_time: Duration,
    /// What the coordinator waits beyond that.
    pub lease_margin: Duration,
    /// How often workers send heartbeats.
    pub heartbeat: Duration,
    /// How long a disconnected worker keeps its batches.
    pub patience: Duration,
    /// The cap over all runs.
    pub global_cap: Option<u32>,
    /// The limits that runs share.
    pub pools: Vec<u32>,
}

/// A worker.
#[derive(Clone, Debug)]
pub struct WorkerPlan {
    /// How many tasks it runs at once.
    pub slots: u32,
    /// The kind of op that it cannot do.
    pub lacks: Option<&'static str>,
    /// Whether others can fetch from it.
    pub exchange: Exchange,
    /// How fast its clock goes: a million is true.
    pub clock_rate: u64,
    /// When it is started first.
    pub joins_at: Duration,
}

/// Whether other workers can fetch a worker's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// They can.
    Listens,
    /// They cannot.
    None,
}

/// A job, and when it is submitted.
#[derive(Clone, Debug)]
pub struct JobPlan {
    /// When.
    pub submitted_at: Duration,
    /// The rows of each batch.
    pub batches: Vec<u64>,
    /// The ops behind `extract`, the last one a sink.
    pub ops: Vec<OpPlan>,
    /// What the last op writes to.
    pub sink: SinkPlan,
    /// The run's cap.
    pub cap: Option<u32>,
    /// The bound on batches in flight.
    pub max_in_flight: Option<u32>,
    /// The bound on bytes in flight, in rows' worth.
    pub max_rows_in_flight: Option<u64>,
    /// The bound on commits under way.
    pub max_committing: u32,
    /// The run's share among runs of equal priority.
    pub weight: u32,
    /// The run's priority.
    pub priority: i32,
    /// What a failed batch means.
    pub on_failure: OnFailure,
    /// Which ops go first.
    pub order: Order,
    /// How often an op is tried.
    pub attempts: u32,
    /// Whether a batch that failed for good is halved.
    pub bisect: Bisect,
    /// How many failed batches are tolerated.
    pub tolerated: Option<u32>,
    /// How long its run may take.
    pub deadline: Option<Duration>,
}

/// An op.
#[derive(Clone, Copy, Debug)]
pub struct OpPlan {
    /// How long it takes for a batch.
    pub takes: Duration,
    /// Its own limit.
    pub limit: Option<u32>,
    /// How much of it may begin in a time.
    pub rate: Option<Rate>,
    /// The pool that it takes a unit of.
    pub pool: Option<usize>,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// Whether its output is kept.
    pub checkpoint: Checkpointing,
}

/// Where a job writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkPlan {
    /// Nowhere.
    Discard,
    /// Files, one for each batch.
    Parts,
    /// One file, joined at the end.
    Join,
}

/// What goes wrong a little, all the time; chances are in a thousand.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// The least time that a message is under way.
    pub latency: Duration,
    /// What may come on top.
    pub jitter: Duration,
    /// How often a message is a second late.
    pub late_messages: u64,
    /// How long a sync of the disk takes at most.
    pub sync: Duration,
    /// How often a sync takes up to two seconds.
    pub slow_syncs: u64,
    /// How often an attempt fails.
    pub op_failures: u64,
    /// How often a row fails its batch for good.
    pub bad_rows: u64,
    /// When somebody mends all of these rows.
    pub mended_at: Option<Duration>,
    /// How often parts cannot be put in place.
    pub publish_failures: u64,
    /// How often an output cannot be fetched, or is gone.
    pub lost_outputs: u64,
    /// How often an op does not look at its cancel token.
    pub stubborn_ops: u64,
}

/// Something that goes wrong at a certain moment.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// When.
    pub at: Duration,
    /// What.
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "the fields say which worker or job it happens to, how, and how long it lasts"
)]
pub enum FaultKind {
    /// A worker's process or machine dies; it is started again after a while.
    CrashWorker {
        worker: usize,
        point: WorkerPoint,
        notice: Notice,
    },
    /// A worker's process is stopped, and goes on later.
    FreezeWorker { worker: usize, lasts: Duration },
    /// A worker's ops take a hundred times as long.
    SlowWorker { worker: usize, lasts: Duration },
    /// A worker's connection is gone.
    CutConnection { worker: usize, notice: Notice },
    /// Nothing passes in a direction for a while.
    BlockNetwork { worker: usize, way: Way, lasts: Duration },
    /// A worker and the coordinator lose each other, and both know.
    Partition { worker: usize, lasts: Duration },
    /// A second process of a worker's name is started.
    SecondProcess { worker: usize },
    /// A worker is asked to leave, by a signal or through the coordinator; it is started again after a while.
    DrainWorker { worker: usize, by: DrainBy },
    /// What a worker keeps is lost.
    LoseOutputs { worker: usize },
    /// The coordinator dies, and is started again after a while.
    CrashCoordinator {
        point: CoordinatorPoint,
        notice: Notice,
        down: Duration,
    },
    /// The coordinator does nothing for a while.
    StallCoordinator { lasts: Duration },
    /// Syncs of the coordinator's disk take long.
    SlowDisk { lasts: Duration },
    /// Somebody cancels a run.
    Cancel { job: usize },
    /// Somebody asks for the failed batches of a run to be tried again, or for the first of them.
    RetryFailed { job: usize, which: WhichFailed },
    /// Somebody submits a job again under the same name.
    Resubmit { job: usize },
    /// Somebody runs the later ops of an ended run again, from its checkpoints.
    Rerun { job: usize },
    /// Somebody changes the cap over all runs.
    ChangeGlobalCap { cap: Option<u32> },
    /// Somebody pauses a run, and lets it go on later.
    Pause { job: usize, lasts: Duration },
    /// Somebody changes a limit of a run that goes on.
    ChangeLimit { job: usize, limit: LimitPlan },
    /// Somebody sets a limit that runs share.
    SetPool { pool: usize, limit: u32 },
    /// The coordinator's disk fails at the next sync: it dies of it, and what it wrote may be there in part.
    FailSync { down: Duration },
}

/// A limit of a run, and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LimitPlan {
    /// The run's cap.
    Cap(Option<u32>),
    /// The limit of an op that has one.
    Op(usize, u32),
    /// The rate of an op that has one.
    Rate(usize, Rate),
    /// The share among runs of equal priority.
    Weight(u32),
    /// The bound on batches in flight.
    InFlight(Option<u32>),
    /// The bound on batches that wait for their commit.
    Committing(Option<u32>),
}

/// Which failed batches are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichFailed {
    /// All of them.
    All,
    /// The first one.
    First,
}

/// Where in its work a worker dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerPoint {
    /// Wherever it is.
    Now,
    /// When an op of it starts next.
    OpStarts,
    /// When an op of it has ended next, before anybody is told.
    OpEnds,
    /// When its sink has staged something next, before anybody is told.
    Staged,
}

/// Where in its work the coordinator dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorPoint {
    /// Wherever it is.
    Now,
    /// When it has written records next, before they are synced: none of them survives.
    BeforeSync,
    /// While it syncs next: some of the records survive.
    InSync,
    /// When it has synced next, before it does anything about it.
    AfterSync,
}

/// Whether the other side is told of a broken connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It is, soon.
    Told,
    /// It is not: the connection is half open.
    Silent,
}

/// A direction between a worker and the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the worker.
    Up,
    /// To the worker.
    Down,
    /// Both.
    Both,
}

/// Who asks a worker to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainBy {
    /// A signal to its process.
    Signal,
    /// Two signals to its process: it is to leave now.
    TwoSignals,
    /// Somebody, through the coordinator.
    Coordinator,
}

impl FaultKind {
    /// Returns how long it lasts.
    pub fn lasts(&self) -> Duration {
        match self {
            FaultKind::FreezeWorker { lasts, .. }
            | FaultKind::SlowWorker { lasts, .. }
            | FaultKind::BlockNetwork { lasts, .. }
            | FaultKind::Partition { lasts, .. }
            | FaultKind::StallCoordinator { lasts }
            | FaultKind::Pause { lasts, .. }
            | FaultKind::SlowDisk { lasts } => *lasts,
            FaultKind::CrashCoordinator { down, .. } | FaultKind::FailSync { down } => *down,
            FaultKind::CrashWorker { .. }
            | FaultKind::CutConnection { .. }
            | FaultKind::SecondProcess { .. }
            | FaultKind::DrainWorker { .. }
            | FaultKind::LoseOutputs { .. }
            | FaultKind::Cancel { .. }
            | FaultKind::RetryFailed { .. }
            | FaultKind::Resubmit { .. }
            | FaultKind::Rerun { .. }
            | FaultKind::ChangeGlobalCap { .. }
            | FaultKind::ChangeLimit { .. }
            | FaultKind::SetPool { .. } => Duration::ZERO,
        }
    }
}

impl JobPlan {
    /// Tells whether an op has limits of its own.
    pub fn has_limits(&self) -> bool {
        let is_limited = |op: &OpPlan| op.limit.is_some() || op.rate.is_some() || op.pool.is_some();
        self.ops.iter().any(is_limited)
    }
}

impl Plan {
    /// Returns when the last fault is over, and the last job submitted.
    pub fn calm_at(&self) -> Duration {
        let faults = self.faults.iter().map(|fault| fault.at + fault.kind.lasts());
        let jobs = self.jobs.iter().map(|job| job.submitted_at);
        let joins = self.workers.iter().map(|worker| worker.joins_at);
        faults.chain(jobs).chain(joins).max().unwrap_or_default()
    }

    /// Returns how long all work takes in a single slot when every op is tried as often as it may be.
    pub fn work(&self) -> Duration {
        let of_job = |job: &JobPlan| {
            let chain: Duration = job.ops.iter().map(|op| op.takes).sum();
            // Down to single rows, a batch of n rows makes fewer than 2 n.
            let halves = match job.bisect {
                Bisect::No => 1,
                Bisect::Yes => 8,
            };
            (chain + Duration::from_millis(50)) * job.batches.len() as u32 * job.attempts * halves
        };
        let again = self.faults.iter().filter_map(|fault| {
            let FaultKind::Rerun { job } = fault.kind else {
                return None;
            };
            self.jobs.get(job)
        });
        self.jobs.iter().chain(again).map(of_job).sum()
    }
}
