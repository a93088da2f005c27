//! The driver: the only owner of the scheduler, one task on a thread of its own.
//!
//! Owns the scheduler, the registry, the journal's sending end, the sources of the live runs and the ways to the
//! workers; nobody else touches them, so there is no lock. Data flows in rounds: everything that is queued (requests of
//! people, reports of workers, slices found, records durable, the timer) becomes events, each handled at its time;
//! then every command that came out is executed, with one append to the journal and one frame per session. Nothing
//! here waits for a peer: a queue that is full ends its session, a disk that is slow delays only what waits for it.
//!
//! Known weakness: a read of people runs between two rounds, so a slow one would hold everybody up; reads are pages.

mod charting;
mod execute;
mod message;
mod reruns;
mod retries;
mod sessions;
mod sources;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use common::ids::{Generation, RunId, SessionId};
use common::job::Job;
use common::slice::FrozenSource;
use common::steering::Asker;
use common::time::Time;
use scheduler::{Ask, Asked, Event, NewRun, NewSession, Scheduler, Ticket};
use tokio::sync::{mpsc, oneshot, watch};

use crate::blocking::Blocking;
use crate::clock::Clock;
use crate::registry::{Registry, Retention};
use crate::shutdown::Shutdown;
use crate::store::{Archive, Durability, Entry, Journal, JournalError};
use crate::timeline::Timelines;
use crate::vitals::VitalsBook;

pub use message::{DriverHandle, NoSuchRun, NoSuchWorker, NotDone, Refused, Stopped, Submission};
pub(crate) use message::{FromSession, Opening};
pub use retries::{RetryError, RetrySelection};
pub use sources::{FoundSlices, SliceFinder};

use message::{PendingSubmission, Request};
use reruns::RerunFinder;
use sessions::Sessions;
use sources::Sources;

/// How many messages of one channel are taken in a round.
const ROUND: usize = 256;
/// How many requests of people may wait.
const REQUEST_QUEUE: usize = 256;
/// How many messages of sessions may wait.
const SESSION_QUEUE: usize = 1_024;

/// What reads look at: the scheduler for what lives, the registry for what is known beyond that.
pub struct World {
    /// Every live run, batch and worker.
    pub scheduler: Scheduler,
    /// Every run that is known.
    pub registry: Registry,
    /// What happened in them, attempt by attempt.
    pub timelines: Arc<Timelines>,
    /// What workers say of themselves.
    pub vitals: VitalsBook,
    /// The time of the read.
    pub now: Time,
}

/// Why the driver stopped although nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Another coordinator owns the journal now.
    #[error("a coordinator of generation {} has taken over; this one must not go on", by.0)]
    Fenced {
        /// The generation that took over.
        by: Generation,
    },
    /// The journal failed; what it holds beyond the last durable record is unknown.
    #[error("the journal failed: {reason}; start the coordinator again when its disk is well")]
    JournalFailed {
        /// What the disk said.
        reason: String,
    },
    /// The journal took nothing.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The driver. [`Driver::new`] builds, [`Driver::run`] runs.
pub struct Driver {
    world: World,
    clock: Clock,
    journal: Box<dyn Journal>,
    durability: watch::Receiver<Durability>,
    requests: mpsc::Receiver<Request>,
    from_sessions: mpsc::Receiver<FromSession>,
    sources: Sources,
    sessions: Sessions,
    /// Appended records that are not durable yet, oldest first.
    undurable: VecDeque<Entry>,
    /// Records of this round.
    to_append: Vec<Entry>,
    askers: BTreeMap<Ticket, oneshot::Sender<Result<(), NotDone>>>,
    last_ticket: Ticket,
    /// What the journal keeps beside the ledger.
    archive: Arc<dyn Archive>,
    /// What cuts a source into slices from its beginning.
    cut_again: CutAgain,
    submitters: BTreeMap<RunId, Vec<oneshot::Sender<Result<RunId, Refused>>>>,
    retriers: BTreeMap<RunId, Vec<retries::Waiting>>,
    next_run: RunId,
    next_session: SessionId,
    /// When the gauges of runs were sampled last.
    sampled: Time,
}

