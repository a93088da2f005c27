//! What workers say of themselves beside their work: for people to look at, nothing is decided by it.
//!
//! Owns one entry per session, written by the session's connection (versions with a hello, memory with a heartbeat,
//! tasks with reports) and read by pages and lists. The driver has no part in it, so it costs its rounds nothing.
//! Entries go with their sessions. Known weakness: after a restart of the coordinator, tasks are counted from zero.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::ids::SessionId;
use common::time::Time;

/// Over how long tasks a second are counted.
const WINDOW: Duration = Duration::from_secs(2);

/// What is known of a worker beside its work.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vitals {
    /// The version of its program.
    pub version: String,
    /// Its resident memory in bytes; 0 while that is unknown.
    pub rss_bytes: u64,
    /// Bytes of the outputs it keeps, in memory and on disk.
    pub parked_bytes: u64,
    /// How many of them are on disk.
    pub spilled_bytes: u64,
    /// Tasks that it ended since its session was opened.
    pub tasks_done: u64,
    /// Tasks that it ended in a second, of late.
    pub tasks_per_second: f64,
}

/// What a heartbeat says of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident memory in bytes.
    pub rss: u64,
    /// Bytes of kept outputs, in memory and on disk.
    pub parked: u64,
    /// How many of them are on disk.
    pub spilled: u64,
}

/// The vitals of all sessions. Cloned freely.
#[derive(Clone, Debug, Default)]
pub struct VitalsBook {
    entries: Arc<Mutex<BTreeMap<SessionId, Entry>>>,
}

#[derive(Debug, Default)]
struct Entry {
    vitals: Vitals,
    /// When the window began that is being counted, and how many tasks were done then.
    window: (Time, u64),
}

impl VitalsBook {
    /// Notes who a session belongs to.
    pub fn met(&self, session: SessionId, version: &str) {
        self.lock().entry(session).or_default().vitals.version = version.to_owned();
    }

    /// Notes what a heartbeat says, and how fast the worker has been.
    pub fn heard(&self, session: SessionId, memory: Memory, now: Time) {
        let mut entries = self.lock();
        let Entry { vitals, window } = entries.entry(session).or_default();
        vitals.rss_bytes = memory.rss;
        vitals.parked_bytes = memory.parked;
        vitals.spilled_bytes = memory.spilled;
        let (since, done) = *window;
        let passed = now.since(since);
        if since == Time::ZERO {
            *window = (now, vitals.tasks_done);
        } else if passed >= WINDOW {
            vitals.tasks_per_second = (vitals.tasks_done - done) as f64 / passed.as_secs_f64();
            *window = (now, vitals.tasks_done);
        }
    }

    /// Counts tasks that ended.
    pub fn did(&self, session: SessionId, tasks: u64) {
        if tasks > 0 {
            self.lock().entry(session).or_default().vitals.tasks_done += tasks;
        }
    }

    /// Forgets a session.
    pub fn forget(&self, session: SessionId) {
        self.lock().remove(&session);
    }

    /// Returns what is known of a session.
    pub fn of(&self, session: SessionId) -> Vitals {
        self.lock()
            .get(&session)
            .map(|entry| entry.vitals.clone())
            .unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use common::ids::Generation;

    use super::*;

    const SESSION: SessionId = SessionId {
        generation: Generation(1),
        sequence: 4,
    };

    #[test]
    fn tasks_a_second_are_those_between_heartbeats() {
        let book = VitalsBook::default();
        let second = 1_000_000_000;
        book.met(SESSION, "0.1.0");
        book.heard(SESSION, Memory::default(), Time(second));
        book.did(SESSION, 30);
        book.heard(SESSION, Memory::default(), Time(2 * second));
        assert_eq!(book.of(SESSION).tasks_per_second, 0.0, "the window is not over");
        book.did(SESSION, 30);
        book.heard(SESSION, Memory::default(), Time(4 * second));
        assert_eq!(book.of(SESSION).tasks_per_second, 20.0);
        assert_eq!(
            (book.of(SESSION).version.as_str(), book.of(SESSION).tasks_done),
            ("0.1.0", 60)
        );
        book.forget(SESSION);
        assert_eq!(book.of(SESSION), Vitals::default());
    }
}
