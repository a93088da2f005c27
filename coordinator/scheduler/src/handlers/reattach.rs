//! Re-attaching: a worker that outlived the coordinator says what it holds, and goes on with what fits the ledger.
//!
//! A lease is taken over under its own id: the worker's slots, its staged files and the tickets of its fetches are
//! named after it, and whether a lease counts is a matter of these books and never of comparing numbers. It fits when
//! its run goes on, its batch is neither committed nor failed, no other lease that counts works on the batch, and the
//! bounds on what is in flight have room; halves of batches are batches too. One of an op over the whole run fits when it
//! was granted for the ending that is durable, so that the same is to be put in place, and the op has not failed since. What
//! does not fit is fenced while it runs, so that its permit stays counted, and revoked. Leases that are prepared, and whose commit did not become durable, are committed now; they need no room,
//! because their data is out of memory.
//!
//! The slice of a batch is the worker's word at first; sharding the source again finds the same one, and a run whose
//! source is cut differently than before fails.
//!
//! Known weakness: a batch whose worker comes after the patience is over, and finds it begun anew elsewhere, is not taken
//! over.

use std::num::NonZeroU32;
use std::sync::Arc;

use common::done::DoneOp;
use common::holdings::{HeldBatch, HeldCourse, HeldLease, HeldOutput, HeldState, Holdings};
use common::ids::{BatchId, Halves, RunId, SessionId};
use common::job::{Job, Op};
use common::message::{Step, ToWorker};
use common::part::Part;
use common::slice::Slice;
use common::time::Time;

use crate::interface::command::Command;
use crate::journal::checkpoint::Checkpoint;
use crate::rules::admission::has_room;
use crate::rules::rates::owe_for;
use crate::scheduler::Scheduler;
use crate::state::batch::{Aside, Batch, BatchPhase, Place};
use crate::state::claims::{beginning, bytes_held, is_possible, is_unbroken, lease_of, next};
use crate::state::lease::{Lease, RunningStep, Standing, Truncation};
use crate::state::run::finish::FinishPhase;
use crate::state::run::{Run, RunPhase};

/// A claim that does not fit what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused;

/// Whether a batch that is held takes room in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Room,
    /// It is prepared: its data is out of memory.
    Nothing,
}

impl Scheduler {
    /// Takes over what a process holds, and refuses the rest. Nothing else of that process is in the books.
    pub(crate) fn take_holdings(&mut self, session: SessionId, holdings: Holdings, now: Time) {
        for run in &holdings.runs {
            self.meet_run(session, *run);
        }
        let (prepared, running): (Vec<HeldLease>, Vec<HeldLease>) = holdings
            .leases
            .into_iter()
            .partition(|held| held.state == HeldState::Prepared);
        for held in prepared {
            // What is refused leaves nothing that could be told to stop.
            let _ = self.take_prepared(session, &held, now);
            self.advance(held.run, now);
        }
        for held in running {
            if self.take_running(session, &held, now) == Err(Refused) {
                self.fence_unfit(session, &held, now);
            }
        }
        for held in &holdings.outputs {
            if self.take_output(session, held, now) == Err(Refused) {
                let (run, output) = (held.run, held.output);
                self.send(session, ToWorker::Discard { run, output });
            }
        }
        for run in holdings.runs {
            if self.runs.get(&run).is_some_and(Run::begins_nothing) {
                self.cut_off(run);
            }
        }
    }

    /// Notes that a run is open on a worker, or lets the worker close it.
    fn meet_run(&mut self, session: SessionId, run: RunId) {
        let goes_on = self.runs.contains_key(&run);
        let Some(worker) = self.sessions.get_mut(&session) else {
            return;
        };
        if goes_on {
            worker.open_runs.insert(run);
        } else {
            self.send(session, ToWorker::CloseRun { run });
        }
    }

    /// Takes over a lease whose chain runs.
    fn take_running(&mut self, session: SessionId, held: &HeldLease, now: Time) -> Result<(), Refused> {
        let HeldState::Running { course, .. } = held.state else {
            return Err(Refused);
        };
        if course == HeldCourse::Stopping || self.leases.contains_key(&held.lease) {
            return Err(Refused);
        }
        if held.batch.is_none() {
            self.take_finish_op(session, held)?;
            self.enter_running(session, held, now);
            return Ok(());
        }
        let id = self.take_batch_of(held, Takes::Room, now)?;
        let place = self
            .runs
            .get(&held.run)
            .and_then(|run| run.batches.get(&id))
            .map(|batch| &batch.place);
        let keeps_place = matches!(place, Some(Place::Parked { output, .. }) if next(*output) == held.steps[0].op);
        self.lease_held(session, held, id);
        if !keeps_place {
            self.place_at_its_begin(held.run, id);
        }
        self.enter_running(session, held, now);
        Ok(())
    }

