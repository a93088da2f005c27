//! The slots of a worker: chains run op by op, take their time, fail, are truncated and stopped.
//!
//! It keeps to what `worker/src/executor` does: the order of what the agent is told, op by op or a chain as a whole, which
//! chain goes on in a slot, what is kept when an op fails, and what a truncated or stopped chain leaves behind.

use std::time::Duration;

use agent::{Chain, ChainEnd, Input, Kept};
use common::failure::{Failure, FailureKind};
use common::ids::{LeaseId, OpId, OutputId};
use common::message::{self, OpOutcome, OpRan};
use common::time::Time;

use crate::jobs::ROW_BYTES;
use crate::plan::WorkerPoint;
use crate::random::{Draw, mix};
use crate::worker::ProcessId;
use crate::world::{Happening, World};

/// A chain in its slot.
#[derive(Debug)]
pub(crate) struct ChainRun {
    pub(crate) chain: Chain,
    stage: Stage,
    course: Course,
    /// When it goes on.
    pub(crate) due: Time,
    /// Tells the latest plan to go on from those before.
    turn: u64,
    held: Held,
    stubborn: Draw,
    slot: u32,
    telling: Telling,
}

/// Whether what the chain does is told as it comes.
#[derive(Debug)]
enum Telling {
    OpByOp,
    /// Not unless it takes long; this is what its ops did.
    HeldBack(Vec<HeldOp>),
}

#[derive(Debug)]
struct HeldOp {
    op: OpId,
    started: Time,
    ended: Option<(Time, OpOutcome)>,
}

/// How long what a chain does is held back at most.
const BRIEF: Duration = Duration::from_millis(60);
/// In how many of a thousand chains what they do is held back.
const HELD_BACK: u64 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fetching,
    Running { place: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    On,
    Truncated,
    /// The op's time is over: it is to stop, and what comes of it does not count.
    TimedOut,
    Stopped,
}

/// What the next op works on.
#[derive(Clone, Copy, Debug)]
enum Held {
    Nothing,
    Parked(OutputId),
    Here(OutputId),
    /// What can be read again from a checkpoint.
    Checkpointed,
}

impl World {
    pub(crate) fn start_chain(&mut self, id: ProcessId, slot: u32, chain: Chain) {
        self.check_chain(id, slot, &chain);
        let lease = chain.lease;
        let fetch = match &chain.input {
            message::Input::Remote(_) => Duration::from_millis(40),
            message::Input::Slice(_)
            | message::Input::Local(_)
            | message::Input::Checkpoint(_)
            | message::Input::Committed => Duration::from_millis(1),
        };
        let due = self.now + self.random.up_to(fetch);
        let drawn = mix(&[self.plan.seed, 5, lease.generation.0, lease.sequence]);
        let is_brief = Draw::of(mix(&[drawn, 1]), HELD_BACK) == Draw::Yes;
        let job = &chain.run.job;
        let is_limited = job.op(chain.steps[0].op).has_own_limit();
        let is_timed = chain.batch.is_some() && chain.steps.iter().any(|step| job.op(step.op).timeout.is_some());
        let telling = if is_brief && !is_limited && !is_timed {
            Telling::HeldBack(Vec::new())
        } else {
            Telling::OpByOp
        };
        let run = ChainRun {
            slot,
            telling,
            chain,
            stage: Stage::Fetching,
            course: Course::On,
            due,
            turn: 0,
            held: Held::Nothing,
            stubborn: Draw::of(drawn, self.plan.weather.stubborn_ops),
        };
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let is_fetched = matches!(run.chain.input, message::Input::Remote(_));
        process.chains.insert(lease, run);
        if is_fetched {
            let at = self.clock_of(id);
            self.tell_agent_soon(id, Input::FetchStarted { lease, at });
        }
        self.schedule(due, Happening::Chain(id, lease, 0));
    }

    /// Lets a chain end after the op that runs, and tells which one that is.
    pub(crate) fn truncate_chain(&mut self, id: ProcessId, lease: LeaseId) {
        let Some(run) = self
            .processes
            .get_mut(&id)
            .and_then(|process| process.chains.get_mut(&lease))
        else {
            return;
        };
        if run.course == Course::On {
            run.course = Course::Truncated;
        }
        let place = match run.stage {
            Stage::Fetching => 0,
            Stage::Running { place } => place,
        };
        let last = run.chain.steps[place].op;
        self.tell_held(id, lease);
        self.tell_agent_soon(id, Input::ChainTruncated { lease, last });
    }