/// Makes what cuts a source into slices, from its beginning.
type CutAgain = Box<dyn Fn(&Job, &Arc<FrozenSource>) -> Box<dyn SliceFinder> + Send>;

/// What was queued when a round began.
#[derive(Default)]
struct Round {
    requests: Vec<Request>,
    sessions: Vec<FromSession>,
    answers: Vec<Event>,
}

impl Driver {
    /// Makes a driver on a journal and on timelines, goes on where the journal ends, and returns the handle to speak to it. The sources
    /// of runs that live are cut anew with `cut_again`.
    pub fn new(
        config: scheduler::Config,
        clock: Clock,
        mut journal: Box<dyn Journal>,
        timelines: Arc<Timelines>,
        retention: Retention,
        cut_again: impl Fn(&Job, &Arc<FrozenSource>) -> Box<dyn SliceFinder> + Send + 'static,
    ) -> (Driver, DriverHandle) {
        let ledger = journal.recover();
        let now = clock.now();
        let archive = journal.archive();
        let mut sources = Sources::default();
        for (id, run) in &ledger.runs {
            let slices = cut_again(&run.job, &run.source);
            sources.open(*id, RerunFinder::beside(slices, run.rerun.as_deref(), &archive));
        }
        let live = ledger.runs.iter().map(|(id, run)| (*id, run.accepted, &*run.job));
        timelines.resume(live, ledger.ended.keys().copied());
        let vitals = VitalsBook::default();
        ledger.runs.keys().for_each(|run| vitals.run_begins(*run));
        let scheduler = Scheduler::restore(config, &ledger, now);
        let next_run = RunId(ledger.last_run.0 + 1);
        let (request_sender, requests) = mpsc::channel(REQUEST_QUEUE);
        let (session_sender, from_sessions) = mpsc::channel(SESSION_QUEUE);
        let next_session = SessionId {
            generation: journal.generation(),
            sequence: 1,
        };
        let driver = Driver {
            archive: Arc::clone(&archive),
            world: World {
                scheduler,
                registry: Registry::restore(retention, ledger, now),
                timelines: Arc::clone(&timelines),
                vitals: vitals.clone(),
                now,
            },
            clock,
            durability: journal.durability(),
            journal,
            requests,
            from_sessions,
            sources,
            sessions: Sessions::default(),
            undurable: VecDeque::new(),
            to_append: Vec::new(),
            cut_again: Box::new(cut_again),
            submitters: BTreeMap::new(),
            askers: BTreeMap::new(),
            last_ticket: Ticket::default(),
            retriers: BTreeMap::new(),
            next_run,
            next_session,
            sampled: Time::ZERO,
        };
        let handle = DriverHandle {
            requests: request_sender,
            sessions: session_sender,
            archive,
            timelines,
            vitals,
            blocking: Blocking::default(),
        };
        (driver, handle)
    }

    /// Does work that may block somewhere else than on threads that are there for it, for whoever has the handle too.
    pub fn block_in(&mut self, handle: &mut DriverHandle, blocking: Blocking) {
        self.sources.search_in(blocking);
        handle.blocking = blocking;
    }

