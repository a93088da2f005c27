//! The state machine's three doors, and what every part of it shares.
//!
//! Each kind of input is taken in a file of its own: [`messages`] what the coordinator says, [`chains`] what the
//! executor says, [`session`] the link and time, [`departure`] leaving.

mod chains;
mod departure;
mod messages;
mod session;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use common::ids::{LeaseId, OutputId, RunId};
use common::message::{LeaseEnd, PermitFate, Report};
use common::slice::RunContext;
use common::time::Time;

use crate::action::{Action, ExitReason};
use crate::book::{Book, Restrained};
use crate::check::{self, Broken};
use crate::input::{Input, Kept};
use crate::lease::{Course, Lease};
use crate::leaving::Leaving;
use crate::link::Link;

/// What the agent is told once, when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How many chains run at once.
    pub slots: NonZeroU32,
    /// How long a draining worker finishes ops and serves what it keeps.
    pub drain_grace: Duration,
    /// How long a worker that was told to leave at once waits for its ops to stop.
    pub leave_grace: Duration,
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
    /// What is kept, with its size.
    pub(crate) outputs: BTreeMap<(RunId, OutputId), u64>,
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
            Input::SessionEnded(end) => self.on_session_ended(end),
            Input::OpStarted { lease, op, at } => self.on_op_started(lease, op, at),
            Input::OpEnded { lease, op, at, outcome } => self.on_op_ended(lease, op, at, outcome),
            Input::ChainTruncated { lease, last } => self.on_chain_truncated(lease, last),
            Input::ChainEnded { lease, end } => self.on_chain_ended(lease, end),
            Input::Published { lease } => self.on_published(lease, Ok(())),
            Input::PublishFailed { lease, failure } => self.on_published(lease, Err(failure)),
            Input::DrainRequested => self.drain(now),
            Input::LeaveNow => self.leave_now(now),
            Input::TimeoutReached => {}
        }
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
        let stop_at = (some_go_on || !self.book.not_started().is_empty()).then(|| self.link.stop_at());
        let exit_at = self.book.running().next().map(|_| self.link.exit_at());
        let times = [
            self.link.next_timeout(),
            stop_at.flatten(),
            exit_at.flatten(),
            self.orphans_exit_at,
            self.leaving.until(),
        ];
        times.into_iter().flatten().min()
    }

    /// Recomputes every invariant from scratch.
    pub fn check(&self) -> Result<(), Broken> {
        check::check(self)
    }

    /// Returns how many chains run.
    pub fn running(&self) -> usize {
        self.book.running().count() + self.book.orphans.len()
    }

    /// Returns how many leases the worker holds.
    pub fn leases(&self) -> usize {
        self.book.leases.len()
    }

    /// Returns the bytes of all kept outputs together.
    pub fn bytes_kept(&self) -> u64 {
        self.outputs.values().sum()
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn report(&mut self, report: Report) {
        self.act(Action::Report(report));
    }

    fn exit(&mut self, reason: ExitReason) {
        self.leaving = Leaving::Left;
        self.act(Action::Exit(reason));
    }

    /// Starts chains for as long as there is a slot and a lease with a permit.
    fn fill_slots(&mut self) {
        while let Some(chain) = self.book.fill_slot() {
            self.act(Action::StartChain(chain));
        }
    }

    /// Takes a lease out of the book and reports its end; if it is prepared, its permit goes to the next of its run.
    fn end_lease(&mut self, id: LeaseId, end: LeaseEnd) -> Option<Lease> {
        let lease = self.book.remove(id)?;
        let permit = match end {
            LeaseEnd::Prepared => self.hand_on_permit(&lease),
            LeaseEnd::Parked { .. }
            | LeaseEnd::Failed { .. }
            | LeaseEnd::InputLost { .. }
            | LeaseEnd::Stopped
            | LeaseEnd::Recalled => lease.returned_permit(),
        };
        self.report(Report::LeaseEnded { lease: id, end, permit });
        Some(lease)
    }

    fn hand_on_permit(&mut self, ended: &Lease) -> PermitFate {
        let next = self
            .book
            .first_waiting(ended.grant.run)
            .filter(|_| ended.holds_permit());
        let Some(next) = next else {
            return ended.returned_permit();
        };
        self.book.permit(next);
        PermitFate::PassedTo(next)
    }

    /// Ends every lease that has not started; those that wait go first, so that no permit is handed on.
    fn end_not_started(&mut self, end: &LeaseEnd) {
        for id in self.book.not_started() {
            self.end_lease(id, end.clone());
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

    fn keep_output(&mut self, run: RunId, kept: Kept) {
        self.outputs.insert((run, kept.output), kept.bytes);
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
