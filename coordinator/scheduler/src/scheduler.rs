//! The scheduler: all state in one place, and the queue of commands that comes of it.
//!
//! Events come in at [`crate::handlers`]. Whoever changes the state says here what is to be done about it ([`Command`]) and what
//! must survive ([`Record`]).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use common::ids::{LeaseId, RunId, SessionId};
use common::job::PoolName;
use common::message::ToWorker;
use common::slice::RunContext;
use common::time::Time;

use crate::interface::command::Command;
use crate::interface::config::Config;
use crate::journal::record::Record;
use crate::journal::run_ledger::RunLedger;
use crate::state::cap::Cap;
use crate::state::durability::{AfterDurable, Waiting};
use crate::state::former::FormerSessions;
use crate::state::lease::Lease;
use crate::state::pool::Pool;
use crate::state::publication::Publication;
use crate::state::run::Run;
use crate::state::timers::Timers;
use crate::state::turn::Share;
use crate::state::unanswered::Unanswered;
use crate::state::worker::Session;

/// The scheduler: all runs, batches, leases and sessions of a coordinator.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: Config,
    pub(crate) runs: BTreeMap<RunId, Run>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) leases: BTreeMap<LeaseId, Box<Lease>>,
    /// Permits in use over all runs: units of the coordinator's cap.
    pub(crate) units: u32,
    /// The runs in the order in which they are served: priority, then who has the fewest permits for its weight, then age.
    pub(crate) turns: BTreeSet<(Reverse<i32>, Share, RunId)>,
    /// Sessions with free slots, by how many; the earliest session last among equals.
    pub(crate) idle: BTreeSet<(u32, Reverse<SessionId>)>,
    /// Sessions with slots in use and few leases queued behind them.
    pub(crate) hungry: BTreeSet<SessionId>,
    /// Sessions with free slots and leases queued behind none.
    pub(crate) startable: BTreeSet<SessionId>,
    /// How many leases are fenced and not over.
    pub(crate) fenced: usize,
    /// The worker processes that batches of runs that go on have lost and that were not seen again.
    pub(crate) lost_processes: BTreeSet<String>,
    /// How many sessions are live.
    pub(crate) live_sessions: usize,
    /// The slots of all live sessions together.
    pub(crate) live_slots: u64,
    /// The free ones of them.
    pub(crate) free_slots: u64,
    /// Committed parts that are not in place yet, by the lease they were committed under.
    pub(crate) publications: BTreeMap<LeaseId, Publication>,
    /// What workers may still hold from before a restart.
    pub(crate) former: FormerSessions,
    /// What runs that ended with failures could be reopened with.
    pub(crate) ended: BTreeMap<RunId, RunLedger>,
    /// Those of them whose reopening is recorded and not durable.
    pub(crate) reopening: BTreeSet<RunId>,
    /// Runs that have ended in another way, and whose checkpoints are kept until they are forgotten.
    pub(crate) checkpointed: BTreeMap<RunId, Arc<RunContext>>,
    pub(crate) timers: Timers,
    /// The limits that runs share.
    pub(crate) pools: BTreeMap<PoolName, Pool>,
    /// Runs of which some op has a rate.
    pub(crate) rated: BTreeSet<RunId>,
    /// Runs of which batches that were set aside wait for room.
    pub(crate) returning: BTreeSet<RunId>,
    /// How much of each cap may be in use that was lowered below what was.
    pub(crate) lowered: BTreeMap<Cap, u32>,
    /// The time of the event that is handled.
    pub(crate) now: Time,
    pub(crate) waiting: Waiting,
    /// Answers that wait until nothing begins any more that the command forbids.
    pub(crate) unanswered: Vec<Unanswered>,
    pub(crate) last_lease: u64,
    pub(crate) commands: VecDeque<Command>,
}

impl Scheduler {
    /// Makes a scheduler whose declared limits are not compared with those that the journal keeps.
    pub(crate) fn unsettled(config: Config) -> Scheduler {
        Scheduler {
            config,
            runs: BTreeMap::new(),
            sessions: BTreeMap::new(),
            leases: BTreeMap::new(),
            units: 0,
            turns: BTreeSet::new(),
            idle: BTreeSet::new(),
            hungry: BTreeSet::new(),
            startable: BTreeSet::new(),
            fenced: 0,
            lost_processes: BTreeSet::new(),
            live_sessions: 0,
            live_slots: 0,
            free_slots: 0,
            publications: BTreeMap::new(),
            former: FormerSessions::default(),
            ended: BTreeMap::new(),
            checkpointed: BTreeMap::new(),
            reopening: BTreeSet::new(),
            timers: Timers::default(),
            pools: BTreeMap::new(),
            rated: BTreeSet::new(),
            returning: BTreeSet::new(),
            lowered: BTreeMap::new(),
            now: Time::ZERO,
            waiting: Waiting::default(),
            unanswered: Vec::new(),
            last_lease: 0,
            commands: VecDeque::new(),
        }
    }

    /// Returns the next thing to be done, in order.
    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Returns when [`crate::Event::TimeoutReached`] is wanted at the latest.
    pub fn next_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.commands.push_back(command);
    }

    pub(crate) fn send(&mut self, session: SessionId, message: ToWorker) {
        self.command(Command::Send { session, message });
    }

    /// Appends a record that nothing waits for.
    pub(crate) fn append(&mut self, record: Record) {
        self.note_what_is_told(&record);
        self.append_risen_marks(&record);
        let sequence = self.waiting.next_sequence();
        self.command(Command::Append { sequence, record });
    }

    /// Appends what has risen of a run's numbers before another record of it: that one's sync is theirs too.
    fn append_risen_marks(&mut self, before: &Record) {
        let Some(run) = before.live_run() else { return };
        let risen = self.runs.get_mut(&run).and_then(Run::take_risen_marks);
        if let Some(marks) = risen {
            let sequence = self.waiting.next_sequence();
            let record = Record::MarksRisen { run, marks };
            self.command(Command::Append { sequence, record });
        }
    }

    /// Keeps what a run is told, for the case that it goes on after its end.
    fn note_what_is_told(&mut self, record: &Record) {
        if let Record::RunCommanded { run, activity } | Record::FailedRetried { run, activity, .. } = record
            && let Some(run) = self.runs.get_mut(run)
        {
            run.told.push(activity);
        }
    }

    /// Appends a record, and lets an effect wait until it is durable.
    pub(crate) fn append_then(&mut self, record: Record, effect: AfterDurable) {
        self.append(record);
        self.waiting.after_last(effect);
    }
}
