//! Publishing: workers are asked to put committed parts in place.
//!
//! Any worker can do it, and doing it twice does no harm; so when the one that was asked is lost, another is asked.
//! It takes no slot. A batch whose parts stay where they are until the run's end has none.

use std::sync::Arc;
use std::time::Duration;

use common::failure::Failure;
use common::ids::{LeaseId, RunId, SessionId};
use common::message::{Publish, ToWorker};
use common::slice::RunContext;
use common::time::Time;

use crate::scheduler::Scheduler;
use crate::state::publication::{Publication, Published};
use crate::state::timers::Timer;

/// How often putting parts in place is tried before the run fails.
const ATTEMPTS: u32 = 8;
/// The wait after the first failure; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(200);

impl Scheduler {
    /// Asks a worker to put parts in place, by preference the one that made them.
    pub(crate) fn publish(&mut self, lease: LeaseId, publication: Publication, maker: Option<SessionId>) {
        let maker = maker.filter(|id| self.sessions.get(id).is_some_and(|session| session.is_connected()));
        self.publications.insert(lease, publication);
        self.ask_to_publish(lease, maker);
    }

    /// Asks anew for a publication that nobody is working on.
    pub(crate) fn publish_again(&mut self, lease: LeaseId) {
        if self
            .publications
            .get(&lease)
            .is_some_and(|publication| publication.session.is_none())
        {
            self.ask_to_publish(lease, None);
        }
    }

    /// Asks for every publication that nobody is working on.
    pub(crate) fn publish_what_waits(&mut self) {
        let waits = self
            .publications
            .iter()
            .filter(|(_, publication)| publication.session.is_none());
        let waits: Vec<LeaseId> = waits.map(|(lease, _)| *lease).collect();
        for lease in waits {
            self.publish_again(lease);
        }
    }

    /// Notes that the worker that was asked is gone.
    pub(crate) fn forget_publisher(&mut self, lease: LeaseId) {
        if let Some(publication) = self.publications.get_mut(&lease) {
            publication.session = None;
        }
    }

    fn ask_to_publish(&mut self, lease: LeaseId, maker: Option<SessionId>) {
        let any = || {
            self.sessions
                .values()
                .find(|session| session.is_connected())
                .map(|session| session.id)
        };
        let Some(session) = maker.or_else(any) else { return };
        let Some(publication) = self.publications.get_mut(&lease) else {
            return;
        };
        publication.session = Some(session);
        let of = publication.of;
        let publish = Publish {
            lease,
            run: of.run(),
            batch: of.batch(),
            parts: publication.parts.clone(),
        };
        let context = publication.context.clone();
        match context {
            Some(context) => self.open_forgotten_at(context, session),
            None => self.open_run_at(of.run(), session),
        }
        if let Some(worker) = self.sessions.get_mut(&session) {
            worker.publishing.insert(lease);
        }
        self.send(session, ToWorker::Publish(publish));
    }

    pub(crate) fn on_published(&mut self, session: SessionId, lease: LeaseId, now: Time) {
        self.end_publishing(session, lease);
        let Some(publication) = self.publications.remove(&lease) else {
            return;
        };
        match publication.of {
            Published::Batch(run, batch) => self.on_batch_done(run, batch, now),
            Published::Op(run, op) => self.on_finish_op_over(run, op, now),
            Published::Sweep(run) => self.close_forgotten_at(run, session),
        }
    }

    pub(crate) fn on_publish_failed(&mut self, session: SessionId, lease: LeaseId, failure: &Failure, now: Time) {
        self.end_publishing(session, lease);
        let Some(publication) = self.publications.get_mut(&lease) else {
            return;
        };
        if publication.session != Some(session) {
            return;
        }
        publication.session = None;
        publication.failures += 1;
        if failure.kind.may_be_retried() && publication.failures < ATTEMPTS {
            let wait = FIRST_WAIT * 2_u32.pow(publication.failures - 1);
            self.timers.set(now + wait, Timer::Republish(lease));
            return;
        }
        let of = publication.of;
        self.publications.remove(&lease);
        match of {
            Published::Batch(run, batch) => self.fail_committed_batch(run, batch, failure, now),
            Published::Op(run, op) => self.fail_finish_op(run, op, failure, now),
            Published::Sweep(run) => self.close_forgotten_at(run, session),
        }
    }

    /// Tells a worker of a run that is forgotten, so that it can sweep.
    fn open_forgotten_at(&mut self, context: Arc<RunContext>, session: SessionId) {
        let Some(worker) = self.sessions.get_mut(&session) else {
            return;
        };
        if worker.open_runs.insert(context.run) {
            self.send(session, ToWorker::OpenRun(context));
        }
    }

    fn close_forgotten_at(&mut self, run: RunId, session: SessionId) {
        if let Some(worker) = self.sessions.get_mut(&session)
            && worker.open_runs.remove(&run)
        {
            self.send(session, ToWorker::CloseRun { run });
        }
    }

    fn end_publishing(&mut self, session: SessionId, lease: LeaseId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.publishing.remove(&lease);
        }
    }
}
