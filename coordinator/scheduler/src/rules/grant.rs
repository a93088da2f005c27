//! Granting: which task gets the next free slot, on which worker, and how far its lease reaches.
//!
//! Runs take turns (priority, then fewest permits for their weight, then age); within a run the highest-ranked op that has a batch
//! waiting wins, and beginning a batch is ranked as its first op but needs admission too. Every pass grants one
//! lease to the best task that fits anywhere, until nothing fits; so when a slot is granted, no eligible task of
//! higher priority is left.
//!
//! Known weakness: placing a task looks for the worker with the most free slots and nothing else; it knows no racks.

use std::cmp::Reverse;
use std::sync::Arc;

use common::done::Past;
use common::ids::{Attempt, BatchId, LeaseId, OpId, RunId, SessionId};
use common::job::Job;
use common::message::{Grant, Input, RemoteOutput, Start, Step, ToWorker};
use common::time::Time;

use crate::journal::record::Record;
use crate::rules::admission::{has_room, may_begin};
use crate::scheduler::Scheduler;
use crate::state::batch::{Batch, BatchPhase, Place};
use crate::state::lease::{Lease, Permit, Standing, Truncation};
use crate::state::run::Run;
use crate::state::run::finish::FinishPhase;
use crate::state::worker::Session;

/// A task that can be granted now, and where.
#[derive(Clone, Copy, Debug)]
struct Choice {
    run: RunId,
    work: Work,
    session: SessionId,
}

/// What a lease would work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Begin the next batch.
    Begin,
    /// Let a lease start that is queued at the worker.
    StartQueued(LeaseId),
    /// Go on with a batch.
    Continue(BatchId),
    /// Run an op over the whole run.
    Finish(OpId),
}

impl Scheduler {
    /// Grants leases until no task fits anywhere.
    pub(crate) fn grant_what_fits(&mut self, now: Time) {
        while let Some(choice) = self.best_choice() {
            self.grant(choice, now);
        }
    }

    fn best_choice(&self) -> Option<Choice> {
        if self.idle.is_empty() || !self.has_global_room() {
            return None;
        }
        self.turns.iter().find_map(|(_, _, id)| {
            let run = self.runs.get(id)?;
            if self.has_run_room(run) {
                self.best_in_run(run)
            } else {
                None
            }
        })
    }

    fn best_in_run(&self, run: &Run) -> Option<Choice> {
        let choice = |work, session| Choice {
            run: run.id,
            work,
            session,
        };
        let is_awaited = self.former.awaits(run.id);
        for finish in run.finish.iter().filter(|_| !is_awaited && run.may_finish()) {
            if finish.phase == FinishPhase::Ready
                && self.unit_obstacle(run, finish.op).is_none()
                && let Some(session) = self.place(run, finish.op, None)
            {
                return Some(choice(Work::Finish(finish.op), session));
            }
        }
        for &op in run.ready.ranks() {
            if !self.has_op_room(run, op) {
                continue;
            }
            for &id in run.ready.waiting_for(op) {
                if self.rate_obstacle(run, op, id).is_some() {
                    break;
                }
                let batch = &run.batches[&id];
                if let Some(session) = self.place(run, op, Some(batch)) {
                    return Some(choice(Work::Continue(id), session));
                }
            }
            if op != OpId::EXTRACT || is_awaited {
                continue;
            }
            if run.returning.is_empty()
                && has_room(run, self.cap_in_force(run))
                && let Some((lease, session)) = self.startable_lease(run)
            {
                return Some(choice(Work::StartQueued(lease), session));
            }
            if may_begin(run, self.cap_in_force(run)).is_ok()
                && let Some(session) = self.place(run, op, None)
            {
                return Some(choice(Work::Begin, session));
            }
        }
        None
    }

    /// Finds a worker for an op: the one that holds the data if it has a free slot, else the one with the most.
    pub(crate) fn place(&self, run: &Run, op: OpId, batch: Option<&Batch>) -> Option<SessionId> {
        let can_take = |session: &&Session| session.free_slots() > 0 && session.can_do(&run.job, op);
        if let Some(Batch {
            place: Place::Parked { session, .. },
            ..
        }) = batch
        {
            let holder = self.sessions.get(session).filter(|holder| holder.serves())?;
            if can_take(&holder) {
                return Some(holder.id);
            }
            if holder.exchange_address.is_empty() {
                return None;
            }
        }
        self.idle
            .iter()
            .rev()
            .filter_map(|(_, Reverse(id))| self.sessions.get(id))
            .find(can_take)
            .map(|idle| idle.id)
    }

