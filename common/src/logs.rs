//! What tasks log, for people: lines with the attempt they belong to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{Attempt, BatchId, OpId};
use crate::time::Time;

/// How much a line matters, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LogLevel {
    /// For who looks into an op.
    Debug,
    /// What happens.
    Info,
    /// Something is odd, and the task goes on.
    Warn,
    /// Something failed.
    Error,
}

impl LogLevel {
    /// All of them, least first.
    pub const ALL: [LogLevel; 4] = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];

    /// Returns its name as it stands in JSON and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<LogLevel, String> {
        let known = LogLevel::ALL.into_iter().find(|level| level.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is no level: must be debug, info, warn or error"))
    }
}

/// A line that an attempt logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When, by the worker's clock, mapped to the coordinator's.
    pub at: Time,
    /// How much it matters.
    pub level: LogLevel,
    /// The op.
    pub op: OpId,
    /// The batch; `None` for a task over the whole run.
    pub batch: Option<BatchId>,
    /// Which execution of the task.
    pub attempt: Attempt,
    /// The line, without a line break at its end.
    pub text: String,
}

impl LogLine {
    /// The longest text that is kept, in bytes; a longer one is cut at a character.
    pub const MAX_TEXT: usize = 4_096;
    /// The most lines of one attempt that are kept.
    pub const MAX_LINES: u32 = 1_000;
    /// The most bytes of text of one attempt that are kept.
    pub const MAX_BYTES: usize = 64 << 10;
}
