//! What others say to the driver, and how they say it.
//!
//! Two bounded channels lead to the driver: one for people, one for worker sessions, so that neither crowds the other
//! out. Whoever sends waits when the driver is behind; the driver itself never waits for anybody.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use common::ids::{RunId, SessionId, WorkerName};
use common::job::{InvalidJob, Job};
use common::message::{Report, ToWorker};
use common::slice::FrozenSource;
use common::steering::{AskRefused, Asker};
use scheduler::{Ask, EndReason, Reattached, Rerun};
use tokio::sync::{mpsc, oneshot};

use super::World;
use super::retries::{RetryError, RetrySelection};
use super::sources::SliceFinder;
use crate::blocking::Blocking;
use crate::registry::RequestIdTaken;
use crate::store::{Archive, ArchiveError};
use crate::timeline::Timelines;
use crate::vitals::VitalsBook;

/// What people ask of the driver.
pub(crate) enum Request {
    /// Run this job.
    Submit(Box<PendingSubmission>),
    /// Do what somebody asks for, and answer when it is in effect.
    Ask {
        by: Asker,
        ask: Ask,
        reply: oneshot::Sender<Result<(), NotDone>>,
    },
    /// Try failed batches again.
    Retry {
        run: RunId,
        selection: RetrySelection,
        by: Asker,
        reply: oneshot::Sender<Result<u64, RetryError>>,
    },
    /// Drain a worker.
    Drain {
        worker: WorkerName,
        reply: oneshot::Sender<Result<(), NoSuchWorker>>,
    },
    /// Look at what is known. Must be quick: nothing else happens meanwhile.
    Read(Box<dyn FnOnce(&mut World) + Send>),
}

/// A job that was checked and whose source is listed.
pub struct Submission {
    /// The job, its paths absolute.
    pub job: Arc<Job>,
    /// The listing and the header.
    pub source: Arc<FrozenSource>,
    /// What generated values are derived from.
    pub seed: u64,
    /// The submitter's name for the submission.
    pub request_id: Option<String>,
    /// The run whose later ops it runs again, if so.
    pub rerun: Option<Box<Rerun>>,
    /// What cuts the source into slices.
    pub slices: Box<dyn SliceFinder>,
}

/// A submission with its answer's way back.
pub(crate) struct PendingSubmission {
    pub(crate) submission: Submission,
    pub(crate) reply: oneshot::Sender<Result<RunId, Refused>>,
}

/// Why a checked job is not run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// The submission's name stands for another job.
    #[error(transparent)]
    RequestIdTaken(#[from] RequestIdTaken),
    /// A live run writes to its target.
    #[error(transparent)]
    TargetTaken(#[from] InvalidJob),
}

/// What a worker's session tells the driver.
pub(crate) enum FromSession {
    /// A worker said hello.
    Opened(Box<Opening>),
    /// The connection broke.
    Disconnected(SessionId),
    /// The worker connected again; told when that has been counted and the session goes on, dropped when it is over.
    Resumed(SessionId, oneshot::Sender<()>),
    /// A heartbeat came; told when it has been counted.
    Heard(SessionId, oneshot::Sender<()>),
    /// The worker said goodbye.
    Closed(SessionId),
    /// The worker reported something.
    Reported(SessionId, Vec<Report>),
}

/// A session to be opened, and where its messages go.
pub(crate) struct Opening {
    pub(crate) worker: WorkerName,
    /// What tells this process of the worker from another one of the same name.
    pub(crate) instance: String,
    pub(crate) slots: NonZeroU32,
    pub(crate) ops: BTreeSet<String>,
    pub(crate) exchange_address: String,
    /// The how-manieth hello of its process this is.
    pub(crate) hello: u64,
    /// What the process holds from a session of a former generation.
    pub(crate) reattached: Option<Reattached>,
    /// What the tickets for outputs of this worker are made with.
    pub(crate) exchange_key: Vec<u8>,
    /// Messages for the worker; when it is full, the session is ended.
    pub(crate) outgoing: mpsc::Sender<Vec<ToWorker>>,
    /// Told once, when the driver ends the session.
    pub(crate) ended: oneshot::Sender<EndReason>,
    /// Told once, when the session is durable.
    pub(crate) accepted: oneshot::Sender<SessionId>,
}

/// The driver has stopped, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator is shutting down; try again later")]
pub struct Stopped;

/// There is no such run, or it ended so long ago that it was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no run {run}; list the runs to see which there are")]
pub struct NoSuchRun {
    /// The id that was asked for.
    pub run: RunId,
}

/// Why something that was asked for is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// There is no such run.
    #[error(transparent)]
    NoSuchRun(#[from] NoSuchRun),
    /// The state of things does not allow it.
    #[error(transparent)]
    Refused(#[from] AskRefused),
}

/// There is no such worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no worker {:?}; list the workers to see which there are", worker.as_str())]
pub struct NoSuchWorker {
    /// The name that was asked for.
    pub worker: WorkerName,
}

/// Speaks to the driver. Cloned freely; the driver stops when the last one is gone.
#[derive(Clone)]
pub struct DriverHandle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) sessions: mpsc::Sender<FromSession>,
    pub(super) archive: Arc<dyn Archive>,
    pub(super) timelines: Arc<Timelines>,
    pub(super) vitals: VitalsBook,
    pub(super) blocking: Blocking,
}

