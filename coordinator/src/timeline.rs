//! The timelines of all runs: every attempt once, for charts, tables and exports, in memory, on the disk and back.
//!
//! Data flows one way. The driver only puts what happened into an inbox ([`Timelines::append`] and its like: a lock that
//! nobody holds for long, and a push); nothing here delays an effect. A thread of its own takes the inbox over a few
//! times a second, makes rows of it ([`run`]), packs full chunks ([`chunk`]) and writes them into the state folder
//! ([`mod@file`]); whoever looks takes the inbox over too, so that a look never misses what was before it. Packed chunks stay
//! in memory up to [`RESIDENT_BYTES`] for all runs together; older ones are read from the disk. Without a state folder
//! they spill into files that go with the process.
//!
//! After a restart the timelines are there again, also those of runs that go on. What a coordinator had not written when
//! it was killed, at most about [`WRITE_EVERY`] of it, is missing; a run that went on says how often that happened.
//!
//! Known weaknesses: a disk that is full keeps rows out of the files; they stay in memory up to the bound and are counted
//! as dropped beyond it. When more than [`INBOX`] events wait, attempts are dropped and counted.

mod chunk;
mod column;
mod failures;
mod file;
mod lanes;
pub mod logs;
mod restore;
pub(crate) mod row;
mod run;
pub mod series;
mod stored;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use common::failure::Failure;
use common::ids::{BatchId, OpId, RunId, WorkerName};
use common::job::Job;
use common::time::Time;
use common::timeline::{ChainEntry, TimelineEntry};
use scheduler::Outlook;

use series::{Sample, Series};

pub(crate) use chunk::{Scratch, Summary};
pub use failures::{Failures, Group};
pub use file::TimelineError;
pub use lanes::Lanes;
pub use logs::{KeptLine, LogEnd, LogFilter, LogPage, RunLog};
pub use row::{Outcome, Row, Task};
pub use series::NAMES;
pub use view::{Life, TimelineView};
pub(crate) use view::{MAX_OPS, RUNNING_IDS};

pub(crate) use run::RunTimeline;
use writer::Files;

/// How many bytes of packed chunks are in memory, of all runs together.
const RESIDENT_BYTES: usize = 24 << 20;
/// How many events may wait to be taken over.
const INBOX: usize = 200_000;
/// For how many events room is kept.
const SPARE: usize = 16_384;
/// How often the inbox is taken over.
const TAKE_EVERY: Duration = Duration::from_millis(100);
/// After how long rows are on the disk.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How many ended runs are in memory that can be read from the disk again.
const LOADED_RUNS: usize = 16;

/// What happened, as the driver says it.
#[derive(Debug)]
enum Event {
    Begun {
        run: RunId,
        accepted: Time,
        ops: usize,
        last_op: OpId,
    },
    /// Boxed, because by the thousand come only chains, and the inbox is as wide as its widest event.
    Ran(RunId, Box<(TimelineEntry, Option<Failure>)>),
    ChainRan(RunId, ChainEntry),
    Committed(RunId, BatchId, Time),
    Sampled(RunId, Sample, Time),
    Logged(RunId, Vec<KeptLine>, u64),
    Reopened(RunId, OpId),
    Ended(RunId, Time),
    Forgotten(RunId),
    Met(WorkerName, u32),
}

/// All timelines. Dropping the last handle writes what is not written yet.
#[derive(Debug)]
pub struct Timelines {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    folder: Option<PathBuf>,
    resident_bytes: usize,
    inbox: Mutex<Inbox>,
    woken: Condvar,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct Inbox {
    events: Vec<Event>,
    /// Attempts that found no room.
    dropped: BTreeMap<RunId, u64>,
    end: End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Closed,
}

/// What is known.
#[derive(Debug, Default)]
struct State {
    runs: BTreeMap<RunId, RunTimeline>,
    /// Runs that were read from the disk, the one not looked at for the longest time first.
    loaded: VecDeque<RunId>,
    slots: BTreeMap<WorkerName, u32>,
    /// Runs to be written out, and those whose files are to be deleted.
    ended: Vec<RunId>,
    forgotten: Vec<RunId>,
    /// The inbox's other half: empty, and large enough for what comes under load, so that pushing moves nothing.
    spare: Vec<Event>,
}

impl Timelines {
    /// Makes timelines that go with the process.
    pub fn in_memory() -> Arc<Timelines> {
        Self::start(None, RESIDENT_BYTES)
    }

    /// Makes timelines that are kept in a folder, which is made if it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn in_folder(folder: &Path) -> std::io::Result<Arc<Timelines>> {
        std::fs::create_dir_all(folder)?;
        Ok(Self::start(Some(folder.to_owned()), RESIDENT_BYTES))
    }

