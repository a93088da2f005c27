//! The sources of the live runs: where the next slices come from, found on blocking threads.
//!
//! Owns one finder per run and the tasks that search. One search per run is under way at a time: the finder travels to
//! the thread and comes back with the answer. A finder that panics fails its run and nothing more. Slices of failed
//! batches are cut in two on such threads as well.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use common::failure::Failure;
use common::ids::{BatchId, RunId};
use common::job::Job;
use common::slice::{FrozenSource, Slice};
use scheduler::{Checkpoint, Event, SliceCut, SourceEnd};
use tokio::task::{Id, JoinSet};

use crate::blocking::Blocking;
use crate::source::halve;

/// Cuts a run's source into slices, in order. Runs on a thread where it may block.
pub trait SliceFinder: Send {
    /// Finds up to `count` more slices.
    ///
    /// # Errors
    /// A [`Failure`] that says why the source cannot be read further; the run fails with it.
    fn next_slices(&mut self, count: u32) -> Result<FoundSlices, Failure>;
}

/// The next slices of a source.
#[derive(Debug)]
pub struct FoundSlices {
    /// In the order of the source.
    pub slices: Vec<Slice>,
    /// Where those batches begin that do not begin at their slices.
    pub checkpoints: Vec<(BatchId, Checkpoint)>,
    /// How many bytes of the source are sharded now, of all files together.
    pub bytes_sharded: u64,
    /// Whether there are more.
    pub end: SourceEnd,
}

/// The finders of the live runs.
#[derive(Default)]
pub(super) struct Sources {
    finders: BTreeMap<RunId, Finder>,
    searches: JoinSet<Answer>,
    searched: HashMap<Id, RunId>,
    blocking: Blocking,
}

/// What a task on a blocking thread comes back with.
enum Answer {
    Found(Box<dyn SliceFinder>, Result<FoundSlices, Failure>),
    Cut(BatchId, SliceCut),
}

enum Finder {
    Idle(Box<dyn SliceFinder>),
    Searching,
}

impl Sources {
    /// Searches somewhere else than on threads that are there for it.
    pub(super) fn search_in(&mut self, blocking: Blocking) {
        self.blocking = blocking;
    }

    /// Keeps the finder of a new run.
    pub(super) fn open(&mut self, run: RunId, finder: Box<dyn SliceFinder>) {
        self.finders.insert(run, Finder::Idle(finder));
    }

    /// Lets go of a run's finder; the answer of a search that is under way is dropped.
    pub(super) fn close(&mut self, run: RunId) {
        self.finders.remove(&run);
    }

    /// Begins to search; the answer comes out of [`Sources::next_answer`].
    pub(super) fn find(&mut self, run: RunId, count: u32) {
        let Some(place) = self.finders.get_mut(&run) else {
            tracing::warn!(%run, "slices were asked for of a run whose source is closed");
            return;
        };
        let Finder::Idle(mut finder) = std::mem::replace(place, Finder::Searching) else {
            tracing::warn!(%run, "slices were asked for while a search is under way");
            return;
        };
        let task = self.blocking.begin(&mut self.searches, move || {
            let answer = finder.next_slices(count);
            Answer::Found(finder, answer)
        });
        self.searched.insert(task.id(), run);
    }

    /// Begins to cut the slice of a failed batch; the answer comes out of [`Sources::next_answer`].
    pub(super) fn cut(&mut self, run: RunId, batch: BatchId, slice: Slice, job: &Arc<Job>, source: &Arc<FrozenSource>) {
        let (job, source) = (Arc::clone(job), Arc::clone(source));
        let task = self.blocking.begin(&mut self.searches, move || {
            let halve = || halve(&source, &job.source.csv, &slice);
            let cut = std::panic::catch_unwind(std::panic::AssertUnwindSafe(halve));
            Answer::Cut(batch, cut.unwrap_or(SliceCut::Unreadable))
        });
        self.searched.insert(task.id(), run);
    }

    /// Tells whether no search is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.searches.is_empty()
    }

    /// Waits for the next answer of a run that is still open; `None` when it is of a closed one or there is none.
    pub(super) async fn next_answer(&mut self) -> Option<Event> {
        match self.searches.join_next_with_id().await? {
            Ok((id, Answer::Cut(batch, cut))) => {
                let run = self.searched.remove(&id)?;
                Some(Event::SliceCut { run, batch, cut })
            }
            Ok((id, Answer::Found(finder, answer))) => {
                let run = self.searched.remove(&id)?;
                *self.finders.get_mut(&run)? = Finder::Idle(finder);
                Some(match answer {
                    Ok(found) => Event::SlicesFound {
                        run,
                        slices: found.slices,
                        checkpoints: found.checkpoints,
                        bytes_sharded: found.bytes_sharded,
                        end: found.end,
                    },
                    Err(failure) => Event::SourceFailed { run, failure },
                })
            }
            Err(error) => {
                let run = self.searched.remove(&error.id())?;
                self.finders.remove(&run)?;
                let failure = Failure::permanent("the coordinator panicked while it cut the source into batches");
                Some(Event::SourceFailed { run, failure })
            }
        }
    }
}
