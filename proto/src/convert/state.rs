//! The states of runs, tasks and batches.

use common::state::{BatchState, RunState, TaskState};

use super::InvalidMessage;
use crate::v1;

impl From<RunState> for v1::RunState {
    fn from(state: RunState) -> Self {
        match state {
            RunState::Queued => v1::RunState::Queued,
            RunState::Running => v1::RunState::Running,
            RunState::Paused => v1::RunState::Paused,
            RunState::Succeeded => v1::RunState::Succeeded,
            RunState::CompletedWithFailures => v1::RunState::CompletedWithFailures,
            RunState::Failed => v1::RunState::Failed,
            RunState::Cancelled => v1::RunState::Cancelled,
        }
    }
}

impl TryFrom<v1::RunState> for RunState {
    type Error = InvalidMessage;

    fn try_from(wire: v1::RunState) -> Result<Self, InvalidMessage> {
        Ok(match wire {
            v1::RunState::Unspecified => return Err(InvalidMessage::missing("")),
            v1::RunState::Queued => RunState::Queued,
            v1::RunState::Running => RunState::Running,
            v1::RunState::Paused => RunState::Paused,
            v1::RunState::Succeeded => RunState::Succeeded,
            v1::RunState::CompletedWithFailures => RunState::CompletedWithFailures,
            v1::RunState::Failed => RunState::Failed,
            v1::RunState::Cancelled => RunState::Cancelled,
        })
    }
}

impl From<TaskState> for v1::TaskState {
    fn from(state: TaskState) -> Self {
        match state {
            TaskState::Blocked => v1::TaskState::Blocked,
            TaskState::Ready => v1::TaskState::Ready,
            TaskState::Leased => v1::TaskState::Leased,
            TaskState::Running => v1::TaskState::Running,
            TaskState::Backoff => v1::TaskState::Backoff,
            TaskState::Succeeded => v1::TaskState::Succeeded,
            TaskState::Failed => v1::TaskState::Failed,
            TaskState::Cancelled => v1::TaskState::Cancelled,
            TaskState::Lost => v1::TaskState::Lost,
        }
    }
}

impl TryFrom<v1::TaskState> for TaskState {
    type Error = InvalidMessage;

    fn try_from(wire: v1::TaskState) -> Result<Self, InvalidMessage> {
        Ok(match wire {
            v1::TaskState::Unspecified => return Err(InvalidMessage::missing("")),
            v1::TaskState::Blocked => TaskState::Blocked,
            v1::TaskState::Ready => TaskState::Ready,
            v1::TaskState::Leased => TaskState::Leased,
            v1::TaskState::Running => TaskState::Running,
            v1::TaskState::Backoff => TaskState::Backoff,
            v1::TaskState::Succeeded => TaskState::Succeeded,
            v1::TaskState::Failed => TaskState::Failed,
            v1::TaskState::Cancelled => TaskState::Cancelled,
            v1::TaskState::Lost => TaskState::Lost,
        })
    }
}

impl From<BatchState> for v1::BatchState {
    fn from(state: BatchState) -> Self {
        match state {
            BatchState::Waiting => v1::BatchState::Waiting,
            BatchState::Leased => v1::BatchState::Leased,
            BatchState::Backoff => v1::BatchState::Backoff,
            BatchState::Halving => v1::BatchState::Halving,
            BatchState::Committing => v1::BatchState::Committing,
            BatchState::Committed => v1::BatchState::Committed,
            BatchState::Failed => v1::BatchState::Failed,
            BatchState::Cancelled => v1::BatchState::Cancelled,
        }
    }
}