    /// Enters a lease that counts and whose chain runs in the books, with all that it takes.
    fn enter_running(&mut self, session: SessionId, held: &HeldLease, now: Time) {
        let HeldState::Running {
            slot,
            since,
            fetch_started,
            course,
        } = held.state
        else {
            return;
        };
        let has_unit = held.started == 0 || held.started == 1 && since.is_some();
        let running = since.and_then(|started| {
            let step = *held.steps.get(held.started.checked_sub(1)? as usize)?;
            Some(RunningStep {
                step,
                slot,
                fetch_started: fetch_started.filter(|_| held.started == 1),
                started,
            })
        });
        self.enter_lease(Lease {
            running,
            fetch_started: fetch_started.filter(|_| held.started == 0),
            truncation: match course {
                HeldCourse::Truncating => Truncation::Asked,
                HeldCourse::On | HeldCourse::Stopping => Truncation::None,
            },
            ..lease_of(session, held, Standing::Valid, now)
        });
        let first = held.steps[0].op;
        let is_limited = |run: &Run| run.job.op(first).has_own_limit();
        if has_unit && self.runs.get(&held.run).is_some_and(is_limited) {
            self.count_limited_op(held.lease, first);
            if held.started == 0 {
                self.promise_tokens(held.lease);
            }
        }
        self.note_what_is_exceeded(held.run);
        self.cut_if_nothing_begins(held.run, held.lease);
        self.count_running(held.run, running);
    }

    /// Lets an op over the whole run be the one of a held lease, if that was granted when the batches were all done that are done
    /// now; the numbers of attempts tell it from one that has failed since.
    fn take_finish_op(&mut self, session: SessionId, held: &HeldLease) -> Result<(), Refused> {
        let [step] = held.steps[..] else {
            return Err(Refused);
        };
        let runs_now = matches!(held.state, HeldState::Running { since: Some(_), .. });
        let ended = held.started.checked_sub(u32::from(runs_now)).ok_or(Refused)?;
        let is_over = held.state == HeldState::Prepared;
        let is_possible = held.started <= 1 && held.done.len() == ended as usize && (ended == 1 || !is_over);
        let run = self.runs.get_mut(&held.run).ok_or(Refused)?;
        let is_of_this_ending = held.lease > run.finish_after;
        let finish = run.finish_op(step.op).ok_or(Refused)?;
        if !is_possible
            || !is_of_this_ending
            || held.done.iter().any(|done| done.op != step.op)
            || !finish.may_be_held(step.attempt)
        {
            return Err(Refused);
        }
        finish.phase = FinishPhase::Leased(held.lease);
        if held.started > 0 {
            finish.attempts = finish.attempts.max(step.attempt.0);
        }
        for done in &held.done {
            finish.parts.clone_from(&done.did.parts);
        }
        run.task_counts.succeeded += held.done.len() as u64;
        self.command(Command::LeaseAdopted {
            lease: held.lease,
            session,
            run: held.run,
            batch: None,
        });
        Ok(())
    }

    /// Keeps count of a lease that does not fit for as long as its chain runs, and lets the worker stop it.
    fn fence_unfit(&mut self, session: SessionId, held: &HeldLease, now: Time) {
        if self.leases.contains_key(&held.lease) || held.steps.is_empty() {
            return;
        }
        let mut lease = lease_of(session, held, Standing::Fenced, now);
        if let HeldState::Running {
            slot,
            since: Some(started),
            fetch_started,
            ..
        } = held.state
            && let Some(step) = held
                .started
                .checked_sub(1)
                .and_then(|last| held.steps.get(last as usize))
        {
            lease.running = Some(RunningStep {
                step: *step,
                slot,
                fetch_started: fetch_started.filter(|_| held.started == 1),
                started,
            });
        }
        let running = lease.running;
        self.keep_attempts(held, now);
        self.fenced += 1;
        let at_first = held.started == 0 || held.started == 1 && running.is_some();
        self.enter_lease(lease);
        let first = held.steps[0].op;
        let is_limited = |job: Arc<Job>| job.ops.get(first.index()).is_some_and(Op::has_own_limit);
        if at_first && self.known_job(held.run).is_some_and(is_limited) {
            // Until it has stopped its op runs, and counts.
            self.count_limited_op(held.lease, first);
        }
        self.note_what_is_exceeded(held.run);
        self.count_running(held.run, running);
        self.send(session, ToWorker::Revoke { lease: held.lease });
    }

    fn count_running(&mut self, run: RunId, running: Option<RunningStep>) {
        if let (Some(_), Some(run)) = (running, self.runs.get_mut(&run)) {
            run.gauges.running.add(1);
        }
    }