    /// Tells what was held back of a chain; the rest is told as it comes.
    fn tell_held(&mut self, id: ProcessId, lease: LeaseId) {
        let Some(run) = self
            .processes
            .get_mut(&id)
            .and_then(|process| process.chains.get_mut(&lease))
        else {
            return;
        };
        let Telling::HeldBack(held) = std::mem::replace(&mut run.telling, Telling::OpByOp) else {
            return;
        };
        for HeldOp { op, started, ended } in held {
            let at = started;
            self.tell_agent_soon(id, Input::OpStarted { lease, op, at });
            if let Some((at, outcome)) = ended {
                self.tell_agent_soon(id, Input::OpEnded { lease, op, at, outcome });
            }
        }
    }

    fn tell_op_started(&mut self, id: ProcessId, lease: LeaseId, op: OpId, at: Time) {
        let run = self
            .processes
            .get_mut(&id)
            .and_then(|process| process.chains.get_mut(&lease));
        match run.map(|run| &mut run.telling) {
            Some(Telling::HeldBack(held)) => held.push(HeldOp {
                op,
                started: at,
                ended: None,
            }),
            Some(Telling::OpByOp) | None => self.tell_agent_soon(id, Input::OpStarted { lease, op, at }),
        }
    }

    fn tell_op_ended(&mut self, id: ProcessId, lease: LeaseId, op: OpId, at: Time, outcome: OpOutcome) {
        let run = self
            .processes
            .get_mut(&id)
            .and_then(|process| process.chains.get_mut(&lease));
        match run.map(|run| &mut run.telling) {
            Some(Telling::HeldBack(held)) => {
                let takes_long = held.first().is_some_and(|first| at.since(first.started) > BRIEF);
                if let Some(held) = held.last_mut() {
                    held.ended = Some((at, outcome));
                }
                if takes_long {
                    self.tell_held(id, lease);
                }
            }
            Some(Telling::OpByOp) | None => self.tell_agent_soon(id, Input::OpEnded { lease, op, at, outcome }),
        }
    }

    /// Cancels an op whose time is over, unless it has ended; one that does not look goes on to its end, for nothing.
    pub(crate) fn time_out_op(&mut self, id: ProcessId, lease: LeaseId, op: OpId) {
        let at = self.now + self.random.up_to(Duration::from_millis(20));
        let Some(run) = self
            .processes
            .get_mut(&id)
            .and_then(|process| process.chains.get_mut(&lease))
        else {
            return;
        };
        let Stage::Running { place } = run.stage else { return };
        if run.chain.steps[place].op != op || !matches!(run.course, Course::On | Course::Truncated) {
            return;
        }
        run.course = Course::TimedOut;
        if run.stubborn == Draw::No {
            run.due = run.due.min(at);
            run.turn += 1;
            let (due, turn) = (run.due, run.turn);
            self.schedule(due, Happening::Chain(id, lease, turn));
        }
    }

    /// Cancels what runs; an op that does not look goes on to its end.
    pub(crate) fn stop_chain(&mut self, id: ProcessId, lease: LeaseId) {
        let at = self.now + self.random.up_to(Duration::from_millis(20));
        let Some(run) = self
            .processes
            .get_mut(&id)
            .and_then(|process| process.chains.get_mut(&lease))
        else {
            return;
        };
        run.course = Course::Stopped;
        if run.stage == Stage::Fetching || run.stubborn == Draw::No {
            run.due = run.due.min(at);
            run.turn += 1;
            let (due, turn) = (run.due, run.turn);
            self.schedule(due, Happening::Chain(id, lease, turn));
        }
    }

    pub(crate) fn go_on_with_chain(&mut self, id: ProcessId, lease: LeaseId, turn: u64) {
        let run = self.processes.get(&id).and_then(|process| process.chains.get(&lease));
        let Some(run) = run.filter(|run| run.turn == turn) else {
            return;
        };
        match run.stage {
            Stage::Fetching if run.course == Course::Stopped => self.end_chain(id, lease, ChainEnd::Stopped),
            Stage::Fetching => self.resolve(id, lease),
            Stage::Running { place } => self.end_op(id, lease, place),
        }
    }