    fn grant(&mut self, choice: Choice, now: Time) {
        let Choice { run, work, session } = choice;
        match work {
            Work::Begin => {
                if let Some(batch) = self.take_batch(run, now) {
                    self.count_begun(run, batch);
                    self.lease_begun(run, batch, session, now);
                }
            }
            Work::StartQueued(lease) => self.permit_queued(lease, now),
            Work::Continue(batch) => {
                self.grant_batch(run, batch, session, Start::Now, now);
            }
            Work::Finish(op) => self.grant_finish(run, op, session, now),
        }
    }

    /// Leases a batch that was just begun; one that has a checkpoint waits for its turn to go on behind it.
    fn lease_begun(&mut self, run_id: RunId, id: BatchId, session: SessionId, now: Time) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        match run.batches.get(&id).map(|batch| batch.next_op()) {
            Some(OpId::EXTRACT) => {
                self.grant_batch(run_id, id, session, Start::Now, now);
            }
            Some(_) => run.make_ready(id, now),
            None => {}
        }
    }

    /// Makes a batch of a run's next slice; it is not begun yet.
    pub(crate) fn take_batch(&mut self, run: RunId, now: Time) -> Option<BatchId> {
        let run = self.runs.get_mut(&run)?;
        let (id, slice) = run.slices.pop_front()?;
        let mut batch = match run.put_back.remove(&id) {
            Some(batch) => batch,
            None => Box::new(Batch::new(id, slice, run.job.ops.len(), now)),
        };
        batch.ready_since = now;
        if let Some(budgets) = run.budgets.remove(&id) {
            batch.take_budgets(&budgets);
        }
        run.begin_at_checkpoint(&mut batch);
        run.batches.insert(id, batch);
        let run = run.id;
        self.ask_for_slices(run);
        Some(id)
    }

    /// Counts a batch as begun: from now on it is in flight.
    pub(crate) fn count_begun(&mut self, run: RunId, batch: BatchId) {
        self.note_started(run);
        let Some(run) = self.runs.get_mut(&run) else { return };
        let bytes = run.batches.get(&batch).map_or(0, |batch| batch.slice.bytes());
        run.begun += 1;
        run.gauges.in_flight.add(1);
        run.gauges.bytes.add(bytes);
    }

    /// Records that a run has begun its first batch. Nothing waits for that: a run that has committed has started too.
    fn note_started(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(&id).filter(|run| !run.has_started) {
            run.has_started = true;
            self.append(Record::RunStarted { run: id });
        }
    }

    /// Leases a batch to a worker, to its end or to where the chain is cut.
    pub(crate) fn grant_batch(
        &mut self,
        run: RunId,
        batch: BatchId,
        session: SessionId,
        start: Start,
        now: Time,
    ) -> LeaseId {
        let id = self.next_lease();
        let (steps, input, queued) = self.lease_batch(run, batch, session, id);
        let past = self.past_of(run, batch);
        self.add_lease(
            Grant {
                lease: id,
                run,
                batch: Some(batch),
                steps,
                input,
                past,
                start,
            },
            session,
            queued,
            now,
        );
        id
    }

    /// Leases an op over the whole run to a worker.
    fn grant_finish(&mut self, run_id: RunId, op: OpId, session: SessionId, now: Time) {
        let id = self.next_lease();
        let Some(finish) = self.runs.get_mut(&run_id).and_then(|run| run.finish_op(op)) else {
            return;
        };
        finish.phase = FinishPhase::Leased(id);
        let (attempt, queued) = (Attempt(finish.attempts + 1), finish.ready_since);
        let steps = Arc::from([Step { op, attempt }]);
        let (input, start) = (Input::Committed, Start::Now);
        self.add_lease(
            Grant {
                lease: id,
                run: run_id,
                batch: None,
                steps,
                input,
                past: None,
                start,
            },
            session,
            queued,
            now,
        );
    }

    pub(crate) fn next_lease(&mut self) -> LeaseId {
        self.last_lease += 1;
        LeaseId {
            generation: self.config.generation,
            sequence: self.last_lease,
        }
    }

    /// Enters a lease in the books and sends it.
    fn add_lease(&mut self, grant: Grant, session: SessionId, queued: Time, now: Time) {
        let first = grant.steps[0].op;
        let is_limited = self
            .runs
            .get(&grant.run)
            .is_some_and(|run| run.job.op(first).has_own_limit());
        self.open_run_at(grant.run, session);
        let lease = Lease {
            id: grant.lease,
            run: grant.run,
            batch: grant.batch,
            steps: Arc::clone(&grant.steps),
            session,
            permit: match grant.start {
                Start::Now => Permit::Held,
                Start::OnFreedPermit => Permit::Waiting,
            },
            standing: Standing::Valid,
            started: 0,
            running: None,
            truncation: Truncation::None,
            granted: now,
            limited_op: None,
            pools: Vec::new(),
            tokens: None,
            queued,
            fetch_started: None,
            failure: None,
        };
        self.enter_lease(lease);
        if is_limited {
            self.count_limited_op(grant.lease, first);
            self.promise_tokens(grant.lease);
        }
        self.send(session, ToWorker::Grant(grant));
    }

    /// Enters a lease in the books, with the permit that it holds.
    pub(crate) fn enter_lease(&mut self, lease: Lease) {
        let (id, run, session, permit) = (lease.id, lease.run, lease.session, lease.permit);
        if let Some(session) = self.sessions.get_mut(&session) {
            session.leases.insert(id);
        }
        self.leases.insert(id, Box::new(lease));
        match permit {
            Permit::Held => self.take_permit(run, session),
            Permit::Waiting => self.reindex_session(session),
        }
    }

    /// Marks a batch as leased, and returns the lease's steps, its input, and since when it could go on.
    fn lease_batch(
        &mut self,
        run: RunId,
        id: BatchId,
        session: SessionId,
        lease: LeaseId,
    ) -> (Arc<[Step]>, Input, Time) {
        let worker = &self.sessions[&session];
        let addresses = |holder: &SessionId| self.sessions[holder].exchange_address.clone();
        let run = self.runs.get_mut(&run).expect("a choice names a run that exists");
        let batch = run.batches.get_mut(&id).expect("a choice names a batch that exists");
        let first = batch.next_op();
        run.ready.remove(first, id);
        batch.phase = BatchPhase::Leased(lease);
        let input = match &batch.place {
            Place::Source => Input::Slice(batch.slice.clone()),
            Place::Parked {
                session: holder,
                output,
            } if *holder == session => Input::Local(*output),
            Place::Parked {
                session: holder,
                output,
            } => Input::Remote(RemoteOutput {
                output: *output,
                address: addresses(holder),
                holder: *holder,
                ticket: Vec::new(),
            }),
            Place::Checkpoint(part) => Input::Checkpoint(part.clone()),
        };
        let steps = || {
            chain(&run.job, first, worker).map(|op| Step {
                op,
                attempt: batch.next_attempt(op),
            })
        };
        // Most leases have the steps of the one before, so those are shared.
        if !steps().eq(run.last_steps.iter().copied()) {
            run.last_steps = steps().collect();
        }
        (Arc::clone(&run.last_steps), input, batch.ready_since)
    }

    /// Returns what lies behind a batch that goes on from an output or a checkpoint.
    fn past_of(&self, run: RunId, batch: BatchId) -> Option<Arc<Past>> {
        let run = self.runs.get(&run)?;
        let batch = run.batches.get(&batch)?;
        match batch.place {
            Place::Source => None,
            Place::Parked { .. } | Place::Checkpoint(_) => Some(Arc::new(Past {
                slice: batch.slice.clone(),
                done: batch.done_ops(),
                begun_at: run.inherited.get(&batch.id).map(|begun_at| begun_at.part.clone()),
            })),
        }
    }

    /// Tells a worker of a run before it gets anything of it.
    pub(crate) fn open_run_at(&mut self, run: RunId, session: SessionId) {
        let Some(context) = self.runs.get(&run).map(|run| Arc::clone(&run.context)) else {
            return;
        };
        let Some(worker) = self.sessions.get_mut(&session) else {
            return;
        };
        if worker.open_runs.insert(run) {
            self.send(session, ToWorker::OpenRun(context));
        }
    }
}

/// Returns the ops that a lease beginning with `first` may run back to back: the chain is cut behind a checkpoint, before an
/// op with a limit of its own, before one of lower priority, and before one that the worker cannot do.
pub(crate) fn chain(job: &Job, first: OpId, session: &Session) -> impl Iterator<Item = OpId> {
    std::iter::successors(Some(first), |&op| {
        let next = job.successor(op)?;
        let flows_on = job.priority(next) >= job.priority(op);
        let can_do = session.ops.contains(job.op(next).kind.name());
        (flows_on && can_do && !job.is_checkpoint(op) && !job.op(next).has_own_limit()).then_some(next)
    })
}