    /// Commits what a lease has prepared, as if that were reported now.
    fn take_prepared(&mut self, session: SessionId, held: &HeldLease, now: Time) -> Result<(), Refused> {
        if held.batch.is_none() {
            self.take_finish_op(session, held)?;
            self.on_finish_op_prepared(held.run, held.steps[0].op, held.lease, session, now);
            return Ok(());
        }
        let run = self.runs.get(&held.run).ok_or(Refused)?;
        if held.done.len() != run.job.ops.len() {
            return Err(Refused);
        }
        let peaks = (run.gauges.in_flight.peak, run.gauges.bytes.peak);
        let id = self.take_batch_of(held, Takes::Nothing, now)?;
        self.lease_held(session, held, id);
        // It is in flight in the books only, and for no time.
        if let Some(run) = self.runs.get_mut(&held.run) {
            (run.gauges.in_flight.peak, run.gauges.bytes.peak) = peaks;
        }
        self.on_batch_prepared(held.run, id, held.lease, session, now);
        Ok(())
    }

    /// Takes over an output that a worker keeps, if its batch can go on from it.
    fn take_output(&mut self, session: SessionId, held: &HeldOutput, now: Time) -> Result<(), Refused> {
        let output = held.output;
        let run = self.runs.get(&held.run).ok_or(Refused)?;
        let is_possible = run.job.successor(output.op).is_some()
            && is_unbroken(&held.past.done, &run.job, output.op)
            && held
                .past
                .begun_at
                .as_ref()
                .is_none_or(|begun_at| begun_at.op <= output.op);
        if !is_possible || run.is_behind_checkpoint(output.batch, output.op) {
            return Err(Refused);
        }
        let place = Place::Parked { session, output };
        match run
            .batches
            .get(&output.batch)
            .map(|batch| (batch.phase, batch.place.clone()))
        {
            None => {
                let batch = HeldBatch {
                    id: output.batch,
                    slice: held.past.slice.clone(),
                };
                let beginning = beginning(run, held.past.begun_at.as_ref(), &held.past.done);
                self.admit_held(held.run, &batch, beginning, Takes::Room, now)?;
                self.count_done(held.run, output.batch, &held.past.done);
                if let Some(run) = self.runs.get_mut(&held.run) {
                    run.make_ready(output.batch, now);
                }
            }
            Some((BatchPhase::Ready, Place::Source | Place::Checkpoint(_))) => {}
            Some((BatchPhase::Leased(lease), Place::Source | Place::Checkpoint(_))) => {
                let works_on_it = self
                    .leases
                    .get(&lease)
                    .is_some_and(|lease| lease.steps[0].op == next(output));
                if !works_on_it {
                    return Err(Refused);
                }
                self.place_batch(held.run, output.batch, place);
                return Ok(());
            }
            Some((phase, known)) if known == place && phase.is_in_flight() => return Ok(()),
            Some(_) => return Err(Refused),
        }
        self.place_batch(held.run, output.batch, place);
        let run = self.runs.get_mut(&held.run).ok_or(Refused)?;
        if let Some(batch) = run.batches.get_mut(&output.batch) {
            batch.take_done_ops(&held.past.done);
            batch.note_attempt(Step {
                op: output.op,
                attempt: output.attempt,
            });
        }
        run.recharge(output.batch, held.bytes);
        Ok(())
    }

    /// Lets a batch be the one of a held lease, and takes over what the lease's ops did.
    fn lease_held(&mut self, session: SessionId, held: &HeldLease, id: BatchId) {
        self.command(Command::LeaseAdopted {
            lease: held.lease,
            session,
            run: held.run,
            batch: Some(id),
        });
        let Some(run) = self.runs.get_mut(&held.run) else {
            return;
        };
        run.leave_ready(id);
        if let Some(batch) = run.batches.get_mut(&id) {
            batch.phase = BatchPhase::Leased(held.lease);
            batch.take_done_ops(&held.done);
            batch.take_attempts(&held.steps[..held.started as usize]);
        }
        run.recharge(id, bytes_held(&held.done));
    }

