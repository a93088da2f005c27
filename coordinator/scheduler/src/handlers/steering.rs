//! Steering: what people and policies tell a run while it goes on.
//!
//! A command is checked when it comes and appended to the journal. One that only holds things back is obeyed at once,
//! any other when its record is durable; one that would change nothing leaves no record. Whoever gave it is answered
//! when it is durable and in effect, and for one that forbids something ([`Unanswered`]) when nothing forbidden can begin
//! any more: what waited at workers is taken back, and the workers have said where chains end.
//!
//! Known weakness: a worker that is frozen delays such an answer until its leases are certainly over.

use common::ids::{LeaseId, RunId};
use common::steering::{Activity, AskRefused, Asker, CancelMode, RunCommand};
use common::time::Time;

use crate::durability::AfterDurable;
use crate::event::{Ask, Asked, Ticket};
use crate::lease::{Permit, Truncation};
use crate::ledger::Hold;
use crate::run::{Ending, Run, RunPhase};
use crate::scheduler::Scheduler;
use crate::{Command, Record};

/// An answer that waits until nothing begins any more that the command forbids.
#[derive(Debug)]
pub(crate) struct Unanswered {
    ticket: Ticket,
    run: RunId,
}

/// What a command comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It changes something.
    Changes,
    /// Everything is as it asks already.
    Nothing,
}

impl Scheduler {
    pub(crate) fn on_asked(&mut self, asked: Asked, now: Time) {
        let Asked {
            ticket,
            by,
            ask: Ask::Run { run, command },
        } = asked;
        let command = self.what_it_means(run, command);
        let asked = Asked {
            ticket,
            by,
            ask: Ask::Run {
                run,
                command: command.clone(),
            },
        };
        match self.effect_of(run, &command) {
            Err(refused) => self.answer(ticket, Err(refused)),
            Ok(Effect::Nothing) => self.answer_when_settled(&asked),
            Ok(Effect::Changes) => {
                let activity = Activity {
                    at: now,
                    by,
                    command: command.clone(),
                };
                let record = Record::RunCommanded { run, activity };
                self.append_then(record, AfterDurable::Asked(Box::new(asked)));
                if only_holds_back(&command) {
                    self.obey(run, &command, now);
                }
            }
        }
    }

    pub(crate) fn on_ask_durable(&mut self, asked: Asked, now: Time) {
        let Ask::Run { run, command } = &asked.ask;
        if !only_holds_back(command) {
            self.obey(*run, command, now);
        }
        self.answer_when_settled(&asked);
    }

    /// Pauses a run because its own policy says so, at once: what is not begun can be begun later.
    pub(crate) fn pause_by_policy(&mut self, id: RunId, reason: String, now: Time) {
        let command = RunCommand::Pause { reason: Some(reason) };
        if self.effect_of(id, &command) != Ok(Effect::Changes) {
            return;
        }
        let by = Asker::Policy;
        self.append(Record::RunCommanded {
            run: id,
            activity: Activity {
                at: now,
                by,
                command: command.clone(),
            },
        });
        self.obey(id, &command, now);
    }

    /// Answers commands after which nothing forbidden can begin any more.
    pub(crate) fn answer_what_is_settled(&mut self) {
        if self.unanswered.is_empty() {
            return;
        }
        let unanswered = std::mem::take(&mut self.unanswered);
        for waiting in unanswered {
            if self.is_settled(waiting.run) {
                self.answer(waiting.ticket, Ok(()));
            } else {
                self.unanswered.push(waiting);
            }
        }
    }

    /// Lets a run's leases end after the ops that run, and takes back what is not begun.
    pub(crate) fn cut_off(&mut self, id: RunId) {
        let Some(run) = self.runs.get(&id) else { return };
        let queued: Vec<LeaseId> = run.queued.difference(&run.recalled).copied().collect();
        self.recall(id, &queued);
        let has_more = self
            .leases
            .values()
            .filter(|lease| lease.run == id && lease.truncation == Truncation::None && lease.has_more_steps());
        let of_batches = has_more.filter(|lease| lease.batch.is_some() && lease.permit == Permit::Held);
        let to_cut: Vec<LeaseId> = of_batches.map(|lease| lease.id).collect();
        for lease in to_cut {
            self.truncate(lease);
        }
    }

    /// A paused run that has nothing left but to put its output in place ends when it is cancelled, as one that is not
    /// paused does.
    fn what_it_means(&self, id: RunId, command: RunCommand) -> RunCommand {
        let is_finishing = self.runs.get(&id).map(|run| run.phase);
        match (command, is_finishing) {
            (RunCommand::Cancel(_), Some(RunPhase::Finishing(_))) => RunCommand::Resume,
            (command, _) => command,
        }
    }

