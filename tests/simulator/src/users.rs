//! The people who submit jobs: each submits one, under a name, until it is accepted; some ask again, some cancel.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use common::ids::{OpId, RunId};
use common::job::{Change, Job, LimitsChange, OnFailure, OpLimitsChange, PoolName};
use common::slice::FrozenSource;
use common::steering::{AskRefused, Asker, CancelMode, RunCommand};
use scheduler::{Ask, Asked, Event, Hold, NewRun, Ticket};

use crate::coordinator::Coordinator;
use crate::jobs;
use crate::limits::Holds;
use crate::plan::{LimitPlan, WhichFailed};
use crate::world::{Happening, World};

/// How long a user waits for an answer before asking again.
const WAIT: Duration = Duration::from_secs(2);

/// A user, and what it knows.
#[derive(Debug, Default)]
pub(crate) struct User {
    /// The run that it was told of.
    pub(crate) run: Option<RunId>,
}

impl World {
    /// Submits, and will again if no answer comes.
    pub(crate) fn act_for_user(&mut self, user: usize) {
        if self.users[user].run.is_some() {
            return;
        }
        self.submit(user);
        self.schedule(self.now + WAIT, Happening::User(user));
    }

    pub(crate) fn submit(&mut self, user: usize) {
        let at = self.now + self.latency();
        self.schedule(at, Happening::Submit(user));
    }

    pub(crate) fn on_submit(&mut self, user: usize) {
        let name = format!("request-{user}");
        let Some(coordinator) = &mut self.coordinator else {
            return;
        };
        if let Some(run) = coordinator.names.get(&name).copied() {
            let waits = coordinator.submitters.get_mut(&run);
            match waits {
                Some(waiting) => waiting.push(user),
                None => self.answer(user, run),
            }
            return;
        }
        coordinator.last_run = RunId(coordinator.last_run.0 + 1);
        let run = coordinator.last_run;
        coordinator.names.insert(name.clone(), run);
        coordinator.submitters.insert(run, vec![user]);
        let (job, source) = self.job_of(run, user);
        let new = NewRun {
            run,
            job: Arc::new(job),
            source,
            seed: self.plan.seed,
            rerun: None,
            request_id: Some(name),
        };
        self.tell_scheduler(Event::RunSubmitted(Box::new(new)));
    }

    /// Makes the job and the source of a new run of a user, of which the oracles are told.
    pub(crate) fn job_of(&mut self, run: RunId, user: usize) -> (Job, Arc<FrozenSource>) {
        self.oracle.job_of_run.insert(run, user);
        self.note_limits_of(run, user);
        self.note_rates_of(run, user);
        let plan = &self.plan.jobs[user];
        let cap = plan.cap.map(|cap| cap * self.cap_factor());
        let (mut job, source) = (jobs::job(plan, user, cap), jobs::source(plan));
        self.limit_ops(user, &mut job);
        (job, source)
    }

    pub(crate) fn answer(&mut self, user: usize, run: RunId) {
        self.check_acknowledged_run(user, run);
        let at = self.now + self.latency();
        self.schedule(at, Happening::Accepted(user, run));
    }

    pub(crate) fn on_accepted(&mut self, user: usize, run: RunId) {
        self.trace.note(self.now, &[30, user as u64, run.0], || {
            format!("user {user} knows {run}")
        });
        let known = *self.users[user].run.get_or_insert(run);
        self.require(known == run, "ACK-DURABLE", || {
            format!("request-{user} was accepted as {known} and as {run}")
        });
    }

    /// Asks for failed batches of a user's run, and of those that run it again, to be tried again; a run that has ended with failures
    /// is reopened.
    pub(crate) fn retry_failed(&mut self, user: usize, which: WhichFailed) {
        let of_job = self.oracle.job_of_run.iter().filter(|(_, job)| **job == user);
        let runs: Vec<RunId> = of_job.map(|(run, _)| *run).collect();
        for run in runs {
            self.retry_failed_of(run, which);
        }
    }

    fn retry_failed_of(&mut self, run: RunId, which: WhichFailed) {
        let Some(coordinator) = &self.coordinator else { return };
        let Ok(failed) = coordinator.scheduler.retryable(run) else {
            return;
        };
        let most = match which {
            WhichFailed::All => usize::MAX,
            WhichFailed::First => 1,
        };
        let batches: Vec<_> = failed.map(|(batch, _)| batch).take(most).collect();
        if !batches.is_empty() || coordinator.scheduler.can_be_reopened(run) {
            let by = Asker::Grpc;
            self.tell_scheduler(Event::RetryRequested { run, batches, by });
        }
    }

    pub(crate) fn cancel(&mut self, user: usize) {
        if let (Some(run), Some(_)) = (self.users[user].run, &self.coordinator) {
            self.oracle.cancelled.insert(run);
            let command = RunCommand::Cancel(CancelMode::Now);
            self.ask(Ask::Run { run, command });
        }
    }

    /// Asks the coordinator for something, if there is one.
    pub(crate) fn ask(&mut self, ask: Ask) {
        let Some(coordinator) = &mut self.coordinator else {
            return;
        };
        let ticket = Ticket(coordinator.last_ticket.0 + 1);
        coordinator.last_ticket = ticket;
        coordinator.asked.insert(ticket, ask.clone());
        if let Ask::Run {
            run,
            command: RunCommand::Resume | RunCommand::Cancel(_),
        } = &ask
        {
            self.note_released(*run, ticket);
        }
        if let Ask::Run {
            run,
            command: RunCommand::Pause { .. },
        } = &ask
        {
            self.note_held_back(*run, ticket);
        }
        let by = Asker::Grpc;
        self.tell_scheduler(Event::Asked(Box::new(Asked { ticket, by, ask })));
    }

