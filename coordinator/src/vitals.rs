//! What workers say of themselves beside their work: for people to look at, nothing is decided by it.
//!
//! Owns one entry per session, written by the session's connection (versions with a hello, memory with a heartbeat,
//! tasks with reports) and read by pages and lists. The driver has no part in it, so it costs its rounds nothing.
//! Entries go with their sessions. For each run that goes on it keeps the most memory that its processes took.
//!
//! Known weakness: after a restart of the coordinator, tasks and peaks are counted from zero; what a worker took between
//! its last heartbeat and a run's end is not in the run's peaks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::ids::{RunId, SessionId, WorkerName};
use common::time::Time;

/// Over how long tasks a second are counted.
const WINDOW: Duration = Duration::from_secs(2);

/// How often the coordinator looks at its own memory.
const LOOK_EVERY: Duration = Duration::from_millis(200);

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
    /// The most resident memory since the heartbeat before.
    pub peak_rss: u64,
    /// The most bytes of batches held in memory since then.
    pub peak_held: u64,
}

/// The most memory that processes took while a run went on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunMemory {
    /// The coordinator's resident memory in bytes.
    pub coordinator_rss: u64,
    /// The workers that were heard of meanwhile.
    pub workers: BTreeMap<WorkerName, WorkerPeaks>,
}

/// The most memory that a worker took, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerPeaks {
    /// Resident memory.
    pub rss: u64,
    /// Bytes of batches held in memory.
    pub held: u64,
    /// Bytes of parked outputs on disk.
    pub spilled: u64,
}

impl WorkerPeaks {
    fn raise(&mut self, memory: &Memory) {
        self.rss = self.rss.max(memory.rss).max(memory.peak_rss);
        self.held = self.held.max(memory.peak_held);
        self.spilled = self.spilled.max(memory.spilled);
    }
}

/// The vitals of all sessions. Cloned freely.
#[derive(Clone, Debug, Default)]
pub struct VitalsBook {
    pages: Arc<Mutex<Pages>>,
}

#[derive(Debug, Default)]
struct Pages {
    entries: BTreeMap<SessionId, Entry>,
    /// The runs that go on.
    runs: BTreeMap<RunId, RunMemory>,
    /// When the coordinator's own memory was looked at.
    looked: Time,
}

#[derive(Debug, Default)]
struct Entry {
    vitals: Vitals,
    worker: Option<WorkerName>,
    /// What its last heartbeat said.
    memory: Memory,
    /// When the window began that is being counted, and how many tasks were done then.
    window: (Time, u64),
}

impl VitalsBook {
    /// Notes who a session belongs to.
    pub fn met(&self, session: SessionId, worker: WorkerName, version: &str) {
        let mut pages = self.lock();
        let entry = pages.entries.entry(session).or_default();
        entry.vitals.version = version.to_owned();
        entry.worker = Some(worker);
    }

    /// Begins to note the memory of a run, with what was heard last.
    pub fn run_begins(&self, run: RunId) {
        let mut pages = self.lock();
        let mut memory = RunMemory {
            coordinator_rss: resident_bytes(),
            workers: BTreeMap::new(),
        };
        for entry in pages.entries.values() {
            if let Some(worker) = &entry.worker {
                memory.workers.entry(worker.clone()).or_default().raise(&entry.memory);
            }
        }
        pages.runs.insert(run, memory);
    }

    /// Returns the peaks of a run that goes on.
    pub fn of_run(&self, run: RunId) -> Option<RunMemory> {
        self.lock().runs.get(&run).cloned()
    }

    /// Returns the peaks of a run that has ended, and forgets them.
    pub fn run_ended(&self, run: RunId) -> Option<RunMemory> {
        let mut memory = self.lock().runs.remove(&run)?;
        memory.coordinator_rss = memory.coordinator_rss.max(resident_bytes());
        Some(memory)
    }

    /// Notes what a heartbeat says, and how fast the worker has been.
    pub fn heard(&self, session: SessionId, memory: Memory, now: Time) {
        let mut pages = self.lock();
        pages.note_peaks(session, memory, now);
        let Entry { vitals, window, .. } = pages.entries.entry(session).or_default();
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
            self.lock().entries.entry(session).or_default().vitals.tasks_done += tasks;
        }
    }

    /// Forgets a session.
    pub fn forget(&self, session: SessionId) {
        self.lock().entries.remove(&session);
    }

    /// Returns what is known of a session.
    pub fn of(&self, session: SessionId) -> Vitals {
        self.lock()
            .entries
            .get(&session)
            .map(|entry| entry.vitals.clone())
            .unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn note_peaks(&mut self, session: SessionId, memory: Memory, now: Time) {
        let entry = self.entries.entry(session).or_default();
        entry.memory = memory;
        let worker = entry.worker.clone();
        let looks = now.since(self.looked) >= LOOK_EVERY && !self.runs.is_empty();
        let coordinator = if looks { resident_bytes() } else { 0 };
        if looks {
            self.looked = now;
        }
        for run in self.runs.values_mut() {
            run.coordinator_rss = run.coordinator_rss.max(coordinator);
            if let Some(worker) = &worker {
                run.workers.entry(worker.clone()).or_default().raise(&memory);
            }
        }
    }
}

/// Returns the resident memory of this process; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = resident.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
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
        book.met(SESSION, WorkerName::new("w1").expect("is a name"), "0.1.0");
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

    #[test]
    fn a_run_has_the_most_memory_that_was_heard_of_while_it_went_on() {
        let book = VitalsBook::default();
        let name = WorkerName::new("w1").expect("is a name");
        let heard = |rss: u64, peak_rss: u64, peak_held: u64, spilled: u64| {
            let memory = Memory {
                rss,
                parked: 0,
                spilled,
                peak_rss,
                peak_held,
            };
            book.heard(SESSION, memory, Time(1));
        };
        book.met(SESSION, name.clone(), "0.1.0");
        heard(900, 1_000, 70, 0);
        heard(10, 12, 7, 0);
        book.run_begins(RunId(1));
        heard(30, 40, 5, 3);
        heard(35, 0, 9, 0);
        let memory = book.of_run(RunId(1)).expect("goes on");
        let peaks = WorkerPeaks {
            rss: 40,
            held: 9,
            spilled: 3,
        };
        assert_eq!(memory.workers, BTreeMap::from([(name, peaks)]));
        assert!(memory.coordinator_rss > 0, "this process has memory");
        assert_eq!(
            book.run_ended(RunId(1)).map(|ended| ended.workers),
            Some(memory.workers)
        );
        assert_eq!(book.of_run(RunId(1)), None);
    }
}