    /// Tells what a command would change, or why it cannot be obeyed.
    fn effect_of(&self, id: RunId, command: &RunCommand) -> Result<Effect, AskRefused> {
        let what = command.name();
        let Some(run) = self.runs.get(&id).filter(|run| run.phase != RunPhase::Ending) else {
            return match command {
                RunCommand::Cancel(_) => Ok(Effect::Nothing),
                RunCommand::Pause { .. }
                | RunCommand::Resume
                | RunCommand::ChangeLimits(_)
                | RunCommand::RetryFailed { .. } => Err(AskRefused::Ended { run: id, what }),
            };
        };
        let is_stopping = matches!(run.phase, RunPhase::Stopping(_));
        let changes = match command {
            RunCommand::Pause { .. } | RunCommand::ChangeLimits(_) if is_stopping => {
                return Err(AskRefused::Stopping { run: id, what });
            }
            RunCommand::Pause { .. } => run.hold == Hold::GoesOn,
            RunCommand::Resume => run.hold == Hold::Paused,
            RunCommand::Cancel(mode) => is_changed_by_cancel(run, *mode),
            RunCommand::ChangeLimits(change) => change.apply(&run.job) != *run.job,
            // Comes as an event of its own, because it is for ended runs too.
            RunCommand::RetryFailed { .. } => false,
        };
        Ok(if changes { Effect::Changes } else { Effect::Nothing })
    }

    fn obey(&mut self, id: RunId, command: &RunCommand, now: Time) {
        match command {
            RunCommand::Pause { .. } => self.pause(id),
            RunCommand::Resume => {
                self.resume(id);
                self.advance(id, now);
            }
            RunCommand::Cancel(mode) => self.cancel(id, *mode, now),
            RunCommand::ChangeLimits(_) | RunCommand::RetryFailed { .. } => {}
        }
    }

    /// Lets a run begin nothing more until it is resumed.
    fn pause(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        match run.phase {
            RunPhase::Accepting | RunPhase::Active | RunPhase::Draining(_) | RunPhase::Finishing(_) => {}
            RunPhase::Stopping(_) | RunPhase::Ending => return,
        }
        run.hold = Hold::Paused;
        self.remove_turn(id);
        self.cut_off(id);
    }

    fn resume(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if std::mem::take(&mut run.hold) == Hold::GoesOn {
            return;
        }
        match run.phase {
            RunPhase::Active | RunPhase::Draining(_) | RunPhase::Finishing(_) | RunPhase::Stopping(_) => {
                self.add_turn(id);
            }
            RunPhase::Accepting | RunPhase::Ending => {}
        }
    }

    fn cancel(&mut self, id: RunId, mode: CancelMode, now: Time) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if !is_changed_by_cancel(run, mode) {
            return;
        }
        run.cancelled = run.cancelled.max(Some(mode));
        self.resume(id);
        let Some(run) = self.runs.get(&id) else { return };
        match run.phase {
            RunPhase::Accepting | RunPhase::Active | RunPhase::Draining(_) | RunPhase::Stopping(_) => match mode {
                CancelMode::Now => self.stop_run(id, Ending::Cancelled, now),
                CancelMode::AfterRunning => self.stop_run_after_running(id, Ending::Cancelled, now),
            },
            RunPhase::Finishing(_) | RunPhase::Ending => {}
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<(), AskRefused>) {
        self.command(Command::Answer { ticket, answer });
    }

    /// Answers a command that is in effect: one that forbids something only when nothing forbidden can begin any more.
    fn answer_when_settled(&mut self, asked: &Asked) {
        let Ask::Run { run, command } = &asked.ask;
        match command {
            RunCommand::Pause { .. } | RunCommand::ChangeLimits(_) => self.unanswered.push(Unanswered {
                ticket: asked.ticket,
                run: *run,
            }),
            RunCommand::Resume | RunCommand::Cancel(_) | RunCommand::RetryFailed { .. } => {
                self.answer(asked.ticket, Ok(()));
            }
        }
    }

    /// Tells whether every worker has answered to what a run's leases were told.
    fn is_settled(&self, id: RunId) -> bool {
        let Some(run) = self.runs.get(&id) else { return true };
        let is_asked = || {
            let of_run = self.leases.values().filter(|lease| lease.run == id);
            of_run
                .filter(|lease| lease.has_more_steps())
                .any(|lease| lease.truncation == Truncation::Asked)
        };
        run.recalled.is_empty() && !is_asked()
    }
}

/// Tells whether a command only holds things back, so that obeying it before it is durable does no harm.
fn only_holds_back(command: &RunCommand) -> bool {
    match command {
        RunCommand::Pause { .. } | RunCommand::Cancel(_) => true,
        RunCommand::Resume | RunCommand::ChangeLimits(_) | RunCommand::RetryFailed { .. } => false,
    }
}

/// Tells whether cancelling a run changes what it does.
fn is_changed_by_cancel(run: &Run, mode: CancelMode) -> bool {
    match run.phase {
        RunPhase::Accepting | RunPhase::Active | RunPhase::Draining(_) => true,
        RunPhase::Stopping(_) => run.cancelled.is_some() && run.cancelled < Some(mode),
        RunPhase::Finishing(_) | RunPhase::Ending => false,
    }
}