    fn start(folder: Option<PathBuf>, resident_bytes: usize) -> Arc<Timelines> {
        let shared = Arc::new(Shared {
            folder,
            resident_bytes,
            inbox: Mutex::default(),
            woken: Condvar::new(),
            state: Mutex::default(),
        });
        let files = Files::new(Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("timeline".to_owned())
            .spawn(move || files.run());
        if let Err(error) = &thread {
            tracing::error!(%error, "timelines are not written: their thread cannot be started");
        }
        Arc::new(Timelines {
            shared,
            thread: thread.ok(),
        })
    }

    /// Goes on with the timelines of runs that live, and forgets those of runs that nobody knows any more.
    pub fn resume<'a>(&self, live: impl Iterator<Item = (RunId, Time, &'a Job)>, ended: impl Iterator<Item = RunId>) {
        let mut known: Vec<RunId> = ended.collect();
        for (run, accepted, job) in live {
            known.push(run);
            let timeline = self.shared.resume(run, accepted, job);
            self.shared.state().runs.insert(run, timeline);
        }
        self.shared.delete_unknown(&known);
    }

    /// Begins a run's timeline; one that there is stays.
    pub fn begin(&self, run: RunId, accepted: Time, job: &Job) {
        let (ops, last_op) = (job.ops.len(), job.last_op());
        self.shared.put(Event::Begun {
            run,
            accepted,
            ops,
            last_op,
        });
    }

    /// Takes over how many slots a worker has.
    pub fn meet(&self, worker: &WorkerName, slots: u32) {
        self.shared.put(Event::Met(worker.clone(), slots));
    }

    /// Keeps an attempt that has ended, and why it failed if it did.
    pub fn append(&self, run: RunId, entry: TimelineEntry, failure: Option<Failure>) {
        self.shared.put(Event::Ran(run, Box::new((entry, failure))));
    }

    /// Keeps the attempts of a chain that have all ended well.
    pub fn append_chain(&self, run: RunId, chain: ChainEntry) {
        self.shared.put(Event::ChainRan(run, chain));
    }

    /// Takes over that the commit of a batch is durable.
    pub fn commit(&self, run: RunId, batch: BatchId, at: Time) {
        self.shared.put(Event::Committed(run, batch, at));
    }

    /// Takes over what a run's gauges say.
    pub fn sample(&self, run: RunId, sample: Sample, at: Time) {
        self.shared.put(Event::Sampled(run, sample, at));
    }

    /// Keeps lines that tasks of a run logged, and counts those that were dropped on their way.
    pub fn log(&self, run: RunId, lines: Vec<KeptLine>, dropped: u64) {
        self.shared.put(Event::Logged(run, lines, dropped));
    }

    /// Goes on with a run that had ended. Reads the disk if nobody looked at it before; people ask for it, one by one.
    pub fn reopen(&self, run: &Known, job: &Job) {
        let ended = Known {
            ended: Some(run.ended.unwrap_or(run.now)),
            ..*run
        };
        if let Err(error) = self.with(&ended, |_| ()) {
            tracing::warn!(run = %run.run, %error, "what was kept of a run that goes on cannot be read");
        }
        self.shared.put(Event::Reopened(run.run, job.last_op()));
    }

    /// Takes over that a run has ended.
    pub fn finish(&self, run: RunId, ended: Time) {
        self.shared.put(Event::Ended(run, ended));
    }

    /// Forgets a run.
    pub fn forget(&self, run: RunId) {
        self.shared.put(Event::Forgotten(run));
    }

    /// Makes rows of all that was told so far.
    pub fn catch_up(&self) {
        drop(self.shared.take_over());
    }

    /// Shows a run's chart as it is now. May read the disk.
    ///
    /// # Errors
    /// [`TimelineError`] when what is kept cannot be read.
    pub fn view(&self, run: &Known, outlook: &Outlook) -> Result<TimelineView, TimelineError> {
        self.with(run, |timeline| timeline.view(outlook, run.now))
    }

    /// Looks at a run's series. May read the disk.
    ///
    /// # Errors
    /// [`TimelineError`] when what is kept cannot be read.
    pub fn series<T>(&self, run: &Known, look: impl FnOnce(&Series) -> T) -> Result<T, TimelineError> {
        self.with(run, |timeline| look(&timeline.series))
    }

    /// Returns what the tasks of a run logged so far. May read the disk.
    ///
    /// # Errors
    /// [`TimelineError`] when what is kept cannot be read.
    pub fn logs(&self, run: &Known) -> Result<RunLog, TimelineError> {
        self.with(run, |timeline| timeline.log.clone())
    }

    fn with<T>(&self, known: &Known, look: impl FnOnce(&mut RunTimeline) -> T) -> Result<T, TimelineError> {
        let mut state = self.shared.take_over();
        if !state.runs.contains_key(&known.run) {
            drop(state);
            let mut loaded = self.shared.load(known)?;
            if known.ended.is_none() {
                return Ok(look(&mut loaded));
            }
            state = self.shared.state();
            state.runs.entry(known.run).or_insert(loaded);
            state.note_loaded(known.run);
        } else if state.loaded.contains(&known.run) {
            state.note_loaded(known.run);
        }
        let timeline = state.runs.get_mut(&known.run).expect("it was looked for or put there");
        Ok(look(timeline))
    }
}

