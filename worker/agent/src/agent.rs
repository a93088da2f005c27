//! The state machine's three doors, and what every part of it shares.
//!
//! Each kind of input is taken in a file of its own: [`messages`] what the coordinator says, [`chains`] what the
//! executor says, [`overtime`] ops that take too long, [`session`] the link and time, [`reattach`] meeting a coordinator that
//! was started again, [`departure`] leaving.

mod chains;
mod departure;
mod messages;
mod overtime;
mod reattach;
mod session;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use common::ids::{LeaseId, OutputId, RunId};
use common::message::{LeaseEnd, Report};
use common::slice::RunContext;
use common::time::Time;

use crate::action::{Action, ExitReason};
use crate::book::{AskedBack, Book, Restrained};
use crate::input::{Input, Kept};
use crate::lease::{Course, Lease, LeaseState, Why};
use crate::leaving::Leaving;
use crate::link::Link;
use crate::op_limit::OpLimit;
use crate::outputs::KeptOutput;
use crate::unsettled::Unsettled;

use self::reattach::Listing;

/// What the agent is told once, when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How many chains run at once.
    pub slots: NonZeroU32,
    /// How long a draining worker finishes ops and serves what it keeps.
    pub drain_grace: Duration,
    /// How long a worker that was told to leave at once waits for its ops to stop.
    pub leave_grace: Duration,
    /// How long an op may go on after its time-out before the process ends: it does not stop by itself.
    pub timeout_grace: Duration,
}

/// The agent of one worker process.
#[derive(Clone, Debug)]
pub struct Agent {
    pub(crate) config: Config,
    pub(crate) link: Link,
    pub(crate) leaving: Leaving,
    pub(crate) runs: BTreeMap<RunId, Arc<RunContext>>,
    pub(crate) book: Book,
    /// When the process ends if an orphan still runs.
    pub(crate) orphans_exit_at: Option<Time>,
    /// What is kept.
    pub(crate) outputs: BTreeMap<(RunId, OutputId), KeptOutput>,
    /// Prepared leases that were reported and that a coordinator may still forget.
    unsettled: Unsettled,
    /// Whether a coordinator wants to be told what is held.
    listing: Listing,
    /// The time limits of the ops that run and have one, by the chain's lease.
    pub(crate) op_limits: BTreeMap<LeaseId, OpLimit>,
    /// Publications under way, by the lease that names them.
    pub(crate) publishing: BTreeSet<LeaseId>,
    actions: VecDeque<Action>,
}

impl Agent {
    /// Makes an agent that holds nothing and has no session.
    pub fn new(config: Config) -> Agent {
        Agent {
            config,
            link: Link::default(),
            leaving: Leaving::No,
            runs: BTreeMap::new(),
            book: Book::new(config.slots.get()),
            orphans_exit_at: None,
            outputs: BTreeMap::new(),
            op_limits: BTreeMap::new(),
            unsettled: Unsettled::default(),
            listing: Listing::NotWanted,
            publishing: BTreeSet::new(),
            actions: VecDeque::new(),
        }
    }

    /// Takes an input; what is to be done about it comes out of [`Agent::next_action`].
    pub fn handle(&mut self, input: Input, now: Time) {
        if self.leaving == Leaving::Left {
            return;
        }
        match input {
            Input::Welcomed(welcome) => self.on_welcomed(&welcome, now),
            Input::Received(message) => self.on_received(message, now),
            Input::HeartbeatEchoed { sent_at } => self.link.on_heard(sent_at),
            Input::Disconnected => self.link.on_disconnected(),
            Input::SessionUnknown => self.on_session_unknown(),
            Input::SessionEnded(end) => self.on_session_ended(end),
            Input::FetchStarted { lease, at } => self.on_fetch_started(lease, at),
            Input::OpStarted { lease, op, at } => self.on_op_started(lease, op, at),
            Input::OpEnded { lease, op, at, outcome } => self.on_op_ended(lease, op, at, outcome),
            Input::ChainTruncated { lease, last } => self.on_chain_truncated(lease, last),
            Input::ChainEnded { lease, end, next } => self.on_chain_ended(lease, end, next),
            Input::ChainRan { lease, ops, next } => self.on_chain_ran(lease, ops, next),
            Input::ChainTakenBack { lease } => self.on_chain_taken_back(lease),
            Input::Published { lease } => self.on_published(lease, Ok(())),
            Input::PublishFailed { lease, failure } => self.on_published(lease, Err(failure)),
            Input::DrainRequested => self.drain(now),
            Input::LeaveNow => self.leave_now(now),
            Input::TimeoutReached => {}
        }
        self.list_if_wanted();
        self.on_time(now);
    }