    /// Gets what the first op works on, and starts it.
    fn resolve(&mut self, id: ProcessId, lease: LeaseId) {
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        let chain = &process.chains[&lease].chain;
        let run = chain.run.run;
        let drawn = mix(&[self.plan.seed, 6, lease.generation.0, lease.sequence]);
        let lost = Draw::of(drawn, self.plan.weather.lost_outputs) == Draw::Yes;
        let held = match &chain.input {
            message::Input::Slice(_) | message::Input::Committed => Some(Held::Nothing),
            message::Input::Local(output) if process.parked.contains_key(&(run, *output)) && !lost => {
                Some(Held::Parked(*output))
            }
            message::Input::Remote(remote) if !lost => {
                let named = |other: &ProcessId| format!("http://process-{}", other.0) == remote.address;
                let holder = self.processes.iter().find(|(other, _)| named(other));
                let serves = holder.is_some_and(|(_, holder)| {
                    holder.wakes_at <= self.now && holder.parked.contains_key(&(run, remote.output))
                });
                serves.then_some(Held::Here(remote.output))
            }
            message::Input::Checkpoint(part) if self.oracle.checkpoints.is_there(part) && !lost => {
                Some(Held::Checkpointed)
            }
            message::Input::Local(_) | message::Input::Remote(_) | message::Input::Checkpoint(_) => None,
        };
        let Some(held) = held else {
            let failure = Failure::retryable("the output is gone");
            return self.end_chain(id, lease, ChainEnd::InputLost { failure });
        };
        if let Some(run) = self
            .processes
            .get_mut(&id)
            .and_then(|process| process.chains.get_mut(&lease))
        {
            run.held = held;
        }
        self.start_op(id, lease, 0);
    }

    fn start_op(&mut self, id: ProcessId, lease: LeaseId, place: usize) {
        self.worker_reaches(id, WorkerPoint::OpStarts);
        let at = self.clock_of(id);
        let now = self.now;
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let is_slow = process.slow_until > now;
        let Some(run) = process.chains.get_mut(&lease) else {
            return;
        };
        run.stage = Stage::Running { place };
        let (op, run_id, batch) = (run.chain.steps[place].op, run.chain.run.run, run.chain.batch);
        let job = self.oracle.job_of_run[&run_id];
        let takes = match (batch, op.index().checked_sub(1)) {
            (None, _) => Duration::from_millis(30),
            (Some(_), None) => Duration::from_millis(5),
            (Some(_), Some(place)) => self.plan.jobs[job].ops[place].takes,
        };
        let takes = if is_slow {
            (takes * 100).min(Duration::from_secs(30))
        } else {
            takes
        };
        if run.course == Course::Stopped {
            run.due = now;
        } else {
            run.due = now + takes;
        }
        run.turn += 1;
        let (due, turn) = (run.due, run.turn);
        self.oracle.running.insert((id, lease), (run_id, op));
        self.tell_op_started(id, lease, op, at);
        self.schedule(due, Happening::Chain(id, lease, turn));
        self.trace
            .note(now, &[20, u64::from(id.0), lease.sequence, u64::from(op.0)], || {
                let batch = batch.map_or("whole".to_owned(), |batch| batch.to_string());
                format!("process {} runs {run_id}/op {}[{batch}] under {lease}", id.0, op.0)
            });
        self.check_begin(id, lease, run_id, batch, op);
        self.check_caps();
    }

    fn end_op(&mut self, id: ProcessId, lease: LeaseId, place: usize) {
        self.worker_reaches(id, WorkerPoint::OpEnds);
        let at = self.clock_of(id);
        let Some(run) = self.processes.get(&id).and_then(|process| process.chains.get(&lease)) else {
            return;
        };
        let (course, stubborn, run_id) = (run.course, run.stubborn, run.chain.run.run);
        let step = run.chain.steps[place];
        let is_cancelled = course == Course::Stopped && stubborn == Draw::No;
        let outcome = if is_cancelled {
            Err(Failure::cancelled())
        } else if course == Course::TimedOut {
            self.oracle.injected += 1;
            Err(Failure::new(FailureKind::TimedOut, "the op took too long"))
        } else {
            self.outcome(id, lease, place)
        };
        self.oracle.running.remove(&(id, lease));
        let op = step.op;
        match outcome {
            Err(failure) => {
                let outcome = OpOutcome::Failed(failure);
                self.tell_op_ended(id, lease, op, at, outcome);
                let end = if course == Course::Stopped {
                    ChainEnd::Stopped
                } else {
                    let kept = self.keep(id, lease);
                    ChainEnd::OpFailed { op, kept }
                };
                self.end_chain(id, lease, end);
            }
            Ok(done) => {
                self.oracle.counts.note_success(run_id);
                let has_staged = !done.parts.is_empty();
                let outcome = OpOutcome::Done(done);
                self.tell_op_ended(id, lease, op, at, outcome);
                if has_staged {
                    self.worker_reaches(id, WorkerPoint::Staged);
                }
                self.go_on_behind(id, lease, place);
            }
        }
    }

