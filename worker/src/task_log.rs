//! What ops log for people: lines on their way to the coordinator, within bounds that an op cannot break.
//!
//! An attempt sends at most [`LogLine::MAX_LINES`] lines and [`LogLine::MAX_BYTES`] of text; at most [`MAX_WAITING`] lines and
//! [`MAX_WAITING_BYTES`] wait for the session, which takes some along with frames that it sends anyway and that carry no
//! backlog. What is beyond is dropped and counted, run by run; nothing here waits. Lines are sent at most once: those
//! under way when a connection breaks are lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::ids::{Attempt, BatchId, OpId, RunId};
use common::logs::{LogLevel, LogLine};
use common::time::Time;

use crate::clock::monotonic_now;

/// How many lines wait for the session.
const MAX_WAITING: usize = 8_192;
/// How much text waits for the session.
const MAX_WAITING_BYTES: usize = 2 << 20;
/// How many lines go along with one frame, and how much text.
const LINES_AT_ONCE: usize = 512;
const BYTES_AT_ONCE: usize = 128 << 10;

/// The lines that wait for the session. Cloned freely.
#[derive(Clone, Debug, Default)]
pub struct TaskLogs {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<(RunId, LogLine)>,
    bytes: usize,
    dropped: BTreeMap<RunId, u64>,
}

/// Lines to be sent, times by this machine's monotonic clock, and how many were dropped of which run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) lines: Vec<(RunId, LogLine)>,
    pub(crate) dropped: BTreeMap<RunId, u64>,
}

/// Takes the lines of one attempt. The default one drops all.
#[derive(Debug, Default)]
pub struct TaskLog {
    task: Option<Task>,
    lines: AtomicU32,
    bytes: AtomicUsize,
}

#[derive(Debug)]
struct Task {
    logs: TaskLogs,
    run: RunId,
    op: OpId,
    batch: Option<BatchId>,
    attempt: Attempt,
}

impl TaskLogs {
    /// Makes what takes the lines of an attempt.
    pub(crate) fn of_task(&self, run: RunId, op: OpId, batch: Option<BatchId>, attempt: Attempt) -> TaskLog {
        TaskLog {
            task: Some(Task {
                logs: self.clone(),
                run,
                op,
                batch,
                attempt,
            }),
            ..TaskLog::default()
        }
    }

    /// Tells whether anything waits.
    pub(crate) fn is_empty(&self) -> bool {
        let waiting = self.lock();
        waiting.lines.is_empty() && waiting.dropped.is_empty()
    }

    /// Takes the next lines.
    pub(crate) fn take(&self) -> Parcel {
        let mut waiting = self.lock();
        let mut parcel = Parcel {
            dropped: std::mem::take(&mut waiting.dropped),
            ..Parcel::default()
        };
        let mut bytes = 0;
        while parcel.lines.len() < LINES_AT_ONCE
            && bytes < BYTES_AT_ONCE
            && let Some((run, line)) = waiting.lines.pop_front()
        {
            bytes += line.text.len();
            waiting.bytes -= line.text.len();
            parcel.lines.push((run, line));
        }
        parcel
    }

    fn add(&self, run: RunId, line: LogLine) {
        let mut waiting = self.lock();
        let has_room = waiting.lines.len() < MAX_WAITING && waiting.bytes + line.text.len() <= MAX_WAITING_BYTES;
        if has_room {
            waiting.bytes += line.text.len();
            waiting.lines.push_back((run, line));
        } else {
            *waiting.dropped.entry(run).or_default() += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskLog {
    /// Logs a line, cut to [`LogLine::MAX_TEXT`].
    pub fn say(&self, level: LogLevel, text: &str) {
        let Some(task) = &self.task else { return };
        let cut = text.floor_char_boundary(LogLine::MAX_TEXT);
        let text = &text[..cut];
        let lines = self.lines.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(text.len(), Ordering::Relaxed);
        if lines >= LogLine::MAX_LINES || bytes + text.len() > LogLine::MAX_BYTES {
            *task.logs.lock().dropped.entry(task.run).or_default() += 1;
            return;
        }
        let line = LogLine {
            at: at(),
            level,
            op: task.op,
            batch: task.batch,
            attempt: task.attempt,
            text: text.to_owned(),
        };
        task.logs.add(task.run, line);
    }
}

fn at() -> Time {
    monotonic_now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(logs: &TaskLogs, batch: u64) -> TaskLog {
        logs.of_task(RunId(7), OpId(1), Some(BatchId::whole(batch)), Attempt::FIRST)
    }

    #[test]
    fn an_attempt_that_says_too_much_is_cut_off_and_counted() {
        let logs = TaskLogs::default();
        let task = log(&logs, 0);
        for _ in 0..LogLine::MAX_LINES + 5 {
            task.say(LogLevel::Info, "x");
        }
        log(&logs, 1).say(LogLevel::Warn, "another attempt has limits of its own");
        let mut lines = 0;
        let mut dropped = 0;
        while !logs.is_empty() {
            let parcel = logs.take();
            lines += parcel.lines.len();
            dropped += parcel.dropped.values().sum::<u64>();
        }
        assert_eq!((lines, dropped), (LogLine::MAX_LINES as usize + 1, 5));
    }

    #[test]
    fn lines_that_find_no_room_are_dropped_and_counted_and_nobody_waits() {
        let logs = TaskLogs::default();
        let long = "é".repeat(LogLine::MAX_TEXT);
        for batch in 0..2_000 {
            log(&logs, batch).say(LogLevel::Info, &long);
        }
        let parcel = logs.take();
        assert!(
            parcel
                .lines
                .iter()
                .all(|(_, line)| line.text.len() == LogLine::MAX_TEXT)
        );
        let kept = MAX_WAITING_BYTES / LogLine::MAX_TEXT;
        assert_eq!(parcel.dropped, BTreeMap::from([(RunId(7), 2_000 - kept as u64)]));
    }
}
