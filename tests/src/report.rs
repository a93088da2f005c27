//! What the program reports of a run, read strictly: a missing, renamed or new field is an error.

use serde::Deserialize;

/// A run's summary, as the command line's contract has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunReport {
    /// The run's id.
    pub run: String,
    /// Its job's name.
    pub job: String,
    /// Where it is in its life.
    pub state: String,
    /// From acceptance to the end, or to now.
    pub wall_seconds: f64,
    /// From acceptance to the first loaded batch.
    pub first_batch_loaded_seconds: Option<f64>,
    /// The most batches in flight at once.
    pub peak_batches_in_flight: u64,
    /// The most batches that waited for their commit at once.
    pub peak_committing: u64,
    /// The most bytes in flight at once.
    pub peak_bytes_in_flight: u64,
    /// The most tasks running at once.
    pub peak_tasks_running: u64,
    /// Batches, by how they ended.
    pub batches: Batches,
    /// Attempts, by how they ended.
    pub tasks: Tasks,
    /// Where rows went.
    pub rows: Rows,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// The most memory that its processes took.
    pub memory: Option<Memory>,
    /// What it runs again, if it is a re-run.
    pub rerun_of: Option<RerunOf>,
}

/// A run whose later ops another one runs again.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RerunOf {
    /// The run.
    pub run: String,
    /// The op that was asked to be the first to run again.
    pub from_op: String,
    /// How many batches began at its checkpoints.
    pub batches_at_checkpoints: u64,
}

/// The most memory that processes took while a run went on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// The coordinator's resident memory.
    pub coordinator_peak_rss_bytes: u64,
    /// The workers that were connected.
    pub workers: Vec<WorkerMemory>,
}

/// The most memory that a worker took.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerMemory {
    /// Its name.
    pub worker: String,
    /// Its resident memory.
    pub peak_rss_bytes: u64,
    /// Bytes of batches that it held in memory.
    pub peak_held_bytes: u64,
    /// Bytes of parked outputs on its disk.
    pub peak_spilled_bytes: u64,
}

/// How many batches there are, and how they ended.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Batches {
    /// Batches found.
    pub total: u64,
    /// Batches whose result is durable.
    pub committed: u64,
    /// Batches that failed for good.
    pub failed: u64,
}

/// How many attempts ended, and how.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Tasks {
    /// Attempts that ended well.
    pub succeeded: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts that were not the first of their task.
    pub retried: u64,
}

/// Where rows went.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// Rows found in the source.
    pub read: u64,
    /// Rows that came through the whole chain.
    pub loaded: u64,
    /// Rows that an op dropped because it was asked to.
    pub filtered: u64,
    /// Rows that could not be used.
    pub rejected: u64,
    /// Rows of batches that failed or were cancelled.
    pub failed: u64,
}

/// Why a run failed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What kind of thing went wrong.
    pub kind: String,
    /// What went wrong.
    pub message: String,
    /// In which op.
    pub op: Option<String>,
    /// With which batch.
    pub batch: Option<String>,
}

/// One attempt of the timeline.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// The op's name.
    pub op: String,
    /// The batch; none for a task over the whole run.
    pub batch: Option<String>,
    /// Which execution of the task, from 1.
    pub attempt: u32,
    /// The worker that ran it.
    pub worker: String,
    /// The slot it ran in.
    pub slot: u32,
    /// How it ended.
    pub state: String,
    /// When a worker had the right to run it.
    pub leased: f64,
    /// When its input was begun to be fetched.
    pub fetch_started: Option<f64>,
    /// When its batch's commit was durable.
    pub committed: Option<f64>,
    /// Rows that came in.
    pub rows_in: u64,
    /// Rows that went on.
    pub rows_out: u64,
    /// Bytes that came in.
    pub bytes_in: u64,
    /// Bytes that were left in memory.
    pub bytes_out: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// When it could have run, in seconds since the run's start.
    pub queued: f64,
    /// When it started.
    pub started: Option<f64>,
    /// When it ended.
    pub finished: Option<f64>,
}