    /// ACK-DURABLE: what is granted cannot be lost any more.
    pub(crate) fn on_answer(&mut self, ticket: Ticket, outcome: Result<(), AskRefused>) {
        let asked = self.coordinator.as_mut().and_then(|c| c.asked.remove(&ticket));
        let (Some(ask), Ok(())) = (asked, outcome) else {
            return;
        };
        let (run, command) = match ask {
            Ask::Run { run, command } => (run, command),
            Ask::SetCap { cap } => return self.check_acknowledged_cap(cap),
            Ask::SetPool { pool, limit } => return self.check_acknowledged_pool(&pool, limit),
        };
        if let RunCommand::Pause { .. } = &command
            && self.note_paused(run, ticket) == Holds::No
        {
            return;
        }
        if command == RunCommand::Resume && self.still_goes_on(run, ticket) == Holds::No {
            return;
        }
        let is_finishing = |c: &Coordinator| c.scheduler.outcome(run).is_some();
        let needs_no_cancel = self.stops_by_itself(run) || self.coordinator.as_ref().is_some_and(is_finishing);
        let ledger = self.disk.ledger();
        let is_durable = ledger.runs.get(&run).is_none_or(|run| match &command {
            RunCommand::Pause { .. } => run.hold == Hold::Paused,
            RunCommand::Resume => run.hold == Hold::GoesOn,
            RunCommand::Cancel(_) => run.cancelled.is_some() || needs_no_cancel,
            RunCommand::ChangeLimits(_) | RunCommand::RetryFailed { .. } => true,
        });
        self.require(is_durable, "ACK-DURABLE", || {
            format!("{command} of {run} is granted, and not durable")
        });
    }

    /// Tells whether a run is being stopped because it failed, so that there is nothing left to cancel: its deadline has
    /// passed, or more of it has failed than its policy tolerates, in the life of this coordinator.
    fn stops_by_itself(&self, run: RunId) -> bool {
        let (Some(coordinator), Some(known)) = (&self.coordinator, self.disk.ledger().runs.get(&run)) else {
            return false;
        };
        let plan = &self.plan.jobs[self.oracle.job_of_run[&run]];
        let since = known.reopened.unwrap_or(known.accepted);
        let is_late = plan
            .deadline
            .is_some_and(|deadline| since + deadline <= coordinator.now(self.now));
        is_late || plan.on_failure == OnFailure::Cancel && self.oracle.exceeded.contains(&run)
    }

    /// Pauses a run, and lets it go on later.
    pub(crate) fn pause(&mut self, user: usize, lasts: Duration) {
        if let (Some(run), Some(_)) = (self.users[user].run, &self.coordinator) {
            let command = RunCommand::Pause { reason: None };
            self.ask(Ask::Run { run, command });
            self.schedule(self.now + lasts, Happening::Resume(user));
        }
    }

    /// Lets a run go on, again and again until it is not paused for certain.
    pub(crate) fn resume(&mut self, user: usize) {
        let Some(run) = self.users[user].run else { return };
        let command = RunCommand::Resume;
        self.ask(Ask::Run { run, command });
        let is_paused = self
            .disk
            .ledger()
            .runs
            .get(&run)
            .is_some_and(|run| run.hold == Hold::Paused);
        let pauses = |ask: &Ask| matches!(ask, Ask::Run { run: of, command: RunCommand::Pause { .. } | RunCommand::Resume } if *of == run);
        let may_be_paused = self.coordinator.as_ref().is_none_or(|c| c.asked.values().any(pauses));
        if is_paused || may_be_paused {
            self.schedule(self.now + WAIT, Happening::Resume(user));
        }
    }

    /// Changes a limit of a run.
    pub(crate) fn change_limit(&mut self, user: usize, limit: LimitPlan) {
        let Some(run) = self.users[user].run else { return };
        let mut change = LimitsChange::default();
        let op = |place: usize| OpId(place as u16 + 1);
        match limit {
            LimitPlan::Cap(cap) => {
                change.max_concurrent = match self.told_cap(cap) {
                    Some(cap) => Change::Set(cap),
                    None => Change::Remove,
                };
            }
            LimitPlan::Op(place, limit) => {
                let max_concurrent = NonZeroU32::new(limit).map_or(Change::Keep, Change::Set);
                change.ops.insert(
                    op(place),
                    OpLimitsChange {
                        max_concurrent,
                        ..OpLimitsChange::default()
                    },
                );
            }
            LimitPlan::Rate(place, rate) => {
                let rate = Change::Set(self.told_rate(rate));
                change.ops.insert(
                    op(place),
                    OpLimitsChange {
                        rate,
                        ..OpLimitsChange::default()
                    },
                );
            }
            LimitPlan::InFlight(bound) => {
                change.max_in_flight = bound.and_then(NonZeroU32::new).map_or(Change::Remove, Change::Set);
            }
            LimitPlan::Committing(bound) => {
                change.max_committing = bound.and_then(NonZeroU32::new).map_or(Change::Remove, Change::Set);
            }
            LimitPlan::Weight(weight) => change.weight = Change::Set(jobs::weight(weight)),
        }
        let command = RunCommand::ChangeLimits(change);
        self.ask(Ask::Run { run, command });
    }

    /// Sets a limit that runs share.
    pub(crate) fn set_pool(&mut self, pool: usize, limit: u32) {
        let names: BTreeSet<PoolName> = (0..self.plan.jobs.len()).map(|job| self.pool_name(pool, job)).collect();
        let limit = NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
        for pool in names {
            self.ask(Ask::SetPool { pool, limit });
        }
    }
}
