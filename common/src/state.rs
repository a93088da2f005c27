//! The states of runs and tasks, and their names in JSON and on screens.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Accepted; nothing of it has run yet.
    Queued,
    /// Some of it has run.
    Running,
    /// Starts nothing until somebody resumes it.
    Paused,
    /// Every batch is committed and the output is in place.
    Succeeded,
    /// Some batches failed for good, and the run was told to go on.
    CompletedWithFailures,
    /// It could not be completed.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

/// Whether a coordinator lets runs go on again that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reopening {
    /// Those that ended with failures.
    #[default]
    Possible,
    /// None: the coordinator does not outlive them.
    Never,
}

impl RunState {
    /// Tells whether the run has ended.
    pub fn is_terminal(self) -> bool {
        match self {
            RunState::Queued | RunState::Running | RunState::Paused => false,
            RunState::Succeeded | RunState::CompletedWithFailures | RunState::Failed | RunState::Cancelled => true,
        }
    }

    /// Tells whether a run that ended so may go on again: some of it is not done, and nobody wanted that.
    pub fn may_be_reopened(self) -> bool {
        match self {
            RunState::CompletedWithFailures | RunState::Failed => true,
            RunState::Queued | RunState::Running | RunState::Paused | RunState::Succeeded | RunState::Cancelled => {
                false
            }
        }
    }

    /// Tells whether a run that ended so keeps beside its result what it would go on from.
    pub fn keeps_for_reopening(self, reopening: Reopening) -> bool {
        match reopening {
            Reopening::Possible => self.may_be_reopened(),
            Reopening::Never => false,
        }
    }

    /// Returns the state's name as it stands in JSON and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Queued => "queued",
            RunState::Running => "running",
            RunState::Paused => "paused",
            RunState::Succeeded => "succeeded",
            RunState::CompletedWithFailures => "completed_with_failures",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where an attempt or the task behind it is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// An op before it has not ended.
    Blocked,
    /// Could run, and waits for a slot.
    Ready,
    /// A worker has the right to run it.
    Leased,
    /// A worker runs it.
    Running,
    /// Waits before the next attempt.
    Backoff,
    /// Ended well.
    Succeeded,
    /// Ended with a failure.
    Failed,
    /// Ended because somebody asked for it.
    Cancelled,
    /// Its worker was lost while it ran.
    Lost,
}

impl TaskState {
    /// Returns the state's name as it stands in JSON and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskState::Blocked => "blocked",
            TaskState::Ready => "ready",
            TaskState::Leased => "leased",
            TaskState::Running => "running",
            TaskState::Backoff => "backoff",
            TaskState::Succeeded => "succeeded",
            TaskState::Failed => "failed",
            TaskState::Cancelled => "cancelled",
            TaskState::Lost => "lost",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a batch is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// Begun, and waits for a slot.
    Waiting,
    /// Begun, and a worker holds a lease of it.
    Leased,
    /// Begun, and waits before its next attempt.
    Backoff,
    /// Failed, and is cut in two: its halves are tried next.
    Halving,
    /// Prepared; its commit is not durable yet, or its output not yet in place.
    Committing,
    /// Its result is durable and in place.
    Committed,
    /// Failed for good.
    Failed,
    /// Given up because the run was cancelled.
    Cancelled,
}

impl BatchState {
    /// Returns the state's name as it stands in JSON and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            BatchState::Waiting => "waiting",
            BatchState::Leased => "leased",
            BatchState::Backoff => "backoff",
            BatchState::Halving => "halving",
            BatchState::Committing => "committing",
            BatchState::Committed => "committed",
            BatchState::Failed => "failed",
            BatchState::Cancelled => "cancelled",
        }
    }
}