    fn go_on_behind(&mut self, id: ProcessId, lease: LeaseId, place: usize) {
        let Some(run) = self
            .processes
            .get_mut(&id)
            .and_then(|process| process.chains.get_mut(&lease))
        else {
            return;
        };
        let step = run.chain.steps[place];
        if let Some(batch) = run.chain.batch {
            let (op, attempt) = (step.op, step.attempt);
            run.held = Held::Here(OutputId { batch, op, attempt });
        }
        let is_last = place + 1 == run.chain.steps.len();
        match run.course {
            Course::On if !is_last => return self.start_op(id, lease, place + 1),
            Course::Stopped if !is_last => return self.end_chain(id, lease, ChainEnd::Stopped),
            Course::On | Course::Truncated | Course::TimedOut | Course::Stopped => {}
        }
        if run.chain.batch.is_some() && run.chain.run.job.is_checkpoint(step.op) {
            return self.end_chain(id, lease, ChainEnd::Checkpointed);
        }
        let is_done = run.chain.batch.is_none() || step.op == run.chain.run.job.last_op();
        let kept = if is_done { None } else { self.keep(id, lease) };
        self.end_chain(id, lease, ChainEnd::Finished { kept });
    }

    /// Parks what is held, unless it is a piece of the source.
    fn keep(&mut self, id: ProcessId, lease: LeaseId) -> Option<Kept> {
        let process = self.processes.get_mut(&id)?;
        let run = process.chains.get(&lease)?;
        let of = run.chain.run.run;
        match run.held {
            Held::Nothing | Held::Checkpointed => None,
            Held::Parked(output) => {
                let bytes = *process.parked.get(&(of, output))?;
                Some(Kept { output, bytes })
            }
            Held::Here(output) => {
                let bytes = ROW_BYTES;
                process.parked.insert((of, output), bytes);
                Some(Kept { output, bytes })
            }
        }
    }

    /// Ends a chain; its slot takes the next of its run that waits if it ended prepared.
    fn end_chain(&mut self, id: ProcessId, lease: LeaseId, end: ChainEnd) {
        let is_prepared = end == ChainEnd::Finished { kept: None };
        if !is_prepared {
            self.tell_held(id, lease);
        }
        let now = self.clock_of(id);
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let Some(ended) = process.chains.remove(&lease) else {
            return;
        };
        if ended.course == Course::Stopped {
            self.oracle.checkpoints.abandon(&ended.chain);
        }
        let goes_on = is_prepared && ended.chain.batch.is_some() && ended.course != Course::Stopped;
        let place = if goes_on && now < process.agent.works_until() {
            let of_run = |chain: &Chain| chain.run.run == ended.chain.run.run;
            process.queue.iter().position(of_run)
        } else {
            None
        };
        let taken = place.and_then(|place| process.queue.remove(place));
        let next = taken.as_ref().map(|chain| chain.lease);
        match ended.telling.into_ran() {
            Some(ops) => self.tell_agent_soon(id, Input::ChainRan { lease, ops, next }),
            None => self.tell_agent_soon(id, Input::ChainEnded { lease, end, next }),
        }
        if let Some(chain) = taken {
            self.start_chain(id, ended.slot, chain);
        }
    }
}

impl Telling {
    /// Returns what the ops did, if all of it was held back.
    fn into_ran(self) -> Option<Vec<OpRan>> {
        let Telling::HeldBack(held) = self else { return None };
        let ran = |held: HeldOp| match held.ended {
            Some((ended, OpOutcome::Done(done))) => Some(OpRan {
                started: held.started,
                ended,
                done,
            }),
            Some((_, OpOutcome::Failed(_))) | None => None,
        };
        held.into_iter().map(ran).collect()
    }
}

impl ChainRun {
    /// Returns the slot that the chain is in.
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }
}