    /// Drives until it is told to stop, or nobody can speak to it any more.
    ///
    /// # Errors
    /// [`DriverError`] when the journal cannot be trusted any more; the process must end then.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), DriverError> {
        loop {
            self.execute_commands()?;
            let Some(mut round) = self.wait(&shutdown).await else {
                return Ok(());
            };
            self.take_queued(&mut round);
            self.handle_durability()?;
            for message in round.sessions {
                self.on_session(message);
            }
            for answer in round.answers {
                self.handle(answer);
            }
            for request in round.requests {
                self.on_request(request);
            }
            let now = self.clock.now();
            if self
                .world
                .scheduler
                .next_timeout()
                .is_some_and(|timeout| timeout <= now)
            {
                self.handle(Event::TimeoutReached);
            }
            self.sample(now);
        }
    }

    /// Waits until something is to be done; `None` when the driver is to stop.
    async fn wait(&mut self, shutdown: &Shutdown) -> Option<Round> {
        let mut round = Round::default();
        let timeouts = [self.world.scheduler.next_timeout(), self.next_sample()];
        let timeout = timeouts.into_iter().flatten().min();
        let nap = timeout.map(|timeout| timeout.since(self.clock.now()));
        tokio::select! {
            biased;
            () = shutdown.requested() => return None,
            _ = self.durability.changed() => {}
            taken = self.from_sessions.recv_many(&mut round.sessions, ROUND) => {
                if taken == 0 {
                    return None;
                }
            }
            answer = self.sources.next_answer(), if !self.sources.is_idle() => round.answers.extend(answer),
            taken = self.requests.recv_many(&mut round.requests, ROUND) => {
                if taken == 0 {
                    return None;
                }
            }
            () = tokio::time::sleep(nap.unwrap_or_default()), if nap.is_some() => {}
        }
        Some(round)
    }

    /// Takes what else is queued, so that no channel waits behind another.
    fn take_queued(&mut self, round: &mut Round) {
        while round.sessions.len() < ROUND {
            let Ok(message) = self.from_sessions.try_recv() else {
                break;
            };
            round.sessions.push(message);
        }
        while round.requests.len() < ROUND {
            let Ok(request) = self.requests.try_recv() else {
                break;
            };
            round.requests.push(request);
        }
    }

    /// Shows the registry, and then the scheduler, what cannot be lost any more.
    fn handle_durability(&mut self) -> Result<(), DriverError> {
        let durable = match &*self.durability.borrow_and_update() {
            Durability::UpTo(sequence) => *sequence,
            Durability::Fenced { by } => return Err(DriverError::Fenced { by: *by }),
            Durability::Failed { reason } => {
                return Err(DriverError::JournalFailed { reason: reason.clone() });
            }
        };
        let now = self.clock.now();
        let mut last = None;
        while self.undurable.front().is_some_and(|entry| entry.sequence <= durable) {
            let entry = self.undurable.pop_front().expect("the front was looked at");
            self.keep_moment(&entry.record, now);
            self.world.registry.apply(&entry.record);
            self.answer_retriers(&entry.record);
            last = Some(entry.sequence);
        }
        for run in self.world.registry.take_forgotten() {
            self.journal.forget(run);
            self.world.timelines.forget(run);
            self.handle(Event::RunForgotten { run });
        }
        if let Some(sequence) = last {
            self.handle(Event::DurableUpTo { sequence });
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        self.world.now = self.clock.now();
        self.world.scheduler.handle(event, self.world.now);
    }

    fn on_request(&mut self, request: Request) {
        match request {
            Request::Submit(pending) => self.on_submit(*pending),
            Request::Ask { by, ask, reply } => self.on_ask(by, ask, reply),
            Request::Retry {
                run,
                selection,
                by,
                reply,
            } => self.on_retry(run, &selection, by, reply),
            Request::Drain { worker, reply } => {
                let session = self.sessions.of_worker(&worker);
                if let Some(session) = session {
                    self.handle(Event::DrainRequested { session });
                }
                let _ = reply.send(session.map(|_| ()).ok_or(NoSuchWorker { worker }));
            }
            Request::Read(look) => {
                self.world.now = self.clock.now();
                look(&mut self.world);
            }
        }
    }

    fn on_submit(&mut self, pending: PendingSubmission) {
        let PendingSubmission { submission, reply } = pending;
        let name = submission.request_id.as_deref();
        let known = name.map_or(Ok(None), |name| {
            let rerun = submission.rerun.as_deref();
            self.world.registry.find_submission(name, &submission.job, rerun)
        });
        match known {
            Ok(Some(run)) if self.world.registry.run(run).is_some() => {
                let _ = reply.send(Ok(run));
                return;
            }
            Ok(Some(run)) => {
                self.submitters.entry(run).or_default().push(reply);
                return;
            }
            Err(taken) => {
                let _ = reply.send(Err(taken.into()));
                return;
            }
            Ok(None) => {}
        }
        if let Err(invalid) = targets::check_free(&self.world.scheduler, &submission.job) {
            let _ = reply.send(Err(invalid.into()));
            return;
        }
        let run = self.next_run;
        self.next_run = RunId(run.0 + 1);
        if let Some(name) = &submission.request_id {
            let (job, rerun) = (submission.job.clone(), submission.rerun.clone());
            self.world.registry.reserve(name.clone(), run, job, rerun);
        }
        self.submitters.entry(run).or_default().push(reply);
        self.world.registry.need(submission.rerun.as_deref(), run);
        let slices = RerunFinder::beside(submission.slices, submission.rerun.as_deref(), &self.archive);
        self.sources.open(run, slices);
        self.handle(Event::RunSubmitted(Box::new(NewRun {
            run,
            job: submission.job,
            source: submission.source,
            seed: submission.seed,
            request_id: submission.request_id,
            rerun: submission.rerun,
        })));
    }

    fn on_ask(&mut self, by: Asker, ask: Ask, reply: oneshot::Sender<Result<(), NotDone>>) {
        if let Ask::Run { run, .. } = &ask
            && self.world.registry.run(*run).is_none()
        {
            // An error says that whoever asked has gone.
            let _ = reply.send(Err(NoSuchRun { run: *run }.into()));
            return;
        }
        let ticket = Ticket(self.last_ticket.0 + 1);
        self.last_ticket = ticket;
        self.askers.insert(ticket, reply);
        self.handle(Event::Asked(Box::new(Asked { ticket, by, ask })));
    }

    fn on_session(&mut self, message: FromSession) {
        match message {
            FromSession::Opened(opening) => self.on_opened(*opening),
            FromSession::Disconnected(session) => self.handle(Event::SessionDisconnected { session }),
            FromSession::Resumed(session, counted) => {
                self.handle(Event::SessionResumed { session });
                self.confirm(session, counted);
            }
            FromSession::Heard(session, counted) => {
                self.handle(Event::SessionHeard { session });
                self.confirm(session, counted);
            }
            FromSession::Closed(session) => {
                self.handle(Event::SessionClosed { session });
                self.sessions.close(session);
            }
            FromSession::Reported(session, reports) => {
                self.world.now = self.clock.now();
                let events = reports.into_iter().map(|report| Event::Reported { session, report });
                self.world.scheduler.handle_all(events, self.world.now);
            }
        }
    }

    /// Says that a sign of life has been counted. A worker that is told so relies on its leases from when it sent it, so a
    /// session that is over hears nothing.
    fn confirm(&mut self, session: SessionId, counted: oneshot::Sender<()>) {
        if self.world.scheduler.is_heard(session) {
            // An error says that the connection broke meanwhile.
            let _ = counted.send(());
        }
    }

    fn on_opened(&mut self, mut opening: Opening) {
        let session = self.next_session;
        self.next_session.sequence += 1;
        let event = Event::SessionOpened(Box::new(NewSession {
            session,
            worker: opening.worker.clone(),
            instance: opening.instance.clone(),
            slots: opening.slots,
            ops: opening.ops.clone(),
            exchange_address: opening.exchange_address.clone(),
            hello: opening.hello,
            reattached: opening.reattached.take(),
        }));
        self.world.timelines.meet(&opening.worker, opening.slots.get());
        self.sessions.open(session, opening);
        self.handle(event);
    }
}
