//! The sources of the live runs: where the next slices come from, found on blocking threads.
//!
//! Owns one finder per run and the tasks that search. One search per run is under way at a time: the finder travels to
//! the thread and comes back with the answer. A run that ends while a search is under way, and is reopened, has a new finder:
//! the answer of the old one is dropped. A finder that panics fails its run and nothing more. Slices of failed batches are cut
//! in two on such threads as well.

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
    /// In the task with this id.
    Searching(Id),
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
        let mut finder = match self.finders.remove(&run) {
            Some(Finder::Idle(finder)) => finder,
            Some(searching @ Finder::Searching(_)) => {
                tracing::warn!(%run, "slices were asked for while a search is under way");
                self.finders.insert(run, searching);
                return;
            }
            None => {
                tracing::warn!(%run, "slices were asked for of a run whose source is closed");
                return;
            }
        };
        let task = self.blocking.begin(&mut self.searches, move || {
            let answer = finder.next_slices(count);
            Answer::Found(finder, answer)
        });
        self.searched.insert(task.id(), run);
        self.finders.insert(run, Finder::Searching(task.id()));
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

    /// Takes the run away for which a task searched, and its finder's place; `None` when that is another finder's by now.
    fn take_searched(&mut self, task: Id) -> Option<RunId> {
        let run = self.searched.remove(&task)?;
        let is_its_finder = matches!(self.finders.get(&run), Some(Finder::Searching(at)) if *at == task);
        is_its_finder.then(|| self.finders.remove(&run))?;
        Some(run)
    }

    /// Waits for the next answer of a run that is still open; `None` when it is of a closed one or there is none.
    pub(super) async fn next_answer(&mut self) -> Option<Event> {
        match self.searches.join_next_with_id().await? {
            Ok((id, Answer::Cut(batch, cut))) => {
                let run = self.searched.remove(&id)?;
                Some(Event::SliceCut { run, batch, cut })
            }
            Ok((id, Answer::Found(finder, answer))) => {
                let run = self.take_searched(id)?;
                self.finders.insert(run, Finder::Idle(finder));
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
                let run = self.take_searched(error.id())?;
                let failure = Failure::permanent("the coordinator panicked while it cut the source into batches");
                Some(Event::SourceFailed { run, failure })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};

    use super::*;

    /// Finds nothing and says how far it is, once it may.
    struct Told {
        may: Receiver<()>,
        bytes_sharded: u64,
    }

    impl SliceFinder for Told {
        fn next_slices(&mut self, _: u32) -> Result<FoundSlices, Failure> {
            self.may.recv().expect("it is told");
            Ok(FoundSlices {
                slices: Vec::new(),
                checkpoints: Vec::new(),
                bytes_sharded: self.bytes_sharded,
                end: SourceEnd::More,
            })
        }
    }

    #[tokio::test]
    async fn what_was_found_of_a_run_before_it_was_reopened_is_none_of_its_slices() {
        let run = RunId(1);
        let mut sources = Sources::default();
        let mut search = |bytes_sharded| {
            let (tell, may) = mpsc::sync_channel(1);
            sources.open(run, Box::new(Told { may, bytes_sharded }));
            sources.find(run, 1);
            tell
        };
        let of_before = search(7);
        let of_now = search(1);
        of_before.send(()).expect("it waits");
        assert!(sources.next_answer().await.is_none());

        of_now.send(()).expect("it waits");
        let answer = sources.next_answer().await;
        assert!(
            matches!(answer, Some(Event::SlicesFound { bytes_sharded: 1, .. })),
            "{answer:?}"
        );
    }
}
