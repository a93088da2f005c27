//! Steering: what people and policies tell a run while it goes on.
//!
//! A command is checked when it comes and appended to the journal. One that only holds things back is obeyed at once,
//! any other when its record is durable; one that would change nothing leaves no record. Whoever gave it is answered
//! when it is durable and in effect, and for one that forbids something ([`Unanswered`]) when nothing forbidden can begin
//! any more: what waited at workers is taken back, and the workers have said where chains end.
//!
//! Known weakness: a worker that is frozen or cut off, or has not come back after a restart, delays such an answer until
//! its leases are certainly over.

use common::ids::RunId;
use common::steering::{Activity, AskRefused, Asker, CancelMode, RunCommand};
use common::time::Time;

use crate::interface::command::Command;
use crate::interface::event::{Ask, Asked, Ticket};
use crate::journal::ending::Ending;
use crate::journal::record::{Record, SetBy};
use crate::journal::run_ledger::Hold;
use crate::scheduler::Scheduler;
use crate::state::durability::AfterDurable;
use crate::state::lease::{Permit, Standing, Truncation};
use crate::state::run::{BehindRelease, Release, Run, RunPhase};
use crate::state::unanswered::{Unanswered, Within};

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
        let Asked { ticket, by, ask } = asked;
        let ask = self.what_it_means(ask);
        let asked = Asked { ticket, by, ask };
        if let Some(later) = self.behind_release(&asked.ask) {
            return later.push(BehindRelease::Asked(asked));
        }
        match self.effect_of(&asked.ask) {
            // What made it so may be lost yet.
            Ok(Effect::Nothing) if !self.waiting.is_all_durable() => {
                self.waiting.after_last(AfterDurable::AskedAgain(Box::new(asked)));
            }
            effect => self.act_on(asked, effect, now),
        }
    }

    /// Returns what waits until a run goes on, if it is about to and this has to wait with it.
    fn behind_release(&mut self, ask: &Ask) -> Option<&mut Vec<BehindRelease>> {
        let Ask::Run { run, command } = ask else { return None };
        match command {
            RunCommand::Pause { .. } | RunCommand::Resume => {}
            RunCommand::Cancel(_) | RunCommand::ChangeLimits(_) | RunCommand::RetryFailed { .. } => return None,
        }
        self.release_under_way(*run)
    }

    /// Returns what waits until a run goes on, if it is about to.
    fn release_under_way(&mut self, run: RunId) -> Option<&mut Vec<BehindRelease>> {
        match &mut self.runs.get_mut(&run)?.release {
            Release::NotAsked => None,
            Release::UnderWay(later) => Some(later),
        }
    }

    fn act_on(&mut self, asked: Asked, effect: Result<Effect, AskRefused>, now: Time) {
        match effect {
            Err(refused) => self.answer(asked.ticket, Err(refused)),
            Ok(Effect::Nothing) => self.answer_when_settled(&asked),
            Ok(Effect::Changes) => {
                self.append_then(record_of(&asked, now), AfterDurable::Asked(Box::new(asked.clone())));
                self.note_release(&asked.ask);
                if only_holds_back(&asked.ask) {
                    self.obey(&asked.ask, now);
                }
            }
        }
    }

    pub(crate) fn on_ask_durable(&mut self, asked: Asked, now: Time) {
        let later = self.take_released(&asked.ask);
        if !only_holds_back(&asked.ask) {
            self.obey(&asked.ask, now);
        }
        self.answer_when_settled(&asked);
        let Some(run) = run_that_goes_on(&asked.ask) else {
            return;
        };
        for next in later {
            match next {
                BehindRelease::Asked(asked) => self.on_asked(asked, now),
                BehindRelease::PolicyPause { reason } => self.pause_by_policy(run, reason, now),
            }
        }
        // Not before: a run that pauses again because of its last failure does not end.
        self.advance(run, now);
    }

    /// Notes that a run is about to go on.
    fn note_release(&mut self, ask: &Ask) {
        if let Some(release) = self.release_by(ask) {
            *release = Release::UnderWay(Vec::new());
        }
    }

    /// Notes that a run goes on, and returns what was asked of it meanwhile.
    fn take_released(&mut self, ask: &Ask) -> Vec<BehindRelease> {
        match self.release_by(ask).map(std::mem::take) {
            Some(Release::UnderWay(later)) => later,
            Some(Release::NotAsked) | None => Vec::new(),
        }
    }

    /// Returns the release of the run that a command lets go on.
    fn release_by(&mut self, ask: &Ask) -> Option<&mut Release> {
        let run = run_that_goes_on(ask)?;
        Some(&mut self.runs.get_mut(&run)?.release)
    }

    /// Pauses a run because its own policy says so, at once: what is not begun can be begun later. A run that is about to
    /// go on is paused still, and pauses again when it would.
    pub(crate) fn pause_by_policy(&mut self, id: RunId, reason: String, now: Time) {
        if let Some(later) = self.release_under_way(id) {
            return later.push(BehindRelease::PolicyPause { reason });
        }
        let command = RunCommand::Pause { reason: Some(reason) };
        if self.effect_of_command(id, &command) != Ok(Effect::Changes) {
            return;
        }
        let by = Asker::Policy;
        self.append(Record::RunCommanded {
            run: id,
            activity: Activity { at: now, by, command },
        });
        self.pause(id);
    }

    /// Answers commands after which nothing forbidden can begin any more.
    pub(crate) fn answer_what_is_settled(&mut self) {
        if self.unanswered.is_empty() {
            return;
        }
        let unanswered = std::mem::take(&mut self.unanswered);
        for waiting in unanswered {
            if self.is_settled_within(waiting.within) {
                self.answer(waiting.ticket, Ok(()));
            } else {
                self.unanswered.push(waiting);
            }
        }
    }

    /// A paused run that has nothing left but to put its output in place ends when it is cancelled, as one that is not
    /// paused does.
    fn what_it_means(&self, ask: Ask) -> Ask {
        let Ask::Run {
            run,
            command: RunCommand::Cancel(_),
        } = ask
        else {
            return ask;
        };
        match self.runs.get(&run).map(|run| run.phase) {
            Some(RunPhase::Finishing(_)) => Ask::Run {
                run,
                command: RunCommand::Resume,
            },
            Some(_) | None => ask,
        }
    }

    /// Tells what would change, or why it cannot be done.
    fn effect_of(&self, ask: &Ask) -> Result<Effect, AskRefused> {
        let changes = match ask {
            Ask::Run { run, command } => return self.effect_of_command(*run, command),
            Ask::SetPool { pool, limit } => self.pools.get(pool).is_none_or(|pool| pool.limit != *limit),
            Ask::SetCap { cap } => self.config.global_cap != *cap,
        };
        Ok(if changes { Effect::Changes } else { Effect::Nothing })
    }

    /// Tells what a command would change, or why it cannot be obeyed.
    fn effect_of_command(&self, id: RunId, command: &RunCommand) -> Result<Effect, AskRefused> {
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

    fn obey(&mut self, ask: &Ask, now: Time) {
        match ask {
            Ask::Run { run, command } => match command {
                RunCommand::Pause { .. } => self.pause(*run),
                RunCommand::Resume => self.resume(*run),
                RunCommand::Cancel(mode) => self.cancel(*run, *mode, now),
                RunCommand::ChangeLimits(change) => self.change_limits(*run, change, now),
                RunCommand::RetryFailed { .. } => {}
            },
            Ask::SetPool { pool, limit } => self.set_pool(pool, *limit),
            Ask::SetCap { cap } => self.set_cap(*cap),
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

    /// Answers what is in effect: what forbids something only when nothing forbidden can begin any more.
    pub(crate) fn answer_when_settled(&mut self, asked: &Asked) {
        let forbids_in = match &asked.ask {
            Ask::Run {
                run,
                command: RunCommand::Pause { .. } | RunCommand::ChangeLimits(_),
            } => Some(Within::Run(*run)),
            Ask::SetCap { .. } => Some(Within::AllRuns),
            // An op with a pool never waits at a worker.
            Ask::SetPool { .. }
            | Ask::Run {
                command: RunCommand::Resume | RunCommand::Cancel(_) | RunCommand::RetryFailed { .. },
                ..
            } => None,
        };
        let ticket = asked.ticket;
        match forbids_in {
            Some(within) => self.unanswered.push(Unanswered { ticket, within }),
            None => self.answer(ticket, Ok(())),
        }
    }

    fn is_settled_within(&self, within: Within) -> bool {
        match within {
            Within::Run(run) => self.is_settled(run),
            Within::AllRuns => self.runs.keys().all(|run| self.is_settled(*run)),
        }
    }

    /// Tells whether every worker has answered to what a run's leases were told, and none that is not heard can begin
    /// anything of it.
    fn is_settled(&self, id: RunId) -> bool {
        let Some(run) = self.runs.get(&id) else { return true };
        if !run.recalled.is_empty() || self.former.may_go_on_with(id) {
            return false;
        }
        let mut of_run = self.leases.values().filter(|lease| lease.run == id);
        of_run.all(|lease| {
            let goes_on = lease.has_more_steps() && lease.truncation == Truncation::Asked;
            // A slot of a worker that is cut off may have taken it: no recall has reached it.
            let waits_unheard = lease.permit == Permit::Waiting && lease.standing == Standing::Fenced;
            !goes_on && !waits_unheard
        })
    }
}

/// Returns the run that a command lets go on.
fn run_that_goes_on(ask: &Ask) -> Option<RunId> {
    match ask {
        Ask::Run {
            run,
            command: RunCommand::Resume,
        } => Some(*run),
        Ask::Run { .. } | Ask::SetPool { .. } | Ask::SetCap { .. } => None,
    }
}

/// Tells whether a command only holds things back, so that obeying it before it is durable does no harm.
fn only_holds_back(ask: &Ask) -> bool {
    match ask {
        Ask::Run { command, .. } => match command {
            RunCommand::Pause { .. } | RunCommand::Cancel(_) => true,
            RunCommand::Resume | RunCommand::ChangeLimits(_) | RunCommand::RetryFailed { .. } => false,
        },
        Ask::SetPool { .. } | Ask::SetCap { .. } => false,
    }
}

fn record_of(asked: &Asked, at: Time) -> Record {
    let by = asked.by;
    match &asked.ask {
        Ask::Run { run, command } => Record::RunCommanded {
            run: *run,
            activity: Activity {
                at,
                by,
                command: command.clone(),
            },
        },
        Ask::SetPool { pool, limit } => Record::PoolSet {
            pool: pool.clone(),
            limit: *limit,
            by: SetBy::Asked(by),
        },
        Ask::SetCap { cap } => Record::CapSet {
            cap: *cap,
            by: SetBy::Asked(by),
        },
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
