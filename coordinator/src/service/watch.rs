//! Following one run: a snapshot, progress, attempts if they are wanted, the end.
//!
//! A watcher is a stream that is polled by whoever sends it on: no task, no queue of its own. Progress is made when it
//! is asked for, at most every [`PROGRESS`]; attempts come through a bounded channel, and a watcher that lies too far
//! behind in it is dropped with an error that says so.

use std::sync::Arc;
use std::time::Duration;

use common::ids::RunId;
use common::job::Job;
use common::time::Time;
use common::timeline::TimelineEntry;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Instant, sleep_until};

use super::{LookupError, RunView, Service};
use crate::driver::{NoSuchRun, Stopped};

/// The time between two messages of progress.
const PROGRESS: Duration = Duration::from_millis(250);
/// How many attempts go into one message at most.
const ATTEMPTS_AT_ONCE: usize = 500;

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
    /// It did not read fast enough.
    #[error("the watcher reads too slowly; watch again, or without task events")]
    TooSlow,
    /// The run ended and was forgotten.
    #[error(transparent)]
    Forgotten(#[from] NoSuchRun),
    /// The coordinator stops.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

struct Watch {
    service: Service,
    run: RunId,
    detail: Detail,
    attempts: broadcast::Receiver<TimelineEntry>,
    pending: Vec<TimelineEntry>,
    phase: Phase,
    last: Option<RunView>,
    next_progress: Instant,
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
        let attempts = self.driver.read(move |world| world.registry.watch(run)).await?;
        let watch = Watch {
            service: self.clone(),
            run,
            detail,
            attempts: attempts.ok_or(NoSuchRun { run })?,
            pending: Vec::new(),
            phase: Phase::Beginning,
            last: None,
            next_progress: Instant::now(),
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
            Phase::Ending if !self.pending.is_empty() => Some(Ok(self.take_pending())),
            Phase::Ending => {
                self.phase = Phase::Done;
                Some(self.look().await.map(Update::Ended))
            }
            Phase::Done => None,
        }
    }

    async fn follow(&mut self) -> Result<Update, WatchEnd> {
        loop {
            tokio::select! {
                attempt = self.attempts.recv() => match (attempt, self.detail) {
                    (Ok(entry), Detail::Tasks) => self.pending.push(entry),
                    (Ok(_) | Err(RecvError::Lagged(_)), Detail::Progress) => {}
                    (Err(RecvError::Lagged(_)), Detail::Tasks) => return Err(WatchEnd::TooSlow),
                    (Err(RecvError::Closed), Detail::Progress | Detail::Tasks) => {
                        self.phase = Phase::Ending;
                        if !self.pending.is_empty() {
                            return Ok(self.take_pending());
                        }
                        self.phase = Phase::Done;
                        return self.look().await.map(Update::Ended);
                    }
                },
                () = sleep_until(self.next_progress) => {
                    if !self.pending.is_empty() {
                        return Ok(self.take_pending());
                    }
                    let before = self.last.clone();
                    let view = self.look().await?;
                    if before.is_none_or(|before| *before.summary != *view.summary) {
                        return Ok(Update::Progress(view));
                    }
                }
            }
            if self.pending.len() >= ATTEMPTS_AT_ONCE {
                return Ok(self.take_pending());
            }
        }
    }

    /// Looks at the run, and notes when to look again.
    async fn look(&mut self) -> Result<RunView, WatchEnd> {
        self.next_progress = Instant::now() + PROGRESS;
        match self.service.run(self.run).await {
            Ok(view) => {
                self.last = Some(view.clone());
                Ok(view)
            }
            Err(LookupError::Stopped(stopped)) => Err(stopped.into()),
            Err(
                LookupError::NoSuchRun(_)
                | LookupError::NoSuchWorker(_)
                | LookupError::NoSuchBatch { .. }
                | LookupError::NotFinishing { .. }
                | LookupError::Refused(_)
                | LookupError::Archive(_)
                | LookupError::InvalidField(_),
            ) => Err(NoSuchRun { run: self.run }.into()),
        }
    }

    fn take_pending(&mut self) -> Update {
        let entries = std::mem::take(&mut self.pending);
        let last = self.last.as_ref().expect("a watch begins with a look");
        Update::Tasks(TaskEvents {
            job: last.job.clone(),
            accepted: last.summary.accepted,
            entries,
        })
    }
}
