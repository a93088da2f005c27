//! What people can ask of the coordinator, in domain types: the same answers behind gRPC and the web.
//!
//! Owns the questions, their pages and the watching of a run; owns no state: each question is a quick look at the
//! driver's world. A page token is the id of the page's last element, so pages stay right while lists change.
//!
//! Known weakness: a watcher asks 4 times a second; thousands of watchers would keep the driver busy with answers.

mod activity;
mod charts;
mod limits;
mod logs;
mod pages;
mod steering;
mod watch;

use std::sync::Arc;

use common::ids::{self, BatchId, OpId, RunId, WorkerName};
use common::job::{FieldProblem, InvalidJob, Job};
use common::part::Part;
use common::state::{BatchState, Reopening, RunState};
use common::steering::{AskRefused, Asker};
use common::summary::RunSummary;
use common::time::Time;
use scheduler::{BatchView, ComesBack, WorkerState, WorkerView};

use crate::driver::{DriverHandle, NoSuchRun, NoSuchWorker, RetryError, RetrySelection, Stopped, World};
use crate::store::ArchiveError;
use crate::submit::{Accepted, Folders, JobRequest, RerunAccepted, RerunRequest, SubmitError, rerun, submit};
use crate::timeline::TimelineError;
use crate::vitals::{RunMemory, VitalsBook};

use charts::Drawn;

pub use activity::ActivityEntry;
pub use charts::{ClusterView, DrawnTile, Look, SeriesPart, TICK, Told};
pub use logs::Follow;
pub use pages::{Attempt, TimelinePage};
pub use watch::{Detail, TaskEvents, Update, WatchEnd};

/// The most elements of a page, and how many one has whose client names no size.
const LARGEST_PAGE: usize = 1_000;
const DEFAULT_PAGE: usize = 100;

/// Answers what people ask. Cloned freely.
#[derive(Clone)]
pub struct Service {
    driver: DriverHandle,
    folders: Arc<Folders>,
    drawn: Drawn,
    vitals: VitalsBook,
}

/// A run as people see it.
#[derive(Clone, Debug)]
pub struct RunView {
    /// The numbers.
    pub summary: Arc<RunSummary>,
    /// The job.
    pub job: Arc<Job>,
    /// The most memory that its processes took; unknown of a run that ended before the coordinator was started.
    pub memory: Option<RunMemory>,
    /// What it runs again, if it is a re-run.
    pub rerun_of: Option<RerunOf>,
    /// When it was looked at.
    pub now: Time,
}

/// A run whose later ops another one runs again.
#[derive(Clone, Debug)]
pub struct RerunOf {
    /// The run.
    pub run: RunId,
    /// The op that was asked to be the first to run again, by its name.
    pub from: String,
    /// How many batches began at its checkpoints.
    pub at_checkpoints: u64,
}

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// How many elements at most.
    pub size: Option<u32>,
    /// The former page's token; empty for the first page.
    pub token: String,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The elements.
    pub items: Vec<T>,
    /// What to ask for the next page with; empty on the last one.
    pub next_token: String,
}

/// A page of committed parts.
#[derive(Clone, Debug)]
pub struct CommittedParts {
    /// How the run is about to end.
    pub state: RunState,
    /// Whether it may go on again after that.
    pub reopening: Reopening,
    /// The parts of one op, with their batches.
    pub parts: Vec<(BatchId, Part)>,
    /// The last batch looked at; `None` when there was none left.
    pub last: Option<BatchId>,
}