    /// Returns the next thing to be done, in order.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns when [`Input::TimeoutReached`] is wanted at the latest.
    pub fn next_timeout(&self) -> Option<Time> {
        if self.leaving == Leaving::Left {
            return None;
        }
        let some_go_on = self.book.running().any(|(_, course)| course != Course::Stopping);
        let stop_at = (some_go_on || self.book.has_not_started()).then(|| self.link.stop_at());
        let exit_at = self.book.running().next().map(|_| self.link.exit_at());
        let times = [
            self.link.next_timeout(),
            stop_at.flatten(),
            exit_at.flatten(),
            self.orphans_exit_at,
            self.leaving.until(),
            self.next_op_limit(),
        ];
        times.into_iter().flatten().min()
    }

    /// Returns until when slots may take chains that wait: as long as the worker may believe in its leases, and not at all
    /// when it leaves.
    pub fn works_until(&self) -> Time {
        if !self.leaving.takes_leases() {
            return Time::ZERO;
        }
        self.link.stop_at().unwrap_or(Time::ZERO)
    }

    /// Returns how many chains run.
    pub fn running(&self) -> usize {
        self.book.in_slots.len() + self.book.orphans.len()
    }

    /// Returns how many chains run of a session that is over.
    pub fn orphans(&self) -> usize {
        self.book.orphans.len()
    }

    /// Returns how many leases the worker holds.
    pub fn leases(&self) -> usize {
        self.book.leases.len()
    }

    /// Returns the bytes of all kept outputs together.
    pub fn bytes_kept(&self) -> u64 {
        self.outputs.values().map(|kept| kept.bytes).sum()
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn report(&mut self, report: Report) {
        self.unsettled.count_report();
        self.act(Action::Report(report));
    }

    fn exit(&mut self, reason: ExitReason) {
        self.leaving = Leaving::Left;
        self.act(Action::Exit(reason));
    }

    /// Starts chains for as long as there is a slot and a lease with a permit.
    fn fill_slots(&mut self) {
        while let Some((slot, chain)) = self.book.fill_slot() {
            self.act(Action::StartChain { slot, chain });
        }
    }

    /// Takes a lease out of the book that has not started, and reports its end.
    fn end_lease(&mut self, id: LeaseId, end: LeaseEnd) {
        if let Some(lease) = self.book.remove(id) {
            self.op_limits.remove(&id);
            let permit = lease.returned_permit();
            self.report(Report::LeaseEnded { lease: id, end, permit });
        }
    }

    /// Ends a lease that has not started: at once if it waits here, when its chain has come back if that waits for a slot.
    fn end_unstarted(&mut self, id: LeaseId, why: Why) {
        match self.book.ask_back(id, why) {
            AskedBack::Now => self.act(Action::TakeBackChain { lease: id }),
            AskedBack::Before => {}
            AskedBack::NotWaiting => {
                let is_permitted = self
                    .book
                    .leases
                    .get(&id)
                    .is_some_and(|lease| lease.state == LeaseState::Permitted);
                if is_permitted {
                    self.end_lease(id, end_of(why));
                }
            }
        }
    }

    /// Ends every lease that has not started.
    fn end_not_started(&mut self, why: Why) {
        for id in self.book.not_started() {
            self.end_unstarted(id, why);
        }
    }

    /// Stops a chain that runs; its lease ends when the executor says so.
    fn stop_chain(&mut self, lease: LeaseId) -> Restrained {
        let restrained = self.book.restrain(lease, Course::Stopping);
        if restrained == Restrained::Now {
            self.act(Action::StopChain { lease });
        }
        restrained
    }

    fn stop_all_chains(&mut self) {
        let running: Vec<LeaseId> = self.book.running().map(|(id, _)| id).collect();
        for id in running {
            self.stop_chain(id);
        }
    }

    fn keep_output(&mut self, lease: &Lease, kept: Kept) {
        let Kept { output, bytes } = kept;
        let past = lease.past_of(output);
        self.outputs
            .insert((lease.grant.run, output), KeptOutput { bytes, past });
    }

    fn drop_output(&mut self, run: RunId, output: OutputId) {
        self.outputs.remove(&(run, output));
        self.act(Action::DropOutput { run, output });
    }

    /// Drops the outputs for which `belongs` holds.
    fn drop_outputs_where(&mut self, belongs: impl Fn(RunId) -> bool) {
        let dropped: Vec<_> = self.outputs.keys().copied().filter(|(run, _)| belongs(*run)).collect();
        for (run, output) in dropped {
            self.drop_output(run, output);
        }
    }
}

/// Returns how a lease ends whose chain came back for a reason.
fn end_of(why: Why) -> LeaseEnd {
    match why {
        Why::Permitted | Why::Recalled | Why::Truncated => LeaseEnd::Recalled,
        Why::Stopped => LeaseEnd::Stopped,
    }
}