impl DriverHandle {
    /// Returns where work is done that may block.
    pub(crate) fn blocking(&self) -> Blocking {
        self.blocking
    }

    /// Returns what workers say of themselves.
    pub fn vitals(&self) -> &VitalsBook {
        &self.vitals
    }

    /// Submits a checked job and waits until its run cannot be lost any more.
    ///
    /// # Errors
    /// [`Refused`] when its name stands for another job or its target is taken; [`Stopped`] when nobody is there to run it.
    pub async fn submit(&self, submission: Submission) -> Result<Result<RunId, Refused>, Stopped> {
        self.ask(|reply| Request::Submit(Box::new(PendingSubmission { submission, reply })))
            .await
    }

    /// Asks for something, and waits until it cannot be lost any more and is in effect.
    ///
    /// # Errors
    /// [`NotDone`] when it cannot be done; [`Stopped`] when nobody is there to do it.
    pub async fn command(&self, by: Asker, ask: Ask) -> Result<Result<(), NotDone>, Stopped> {
        self.ask(|reply| Request::Ask { by, ask, reply }).await
    }

    /// Lets failed batches of a run be tried again, and waits until that cannot be lost any more; returns how many.
    ///
    /// # Errors
    /// [`RetryError`] when they cannot be; [`Stopped`] when nobody is there to do it.
    pub async fn retry(
        &self,
        run: RunId,
        selection: RetrySelection,
        by: Asker,
    ) -> Result<Result<u64, RetryError>, Stopped> {
        self.ask(|reply| Request::Retry {
            run,
            selection,
            by,
            reply,
        })
        .await
    }

    /// Tells a worker to take no new work, finish what it holds, and leave.
    ///
    /// # Errors
    /// [`NoSuchWorker`] when it is not connected; [`Stopped`] when nobody is there to tell it.
    pub async fn drain(&self, worker: WorkerName) -> Result<Result<(), NoSuchWorker>, Stopped> {
        self.ask(|reply| Request::Drain { worker, reply }).await
    }

    /// Looks at what is known, between two events.
    ///
    /// # Errors
    /// [`Stopped`] when nobody is there to answer.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut World) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        self.ask(|reply| {
            Request::Read(Box::new(move |world| {
                // An error says that whoever asked has gone.
                let _ = reply.send(look(world));
            }))
        })
        .await
    }

    /// Reads a page of what the journal keeps, on a thread that may block.
    ///
    /// # Errors
    /// [`ArchiveError`] when it cannot be read; [`Stopped`] when the coordinator is about to end.
    pub async fn read_archive<T: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Archive) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<Result<T, ArchiveError>, Stopped> {
        let archive = Arc::clone(&self.archive);
        let read = self.blocking.run(move || look(&*archive));
        read.await.map_err(|_| Stopped)
    }

    /// Returns what happened in the runs, attempt by attempt.
    pub fn timelines(&self) -> &Arc<Timelines> {
        &self.timelines
    }

    /// Tells what happened to a session; waits while the driver is behind.
    pub(crate) async fn session(&self, message: FromSession) -> Result<(), Stopped> {
        self.sessions.send(message).await.map_err(|_| Stopped)
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
