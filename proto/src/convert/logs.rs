//! What tasks log, on the wire.

use common::ids::{Attempt, BatchId, OpId, RunId};
use common::logs::{LogLevel, LogLine};
use common::time::Time;

use super::InvalidMessage;
use crate::v1;

impl From<LogLevel> for v1::LogLevel {
    fn from(level: LogLevel) -> v1::LogLevel {
        match level {
            LogLevel::Debug => v1::LogLevel::Debug,
            LogLevel::Info => v1::LogLevel::Info,
            LogLevel::Warn => v1::LogLevel::Warn,
            LogLevel::Error => v1::LogLevel::Error,
        }
    }
}

/// Reads a level; nothing when none was named.
pub fn level_from_wire(level: v1::LogLevel) -> Option<LogLevel> {
    match level {
        v1::LogLevel::Unspecified => None,
        v1::LogLevel::Debug => Some(LogLevel::Debug),
        v1::LogLevel::Info => Some(LogLevel::Info),
        v1::LogLevel::Warn => Some(LogLevel::Warn),
        v1::LogLevel::Error => Some(LogLevel::Error),
    }
}

/// Makes the message of a line that a task of a run logged.
pub fn line_to_wire(run: RunId, line: LogLine) -> v1::TaskLogLine {
    v1::TaskLogLine {
        run: run.0,
        op: line.op.0.into(),
        batch: line.batch.map(v1::BatchId::from),
        attempt: line.attempt.0,
        level: v1::LogLevel::from(line.level).into(),
        at_nanos: line.at.0,
        text: line.text,
    }
}

/// Reads a line, and of which run it is; a text that is too long is cut.
///
/// # Errors
/// [`InvalidMessage`] names the field that cannot be.
pub fn line_from_wire(line: v1::TaskLogLine) -> Result<(RunId, LogLine), InvalidMessage> {
    let level = level_from_wire(line.level()).ok_or_else(|| InvalidMessage::missing("level"))?;
    let op = u16::try_from(line.op).map_err(|_| InvalidMessage::new("op", "is no op"))?;
    let (line_run, mut text) = (line.run, line.text);
    text.truncate(text.floor_char_boundary(LogLine::MAX_TEXT));
    let line = LogLine {
        at: Time(line.at_nanos),
        level,
        op: OpId(op),
        batch: line.batch.map(BatchId::try_from).transpose()?,
        attempt: Attempt(line.attempt),
        text,
    };
    Ok((RunId(line_run), line))
}
