//! Steering: what people, and a run's own policy, tell a run while it goes on; and the log of it.
//!
//! A command is kept in the journal before it has an effect, and the log is nothing but the kept commands: so it says
//! what was asked, by whom and when, also after a restart. Each command may be given twice: the second changes nothing.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::RunId;
use crate::job::LimitsChange;
use crate::time::Time;

/// What a run is told to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RunCommand {
    /// Begin nothing more until it is resumed: no batch and no lease; what runs ends with its op.
    Pause {
        /// Why, if its own policy says so.
        reason: Option<String>,
    },
    /// Go on.
    Resume,
    /// End without finishing.
    Cancel(CancelMode),
    /// Go on under other limits.
    ChangeLimits(LimitsChange),
    /// Try failed batches again.
    RetryFailed {
        /// How many.
        batches: u64,
    },
}

/// What becomes of the tasks of a cancelled run that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CancelMode {
    /// They end; their batches are committed if that was their last op, and given up if not.
    AfterRunning,
    /// They are stopped at once.
    Now,
}

/// Who gave a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Asker {
    /// A client of JobService, such as the CLI.
    Grpc,
    /// Somebody at the web page, or a client of its API.
    Web,
    /// The run's own policy.
    Policy,
}

/// Why somebody does not get what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskRefused {
    /// The run has ended, or was never there.
    #[error("{run} has ended; there is nothing to {what}")]
    Ended {
        /// The run.
        run: RunId,
        /// The command's name.
        what: &'static str,
    },
    /// The run was stopped, and waits for its tasks to end.
    #[error("{run} is being stopped; it cannot be told to {what}")]
    Stopping {
        /// The run.
        run: RunId,
        /// The command's name.
        what: &'static str,
    },
}

/// One command that a run was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// When.
    pub at: Time,
    /// By whom.
    pub by: Asker,
    /// What.
    pub command: RunCommand,
}

/// The commands that a run was given, oldest first; of very many, the latest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ActivityLog {
    forgotten: u64,
    entries: VecDeque<Activity>,
}

impl ActivityLog {
    /// How many commands are kept.
    pub const MAX: usize = 256;

    /// Adds a command, and forgets the oldest one beyond [`ActivityLog::MAX`].
    pub fn push(&mut self, activity: Activity) {
        if self.entries.len() == Self::MAX {
            self.entries.pop_front();
            self.forgotten += 1;
        }
        self.entries.push_back(activity);
    }

    /// Returns the commands with their numbers, which count from 1 and never change.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Activity)> {
        (self.forgotten + 1..).zip(&self.entries)
    }
}

impl RunCommand {
    /// Returns the command's name as it stands in JSON and on screens.
    pub fn name(&self) -> &'static str {
        match self {
            RunCommand::Pause { .. } => "pause",
            RunCommand::Resume => "resume",
            RunCommand::Cancel(_) => "cancel",
            RunCommand::ChangeLimits(_) => "limits",
            RunCommand::RetryFailed { .. } => "retry",
        }
    }
}

impl CancelMode {
    /// Returns the mode's name as it stands in JSON and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            CancelMode::AfterRunning => "after_running",
            CancelMode::Now => "now",
        }
    }
}

impl Asker {
    /// Returns the asker's name as it stands in JSON and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Asker::Grpc => "grpc",
            Asker::Web => "web",
            Asker::Policy => "policy",
        }
    }
}

impl fmt::Display for RunCommand {
    /// Says what was asked, such as `pause`, `cancel after_running`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunCommand::Pause { reason: None } | RunCommand::Resume => f.write_str(self.name()),
            RunCommand::Pause { reason: Some(reason) } => write!(f, "pause: {reason}"),
            RunCommand::Cancel(mode) => write!(f, "cancel {}", mode.as_str()),
            RunCommand::ChangeLimits(change) => write!(f, "limits {change}"),
            RunCommand::RetryFailed { batches } => write!(f, "retry {batches} failed batches"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_keeps_the_latest_commands_and_their_numbers() {
        let mut log = ActivityLog::default();
        for second in 0..300 {
            log.push(Activity {
                at: Time(second),
                by: Asker::Grpc,
                command: RunCommand::Resume,
            });
        }
        let first = log.iter().next().map(|(number, activity)| (number, activity.at));
        assert_eq!(first, Some((45, Time(44))));
        assert_eq!(log.iter().last().map(|(number, _)| number), Some(300));
    }
}
