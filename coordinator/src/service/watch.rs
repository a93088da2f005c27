//! Following one run: a snapshot, progress, attempts if they are wanted, the end.
//!
//! A watcher is a stream that is polled by whoever sends it on: no task, no queue of its own. Progress is made when it
//! is asked for, at most every [`PROGRESS`]; attempts are read from the timeline, from where the watcher was last, so one
//! that is slow gets them later and misses none. Known weakness: an attempt that starts and ends between two looks is
//! told once, by its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::ids::{Attempt, BatchId, OpId, RunId};
use common::job::Job;
use common::time::Time;
use common::timeline::TimelineEntry;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Look, LookupError, RunView, Service};
use crate::driver::{NoSuchRun, Stopped};
use crate::timeline::RUNNING_IDS;
use crate::timeline::TimelineError;

/// The time between two messages of progress.
const PROGRESS: Duration = Duration::from_millis(250);

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum Update {
    /// The run as it is when the watching begins.
    Snapshot(RunView),
    /// The run as it is now.
    Progress(RunView),
    /// Attempts that started or ended.
    Tasks(TaskEvents),
    /// The run has ended; nothing comes after this.
    Ended(RunView),
}

/// Attempts that started or ended.
#[derive(Clone, Debug)]
pub struct TaskEvents {
    /// The run's job, for the names of its ops.
    pub job: Arc<Job>,
    /// When the run was accepted.
    pub accepted: Time,
    /// One entry per start or end.
    pub entries: Vec<TimelineEntry>,
}

/// Whether a watcher wants attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The run's numbers only.
    Progress,
    /// Attempts too.
    Tasks,
}

/// Why a watcher is told no more although the run goes on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WatchEnd {
    /// The run ended and was forgotten.
    #[error(transparent)]
    Forgotten(#[from] NoSuchRun),
    /// What is kept of the timeline cannot be read.
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    /// The coordinator stops.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// What names an attempt of a run.
type AttemptKey = (OpId, Option<BatchId>, Attempt);

struct Watch {
    service: Service,
    run: RunId,
    detail: Detail,
    /// Closed when the run has ended.
    end: watch::Receiver<()>,
    phase: Phase,
    last: Option<RunView>,
    next_progress: Instant,
    /// The timeline that attempts are being told of, and the place of the next one.
    telling: Option<Arc<Look>>,
    next_attempt: u64,
    /// Attempts that run and whose start was told.
    told: BTreeSet<AttemptKey>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Beginning,
    Following,
    Ending,
    Done,
}

impl Service {
    /// Follows a run until it ends.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`].
    pub async fn watch(
        &self,
        run: RunId,
        detail: Detail,
    ) -> Result<impl Stream<Item = Result<Update, WatchEnd>> + Send + use<>, LookupError> {
        let found = self.driver.read(move |world| world.registry.end_of(run)).await?;
        let end = found.ok_or(NoSuchRun { run })?;
        let next_attempt = match detail {
            Detail::Progress => 0,
            Detail::Tasks => self.look(run).await?.chart.rows,
        };
        let watch = Watch {
            service: self.clone(),
            run,
            detail,
            end,
            phase: Phase::Beginning,
            last: None,
            next_progress: Instant::now(),
            telling: None,
            next_attempt,
            told: BTreeSet::new(),
        };
        Ok(unfold(watch, |mut watch| async move {
            let update = watch.next().await?;
            if update.is_err() {
                watch.phase = Phase::Done;
            }
            Some((update, watch))
        }))
    }
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Update, WatchEnd>> {
        match self.phase {
            Phase::Beginning => {
                self.phase = Phase::Following;
                Some(self.look().await.map(Update::Snapshot))
            }
            Phase::Following => Some(self.follow().await),
            Phase::Ending => Some(self.finish().await),
            Phase::Done => None,
        }
    }

    async fn follow(&mut self) -> Result<Update, WatchEnd> {
        loop {
            if let Some(update) = self.tell_attempts().await? {
                return Ok(update);
            }
            tokio::select! {
                _ = self.end.changed() => {
                    self.phase = Phase::Ending;
                    return self.finish().await;
                }
                () = sleep_until(self.next_progress) => {}
            }
            let before = self.last.clone();
            let view = self.look().await?;
            self.look_at_attempts().await?;
            if before.is_none_or(|before| *before.summary != *view.summary) {
                return Ok(Update::Progress(view));
            }
        }
    }

    /// Tells the last attempts, then the end.
    async fn finish(&mut self) -> Result<Update, WatchEnd> {
        if let Some(update) = self.tell_attempts().await? {
            return Ok(update);
        }
        let is_over = self.last.as_ref().is_some_and(|view| view.summary.ended.is_some());
        if !is_over {
            self.look().await?;
            self.look_at_attempts().await?;
            if let Some(update) = self.tell_attempts().await? {
                return Ok(update);
            }
        }
        self.phase = Phase::Done;
        self.look().await.map(Update::Ended)
    }

    /// Looks at the run, and notes when to look again.
    async fn look(&mut self) -> Result<RunView, WatchEnd> {
        self.next_progress = Instant::now() + PROGRESS;
        let view = self.service.run(self.run).await.map_err(|error| self.end_with(error))?;
        self.last = Some(view.clone());
        Ok(view)
    }

    /// Looks at the timeline, if attempts are wanted.
    async fn look_at_attempts(&mut self) -> Result<(), WatchEnd> {
        if self.detail == Detail::Tasks && self.telling.is_none() {
            let look = self
                .service
                .look(self.run)
                .await
                .map_err(|error| self.end_with(error))?;
            self.telling = Some(look);
        }
        Ok(())
    }

    /// Returns the next attempts of the timeline that was looked at, if there are any left.
    async fn tell_attempts(&mut self) -> Result<Option<Update>, WatchEnd> {
        let Some(look) = self.telling.clone() else {
            return Ok(None);
        };
        let page = self.service.timeline_page(&look, self.next_attempt).await;
        let page = page.map_err(|error| self.end_with(error))?;
        let mut entries = Vec::with_capacity(page.attempts.len());
        for attempt in page.attempts {
            let key = (attempt.entry.op, attempt.entry.batch, attempt.entry.attempt);
            if attempt.id < RUNNING_IDS {
                self.told.remove(&key);
                self.next_attempt = attempt.id + 1;
                entries.push(attempt.entry);
            } else if self.told.insert(key) {
                entries.push(attempt.entry);
            }
        }
        match page.next {
            Some(next) if next < RUNNING_IDS => {}
            Some(_) | None => self.telling = None,
        }
        Ok((!entries.is_empty()).then(|| {
            Update::Tasks(TaskEvents {
                job: look.view.job.clone(),
                accepted: look.view.summary.accepted,
                entries,
            })
        }))
    }

    fn end_with(&self, error: LookupError) -> WatchEnd {
        match error {
            LookupError::Stopped(stopped) => stopped.into(),
            LookupError::Timeline(error) => error.into(),
            LookupError::NoSuchRun(_)
            | LookupError::NoSuchWorker(_)
            | LookupError::NoSuchBatch { .. }
            | LookupError::NotFinishing { .. }
            | LookupError::Refused(_)
            | LookupError::Retry(_)
            | LookupError::RunEnded { .. }
            | LookupError::Invalid(_)
            | LookupError::Archive(_)
            | LookupError::InvalidField(_) => NoSuchRun { run: self.run }.into(),
        }
    }
}