/// What is known of a run beside its timeline.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The run.
    pub run: RunId,
    /// When it was accepted.
    pub accepted: Time,
    /// How many ops it has.
    pub ops: usize,
    /// When it ended.
    pub ended: Option<Time>,
    /// Now.
    pub now: Time,
}

impl Drop for Timelines {
    fn drop(&mut self) {
        self.shared.inbox().end = End::Closed;
        self.shared.woken.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes timelines panicked");
        }
    }
}

impl Shared {
    #[inline]
    fn put(&self, event: Event) {
        let mut inbox = self.inbox();
        if inbox.events.len() >= INBOX {
            match &event {
                Event::Ran(run, ..) => {
                    *inbox.dropped.entry(*run).or_default() += 1;
                    return;
                }
                Event::ChainRan(run, chain) => {
                    *inbox.dropped.entry(*run).or_default() += chain.ops.len() as u64;
                    return;
                }
                // Workers bound what they send; beyond that lines may be dropped.
                Event::Logged(..) => return,
                Event::Begun { .. }
                | Event::Committed(..)
                | Event::Sampled(..)
                | Event::Reopened(..)
                | Event::Ended(..)
                | Event::Forgotten(_)
                | Event::Met(..) => {}
            }
        }
        inbox.events.push(event);
        if inbox.events.len() == 1 {
            self.woken.notify_one();
        }
    }

    /// Makes rows of what waits, and returns all that is known.
    fn take_over(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        // The state is locked first, so that whoever takes over next finds what was taken here.
        let mut inbox = self.inbox();
        let spare = std::mem::take(&mut state.spare);
        let mut events = std::mem::replace(&mut inbox.events, spare);
        let dropped = std::mem::take(&mut inbox.dropped);
        drop(inbox);
        for event in events.drain(..) {
            state.apply(event);
        }
        events.shrink_to(SPARE);
        state.spare = events;
        for (run, rows) in dropped {
            if let Some(timeline) = state.runs.get_mut(&run) {
                timeline.drop_rows(rows);
            }
        }
        state
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply(&mut self, event: Event) {
        match event {
            Event::Begun {
                run,
                accepted,
                ops,
                last_op,
            } => {
                let new = || RunTimeline::new(accepted, ops, last_op);
                self.runs.entry(run).or_insert_with(new);
            }
            Event::Ran(run, attempt) => {
                let (entry, failure) = *attempt;
                let slots = self.slots.get(&entry.worker).copied().unwrap_or(0);
                if let Some(timeline) = self.runs.get_mut(&run) {
                    timeline.add(&entry, failure.as_ref(), slots);
                }
            }
            Event::ChainRan(run, chain) => {
                let slots = self.slots.get(&chain.worker).copied().unwrap_or(0);
                if let Some(timeline) = self.runs.get_mut(&run) {
                    timeline.add_chain(&chain, slots);
                }
            }
            Event::Committed(run, batch, at) => {
                if let Some(timeline) = self.runs.get_mut(&run) {
                    timeline.commit(batch, at);
                }
            }
            Event::Sampled(run, sample, at) => {
                if let Some(timeline) = self.runs.get_mut(&run) {
                    timeline.sample(&sample, at);
                }
            }
            Event::Logged(run, lines, dropped) => {
                if let Some(timeline) = self.runs.get_mut(&run).filter(|timeline| !timeline.is_complete) {
                    timeline.log.dropped += dropped;
                    lines.into_iter().for_each(|line| timeline.log.add(line));
                }
            }
            Event::Reopened(run, last_op) => {
                self.loaded.retain(|loaded| *loaded != run);
                self.ended.retain(|ended| *ended != run);
                if let Some(timeline) = self.runs.get_mut(&run) {
                    timeline.reopen(last_op);
                }
            }
            Event::Ended(run, at) => {
                if let Some(timeline) = self.runs.get_mut(&run) {
                    timeline.finish(at);
                    self.ended.push(run);
                }
            }
            Event::Forgotten(run) => {
                self.runs.remove(&run);
                self.loaded.retain(|loaded| *loaded != run);
                self.forgotten.push(run);
            }
            Event::Met(worker, slots) => {
                self.slots.insert(worker, slots);
            }
        }
    }

    /// Notes that a run that is on the disk was looked at, and lets go of the one that was not for the longest time.
    fn note_loaded(&mut self, run: RunId) {
        self.loaded.retain(|loaded| *loaded != run);
        self.loaded.push_back(run);
        if self.loaded.len() > LOADED_RUNS
            && let Some(oldest) = self.loaded.pop_front()
        {
            self.runs.remove(&oldest);
        }
    }
}