    /// Finds or begins the batch of a held lease, if the lease may work on it.
    fn take_batch_of(&mut self, held: &HeldLease, takes: Takes, now: Time) -> Result<BatchId, Refused> {
        let batch = held.batch.as_ref().ok_or(Refused)?;
        let run = self.runs.get(&held.run).ok_or(Refused)?;
        // Ops up to a batch's checkpoint are not run again, and what is done behind it began there.
        let is_redone = |step: &Step| run.is_behind_checkpoint(batch.id, step.op);
        let begins_before = |begun_at: &Part| held.steps.first().is_none_or(|first| first.op <= begun_at.op);
        let is_contradictory = held.begun_at.as_ref().is_some_and(begins_before);
        if is_contradictory || !is_possible(held, &run.job) || held.steps.first().is_some_and(is_redone) {
            return Err(Refused);
        }
        match run.batches.get(&batch.id) {
            None => {
                let beginning = beginning(run, held.begun_at.as_ref(), &held.done);
                self.admit_held(held.run, batch, beginning, takes, now)?;
                self.count_done(held.run, batch.id, &held.done);
            }
            Some(known) => {
                let is_free = known.phase == BatchPhase::Ready;
                if !is_free || known.slice != batch.slice {
                    return Err(Refused);
                }
            }
        }
        Ok(batch.id)
    }

    /// Begins a batch that a worker holds, if it can still be and the bounds have room for what it takes.
    fn admit_held(
        &mut self,
        id: RunId,
        held: &HeldBatch,
        beginning: Option<Checkpoint>,
        takes: Takes,
        now: Time,
    ) -> Result<(), Refused> {
        let run = self.runs.get(&id).ok_or(Refused)?;
        let goes_on = match run.phase {
            RunPhase::Active | RunPhase::Draining(_) => true,
            RunPhase::Accepting | RunPhase::Stopping(_) | RunPhase::Finishing(_) | RunPhase::Ending => false,
        };
        let is_open = if held.id.halves == Halves::WHOLE {
            !run.is_past(held.id)
        } else {
            run.is_open_half(held.id, &held.slice)
        };
        let has_room = match takes {
            Takes::Room => self.has_room_for_held(run, &held.slice),
            Takes::Nothing => true,
        };
        if !goes_on || !is_open || !has_room {
            return Err(Refused);
        }
        let Some(run) = self.runs.get_mut(&id) else {
            return Err(Refused);
        };
        owe_for(run, [&held.slice]);
        run.slices.retain(|(other, _)| *other != held.id);
        let mut batch = match run.put_back.remove(&held.id) {
            Some(batch) => batch,
            None => Box::new(Batch::new(held.id, held.slice.clone(), run.job.ops.len(), now)),
        };
        if let Some(budgets) = run.budgets.remove(&held.id) {
            batch.take_budgets(&budgets);
        }
        if run.last_checkpoint(held.id).is_none() {
            run.inherited.extend(beginning.map(|beginning| (held.id, beginning)));
        }
        run.begin_at_checkpoint(&mut batch);
        batch.phase = BatchPhase::Backoff {
            until: now,
            aside: Aside::No,
        };
        run.batches.insert(held.id, batch);
        self.count_begun(id, held.id);
        self.ask_for_slices(id);
        Ok(())
    }

    /// Counts the ops that were done on a batch before the restart, and that no record tells of.
    fn count_done(&mut self, id: RunId, batch: BatchId, done: &[DoneOp]) {
        if let (Some(run), Some(last)) = (self.runs.get_mut(&id), done.last()) {
            run.task_counts.succeeded += u64::from(run.ran_up_to(batch, last.op));
        }
    }

    /// Tells whether a batch that was in flight before the restart still has its place: the cap in force is what it will be when all
    /// workers are back.
    fn has_room_for_held(&self, run: &Run, slice: &Slice) -> bool {
        let caps = [run.job.schedule.max_concurrent, self.config.global_cap];
        let slots = self.sessions.values().map(|session| session.slots).map(NonZeroU32::get);
        let slots = slots.map(u64::from).sum::<u64>() + u64::from(self.former.units());
        let cap = caps
            .into_iter()
            .flatten()
            .map(|cap| u64::from(cap.get()))
            .fold(slots, u64::min);
        let bytes = run.gauges.bytes.now + slice.bytes();
        let bound = run.job.schedule.in_flight_bytes_bound();
        let fits = run.gauges.in_flight.now == 0 || bound.is_none_or(|bound| bytes <= bound);
        has_room(run, cap) && fits
    }

    /// Remembers the attempts of a lease that a worker holds and that counts for nothing.
    fn keep_attempts(&mut self, held: &HeldLease, now: Time) {
        let is_possible = |ops: usize| held.steps.iter().all(|step| step.op.index() < ops);
        if let Some(run) = self.runs.get_mut(&held.run) {
            if !is_possible(run.job.ops.len()) {
                return;
            }
            match &held.batch {
                Some(batch) => run.keep_attempts(batch.id, &batch.slice, &held.steps, now),
                None => run.keep_finish_attempts(&held.steps),
            }
        } else if let Some(ended) = self.ended.get_mut(&held.run)
            && is_possible(ended.job.ops.len())
        {
            ended.keep_attempts(held.batch.as_ref().map(|batch| batch.id), &held.steps);
        }
    }
}