/// One line of a run's activity: a command or a milestone.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    /// When, as in RFC 3339.
    pub time: String,
    /// What kind of thing.
    pub kind: String,
    /// Who gave the command; none for a milestone.
    pub by: Option<String>,
    /// What happened.
    pub message: String,
}

/// Why nothing more of an op begins.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpExplanation {
    /// The op's name.
    pub op: String,
    /// Batches that wait for it.
    pub waiting: u64,
    /// Tasks of it that run.
    pub running: u64,
    /// Batches that wait after a failure of it.
    pub in_backoff: u64,
    /// When the first of those is tried again.
    pub next_retry: Option<String>,
    /// What is in its way.
    pub obstacles: Vec<Obstacle>,
}

/// One thing that is in the way of an op.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Obstacle {
    /// What kind of thing.
    pub kind: String,
    /// The same for people.
    pub message: String,
}

/// A limit that runs share.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Its limit.
    pub limit: u32,
    /// What is in use of it.
    pub used: u32,
    /// Whose that is.
    pub holders: Vec<Holder>,
}

/// A run that holds units of a pool.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// The run.
    pub run: String,
    /// How many.
    pub units: u32,
}

impl Activity {
    /// Returns its time of day, in seconds.
    ///
    /// # Panics
    /// If its time is none.
    pub fn time_of_day(&self) -> f64 {
        let clock = self.time.split(['T', 'Z']).nth(1).expect("a time of day");
        let add = |sum: f64, part: &str| sum * 60.0 + part.parse::<f64>().expect("a number");
        clock.split(':').fold(0.0, add)
    }

    /// Returns how many seconds after another entry it came, if that was less than a day.
    pub fn seconds_after(&self, other: &Activity) -> f64 {
        (self.time_of_day() - other.time_of_day()).rem_euclid(86_400.0)
    }
}

impl OpExplanation {
    /// Returns the kinds of what is in its way.
    pub fn kinds(&self) -> Vec<&str> {
        self.obstacles.iter().map(|obstacle| obstacle.kind.as_str()).collect()
    }
}

impl RunReport {
    /// Reads a summary.
    ///
    /// # Panics
    /// If it is not one.
    pub fn read(line: &str) -> RunReport {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("not a summary: {error}\n{line}"))
    }

    /// Tells whether the run has ended.
    pub fn ended(&self) -> bool {
        ["succeeded", "completed_with_failures", "failed", "cancelled"].contains(&self.state.as_str())
    }

    /// Checks that the run succeeded, and that its rows add up.
    ///
    /// # Panics
    /// If not.
    pub fn expect_success(self) -> RunReport {
        assert_eq!(self.state, "succeeded", "{self:#?}");
        self.expect_balance();
        assert_eq!(self.batches.committed, self.batches.total, "{self:#?}");
        self
    }

    /// Checks that every row that was read went somewhere.
    ///
    /// # Panics
    /// If not.
    pub fn expect_balance(&self) {
        let rows = self.rows;
        assert_eq!(
            rows.read,
            rows.loaded + rows.filtered + rows.rejected + rows.failed,
            "{self:#?}"
        );
    }
}

impl Attempt {
    /// Reads a timeline, one attempt per line.
    ///
    /// # Panics
    /// If a line is not one.
    pub fn read_all(lines: &str) -> Vec<Attempt> {
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("not an attempt: {error}\n{line}"));
        lines.lines().map(read).collect()
    }

    /// Returns its start and end, if it has ended.
    pub fn interval(&self) -> Option<(f64, f64)> {
        Some((self.started?, self.finished?))
    }

    /// Tells whether it ended well.
    pub fn succeeded(&self) -> bool {
        self.state == "succeeded"
    }

    /// Returns the number of its batch.
    ///
    /// # Panics
    /// If it has none, or one that was halved.
    pub fn batch_number(&self) -> u64 {
        let batch = self.batch.as_deref().expect("a task of a batch");
        batch.parse().expect("a batch that was not halved")
    }
}