/// Why a question has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LookupError {
    /// There is no such run.
    #[error(transparent)]
    NoSuchRun(#[from] NoSuchRun),
    /// There is no such worker.
    #[error(transparent)]
    NoSuchWorker(#[from] NoSuchWorker),
    /// There is no such batch.
    #[error("{run} has no batch {batch} that was begun")]
    NoSuchBatch {
        /// The run.
        run: RunId,
        /// The batch that was asked for.
        batch: BatchId,
    },
    /// The run's batches are not all decided.
    #[error("{run} is not about to end; its committed parts are not final")]
    NotFinishing {
        /// The run.
        run: RunId,
    },
    /// A field of the question is wrong.
    #[error("{}: {}", .0.path, .0.problem)]
    InvalidField(FieldProblem),
    /// The run has ended.
    #[error("{run} has ended; nothing of it will begin any more")]
    RunEnded {
        /// The run.
        run: RunId,
    },
    /// Several fields of the question are wrong.
    #[error(transparent)]
    Invalid(#[from] InvalidJob),
    /// The state of things does not allow it.
    #[error(transparent)]
    Refused(#[from] AskRefused),
    /// Failed batches cannot be tried again.
    #[error(transparent)]
    Retry(#[from] RetryError),
    /// What the journal keeps cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What is kept of a timeline cannot be read.
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    /// Nobody is there to answer.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Service {
    /// Makes a service on a driver.
    pub fn new(driver: DriverHandle, folders: Folders) -> Service {
        Service {
            vitals: driver.vitals().clone(),
            driver,
            folders: Arc::new(folders),
            drawn: Drawn::default(),
        }
    }

    /// Returns what workers say of themselves.
    pub fn vitals(&self) -> &VitalsBook {
        &self.vitals
    }

    /// Checks a job and has it run.
    ///
    /// # Errors
    /// [`SubmitError`] names every field that is wrong.
    pub async fn submit(&self, request: JobRequest) -> Result<Accepted, SubmitError> {
        submit(&self.driver, &self.folders, request).await
    }

    /// Has the later ops of an ended run run again, in a new run.
    ///
    /// # Errors
    /// [`SubmitError`] names every field that is wrong, or says why that cannot be.
    pub async fn rerun(&self, request: RerunRequest) -> Result<RerunAccepted, SubmitError> {
        rerun(&self.driver, &self.folders, request).await
    }

    /// Shows a run.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`].
    pub async fn run(&self, run: RunId) -> Result<RunView, LookupError> {
        Ok(self.driver.read(move |world| world.view(run)).await??)
    }

    /// Lists runs, newest first.
    ///
    /// # Errors
    /// [`LookupError::InvalidField`] for a page that cannot be.
    pub async fn runs(&self, page: PageRequest) -> Result<Page<RunView>, LookupError> {
        let (size, before) = page.parse("run")?;
        let found = self.driver.read(move |world| {
            let runs = world.registry.runs_before(before).map(|(run, _)| run);
            let views = runs.filter_map(|run| world.view(run).ok());
            views.take(size + 1).collect()
        });
        Ok(Page::cut(found.await?, size, |view: &RunView| {
            view.summary.run.to_string()
        }))
    }

    /// Lets failed batches of a run be tried again; shows the run as it is then, and says how many they are.
    ///
    /// # Errors
    /// [`LookupError::Retry`] when they cannot be.
    pub async fn retry_failed(
        &self,
        run: RunId,
        selection: RetrySelection,
        by: Asker,
    ) -> Result<(RunView, u64), LookupError> {
        let batches = self.driver.retry(run, selection, by).await??;
        Ok((self.run(run).await?, batches))
    }

    /// Lists a run's batches that are in flight, committing or failed, in the order of the source.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`], or [`LookupError::InvalidField`] for a page that cannot be.
    pub async fn batches(&self, run: RunId, page: PageRequest) -> Result<(RunView, Page<BatchView>), LookupError> {
        let (size, after): (usize, Option<BatchId>) = page.parse("batch")?;
        let found = self.driver.read(move |world| {
            let view = world.view(run)?;
            let batches = world.batches(run).into_iter();
            let rest = batches.filter(|batch| after.is_none_or(|after| batch.id > after));
            Ok::<_, NoSuchRun>((view, rest.take(size + 1).collect()))
        });
        let (view, batches) = found.await??;
        Ok((view, Page::cut(batches, size, |batch: &BatchView| batch.id.to_string())))
    }

    /// Shows one batch.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`] or [`LookupError::NoSuchBatch`].
    pub async fn batch(&self, run: RunId, batch: BatchId) -> Result<(RunView, BatchView), LookupError> {
        let found = self.driver.read(move |world| {
            let view = world.view(run)?;
            let known = world.batches(run).into_iter().find(|known| known.id == batch);
            let committed = || world.is_committed(run, batch).then(|| committed_view(batch));
            Ok::<_, NoSuchRun>((view, known.or_else(committed)))
        });
        let (view, known) = found.await??;
        let found = known.ok_or(LookupError::NoSuchBatch { run, batch })?;
        Ok((view, found))
    }

    /// Lists the workers' sessions by name.
    ///
    /// # Errors
    /// [`LookupError::InvalidField`] for a page that cannot be.
    pub async fn workers(&self, page: PageRequest) -> Result<Page<WorkerView>, LookupError> {
        let size = page.size()?;
        let found = self.driver.read(move |world| {
            let mut workers: Vec<WorkerView> = world.scheduler.workers().collect();
            workers.sort_by_cached_key(worker_token);
            workers.retain(|worker| page.token.is_empty() || worker_token(worker) > page.token);
            workers.truncate(size + 1);
            workers
        });
        Ok(Page::cut(found.await?, size, worker_token))
    }

    /// Drains a worker, and shows it as it is then.
    ///
    /// # Errors
    /// [`LookupError::NoSuchWorker`].
    pub async fn drain(&self, worker: WorkerName) -> Result<WorkerView, LookupError> {
        self.driver.drain(worker.clone()).await??;
        let name = worker.clone();
        let found = self.driver.read(move |world| {
            let mut sessions: Vec<WorkerView> = world.scheduler.workers().collect();
            sessions.retain(|session| session.worker == name && session.state != WorkerState::Fenced);
            sessions.pop()
        });
        Ok(found.await?.ok_or(NoSuchWorker { worker })?)
    }

    /// Lists what the batches of a run that is about to end committed for one op, in the order of the source, from a
    /// batch on, at most a page of it.
    ///
    /// # Errors
    /// [`LookupError::NoSuchRun`], or [`LookupError::NotFinishing`] while batches may still be committed.
    pub async fn committed_parts(
        &self,
        run: RunId,
        op: OpId,
        after: Option<BatchId>,
    ) -> Result<CommittedParts, LookupError> {
        let found = self.driver.read(move |world| {
            let known = world.registry.run(run).map(|_| ());
            known.ok_or(NoSuchRun { run })?;
            let state = world.scheduler.outcome(run).ok_or(LookupError::NotFinishing { run })?;
            Ok::<_, LookupError>((state, world.scheduler.reopening()))
        });
        let (state, reopening) = found.await??;
        let kept = self
            .driver
            .read_archive(move |archive| archive.parts_page(run, after, LARGEST_PAGE));
        let batches = kept.await??;
        let last = batches.last().map(|(batch, _)| *batch);
        let parts = batches.into_iter().flat_map(|(batch, parts)| {
            let of_op = parts.into_iter().filter(move |part| part.op == op);
            of_op.map(move |part| (batch, part))
        });
        Ok(CommittedParts {
            state,
            reopening,
            parts: parts.collect(),
            last,
        })
    }

    /// Tells whether the driver answers.
    pub async fn is_ready(&self) -> bool {
        self.driver.read(|_| ()).await.is_ok()
    }
}

impl World {
    /// Shows a run: a live one by the scheduler's numbers, an ended one by its last summary.
    fn view(&self, run: RunId) -> Result<RunView, NoSuchRun> {
        let entry = self.registry.run(run).ok_or(NoSuchRun { run })?;
        let live = || self.scheduler.summary(run).map(Arc::new);
        Ok(RunView {
            summary: entry.ended.clone().or_else(live).ok_or(NoSuchRun { run })?,
            job: self.scheduler.job(run).unwrap_or_else(|| entry.job.clone()),
            memory: entry.memory.clone().or_else(|| self.vitals.of_run(run)),
            rerun_of: entry.rerun.as_deref().map(|rerun| RerunOf {
                run: rerun.of,
                from: rerun.from.clone(),
                at_checkpoints: rerun.kept,
            }),
            now: self.now,
        })
    }

    /// Returns the batches that are more than a number: of an ended run, those that failed.
    fn batches(&self, run: RunId) -> Vec<BatchView> {
        let Some(entry) = self.registry.run(run) else {
            return Vec::new();
        };
        if entry.ended.is_none() {
            return self.scheduler.batches(run).collect();
        }
        let failed = entry.failed.iter();
        failed
            .map(|(batch, failed)| BatchView::of_failed(*batch, failed))
            .collect()
    }

    /// Tells whether a batch is known to be committed: of a run that ended early, nobody keeps which ones were.
    fn is_committed(&self, run: RunId, batch: BatchId) -> bool {
        let ended = self
            .registry
            .run(run)
            .and_then(|entry| Some((entry, entry.ended.as_ref()?)));
        match ended {
            None => self.scheduler.is_committed(run, batch),
            Some((entry, summary)) => match summary.state {
                RunState::Succeeded | RunState::CompletedWithFailures => {
                    batch.index < summary.batches.total && !entry.failed.contains_key(&batch)
                }
                RunState::Failed | RunState::Cancelled | RunState::Queued | RunState::Running | RunState::Paused => {
                    false
                }
            },
        }
    }
}

impl PageRequest {
    fn size(&self) -> Result<usize, LookupError> {
        match self.size {
            None => Ok(DEFAULT_PAGE),
            Some(0) => Err(LookupError::InvalidField(FieldProblem::new(
                "page_size",
                format!("must be 1 to {LARGEST_PAGE}, or absent"),
            ))),
            Some(size) => Ok(LARGEST_PAGE.min(size as usize)),
        }
    }

    fn parse<T: std::str::FromStr>(&self, what: &str) -> Result<(usize, Option<T>), LookupError> {
        let size = self.size()?;
        if self.token.is_empty() {
            return Ok((size, None));
        }
        let last = self.token.parse().map_err(|_| {
            let problem = format!("names no {what}; pass on next_page_token as it came");
            LookupError::InvalidField(FieldProblem::new("page_token", problem))
        })?;
        Ok((size, Some(last)))
    }
}

impl<T> Page<T> {
    /// Makes a page of up to `size + 1` elements: the last one only says that there are more.
    fn cut(mut items: Vec<T>, size: usize, token: impl Fn(&T) -> String) -> Page<T> {
        let more = items.len() > size;
        items.truncate(size);
        let next_token = items.last().filter(|_| more).map(token).unwrap_or_default();
        Page { items, next_token }
    }
}

/// Sessions of one worker stand in the order in which they were opened.
fn worker_token(worker: &WorkerView) -> String {
    let session = worker.session;
    format!(
        "{} {:020}.{:020}",
        worker.worker.as_str(),
        session.generation.0,
        session.sequence
    )
}

fn committed_view(batch: BatchId) -> BatchView {
    BatchView {
        id: batch,
        state: BatchState::Committed,
        op: None,
        attempt: ids::Attempt::FIRST,
        slice: None,
        worker: None,
        failure: None,
        crashes: 0,
        row: None,
        comes_back: ComesBack::No,
    }
}
