//! Any sequence of inputs keeps the invariants, and the permits are never spent twice.

use std::collections::BTreeMap;
use std::time::Duration;

use common::done::OpDone;
use common::ids::{LeaseId, OpId};
use common::message::{OpRan, PermitFate, Report, Start, ToWorker};
use proptest::prelude::*;

use super::scenario::*;
use crate::{Action, ChainEnd, Input, SessionEnd, SessionKind};

/// What a test does next; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Do {
    Grant(u64, Start),
    Continue(u64, u64),
    Permit(u64),
    Truncate(u64),
    Revoke(u64),
    EndChain(usize, u8),
    Op(usize, u16),
    Open,
    Close,
    Discard(u64),
    Disconnect,
    Welcome(SessionKind),
    MeetAnew,
    End(SessionEnd),
    Pass(u64),
    PassConnected(u64),
    Drain,
    LeaveNow,
}

fn action() -> impl Strategy<Value = Do> {
    let start = prop_oneof![Just(Start::Now), Just(Start::OnFreedPermit)];
    let kind = prop_oneof![Just(SessionKind::Fresh), Just(SessionKind::Resumed)];
    let end = prop_oneof![Just(SessionEnd::Expired), Just(SessionEnd::Protocol)];
    prop_oneof![
        8 => (1..40_u64, start).prop_map(|(lease, start)| Do::Grant(lease, start)),
        2 => (1..40_u64, 1..40_u64).prop_map(|(lease, batch)| Do::Continue(lease, batch)),
        2 => (1..40_u64).prop_map(Do::Permit),
        2 => (1..40_u64).prop_map(Do::Truncate),
        2 => (1..40_u64).prop_map(Do::Revoke),
        8 => (0..8_usize, 0..6_u8).prop_map(|(chain, how)| Do::EndChain(chain, how)),
        2 => (0..8_usize, 0..4_u16).prop_map(|(chain, op)| Do::Op(chain, op)),
        2 => Just(Do::Open),
        1 => Just(Do::Close),
        2 => (1..40_u64).prop_map(Do::Discard),
        1 => Just(Do::Disconnect),
        2 => kind.prop_map(Do::Welcome),
        1 => Just(Do::MeetAnew),
        1 => end.prop_map(Do::End),
        2 => (0..6_000_u64).prop_map(Do::Pass),
        2 => (0..6_000_u64).prop_map(Do::PassConnected),
        1 => Just(Do::Drain),
        1 => Just(Do::LeaveNow),
    ]
}

/// Plays the executor and counts permits as the coordinator would.
struct Player {
    t: Scenario,
    running: Vec<LeaseId>,
    /// Leases of this session that may run, by what was granted and reported.
    permits: BTreeMap<LeaseId, ()>,
    gone: Gone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gone {
    No,
    Yes,
}

impl Player {
    fn play(&mut self, step: Do) {
        match step {
            Do::Grant(lease_number, start) => {
                self.grant(lease(lease_number, start));
            }
            Do::Continue(lease_number, batch) => self.grant(continuation(lease_number, batch)),
            Do::Permit(lease) => {
                self.t.receive(ToWorker::Permit { lease: id(lease) });
            }
            Do::Truncate(lease) => {
                self.t.receive(ToWorker::Truncate { lease: id(lease) });
            }
            Do::Revoke(lease) => {
                self.t.receive(ToWorker::Revoke { lease: id(lease) });
            }
            Do::EndChain(chain, how) => self.end_chain(chain, how),
            Do::Op(chain, op) => {
                let lease = self.running.get(chain).copied().unwrap_or(id(op.into()));
                let (op, at) = (OpId(op), self.t.now);
                self.t.input(Input::OpStarted { lease, op, at });
            }
            Do::Open => {
                self.t.receive(ToWorker::OpenRun(context(RUN)));
            }
            Do::Close => {
                self.t.receive(ToWorker::CloseRun { run: RUN });
            }
            Do::Discard(batch) => {
                let output = output(batch, 1);
                self.t.receive(ToWorker::Discard { run: RUN, output });
            }
            Do::Disconnect => {
                self.t.input(Input::Disconnected);
            }
            Do::Welcome(kind) => {
                self.t.welcome(kind);
            }
            Do::MeetAnew => {
                self.t.input(Input::SessionUnknown);
                self.take_actions();
                self.t.welcome(SessionKind::Reattached);
            }
            Do::End(end) => {
                self.t.input(Input::SessionEnded(end));
            }
            Do::Pass(millis) => {
                self.t.pass_in_silence(Duration::from_millis(millis));
            }
            Do::PassConnected(millis) => {
                self.t.pass_connected(Duration::from_millis(millis));
            }
            Do::Drain => {
                self.t.input(Input::DrainRequested);
            }
            Do::LeaveNow => {
                self.t.input(Input::LeaveNow);
            }
        }
        self.take_actions();
    }

    fn grant(&mut self, grant: common::message::Grant) {
        let known = self.permits.contains_key(&grant.lease) || self.running.contains(&grant.lease);
        if known {
            return;
        }
        self.permits.insert(grant.lease, ());
        self.t.receive(ToWorker::Grant(grant));
    }

    fn end_chain(&mut self, chain: usize, how: u8) {
        if self.running.is_empty() {
            return;
        }
        let lease = self.running.remove(chain % self.running.len());
        let batch = lease.sequence;
        let taken = if how == 0 { self.t.take_next(lease) } else { None };
        let next = taken.as_ref().map(|chain| chain.lease);
        let end = match how {
            0 => ChainEnd::Finished { kept: None },
            1 => ChainEnd::Finished { kept: kept(batch, 1) },
            2 => ChainEnd::OpFailed {
                op: OpId(2),
                kept: kept(batch, 1),
            },
            3 => ChainEnd::InputLost { failure: broken() },
            4 => ChainEnd::Checkpointed,
            5.. => ChainEnd::Stopped,
        };
        self.running.extend(next);
        if how == 0 && batch.is_multiple_of(2) {
            let done = OpRan {
                started: self.t.now,
                ended: self.t.now,
                done: OpDone::default(),
            };
            let ops = vec![done; 4];
            self.t.input(Input::ChainRan { lease, ops, next });
        } else {
            self.t.input(Input::ChainEnded { lease, end, next });
        }
    }

    fn take_actions(&mut self) {
        for action in self.t.pending.drain(..) {
            assert!(self.gone == Gone::No, "nothing is done after the exit: {action:?}");
            match action {
                Action::StartChain { chain, .. } => {
                    assert!(!self.running.contains(&chain.lease), "a lease is started once");
                    self.running.push(chain.lease);
                    assert!(self.running.len() <= 2, "there are two slots");
                }
                Action::StopChain { lease }
                | Action::TruncateChain { lease }
                | Action::TimeOutOp { lease, op: OpId(3) } => {
                    assert!(self.running.contains(&lease), "only what runs is stopped");
                }
                Action::Report(Report::LeaseEnded { lease, permit, .. }) => {
                    let heir = match permit {
                        PermitFate::PassedTo(next) => Some(next),
                        PermitFate::Returned | PermitFate::None => None,
                    };
                    ended(&mut self.permits, &self.running, lease, heir);
                }
                Action::Report(Report::ChainRan(ran)) => ended(&mut self.permits, &self.running, ran.lease, ran.heir),
                Action::TimeOutOp { op, .. } => panic!("op {} has no time-out", op.0),
                Action::CloseRun { .. } => {}
                Action::Exit(_) => self.gone = Gone::Yes,
                Action::OpenRun(_)
                | Action::QueueChain(_)
                | Action::TakeBackChain { .. }
                | Action::DropOutput { .. }
                | Action::Publish(_)
                | Action::Report(_)
                | Action::SendHeartbeat { .. }
                | Action::Reattach(_)
                | Action::Reconnect
                | Action::SayGoodbye => {}
            }
        }
        // What the agent has forgotten with its session, the coordinator has forgotten too.
        self.permits
            .retain(|lease, ()| self.t.agent.book.leases.contains_key(lease));
        if self.gone == Gone::No {
            assert_eq!(self.t.agent.running(), self.running.len());
        }
    }
}

fn ended(permits: &mut BTreeMap<LeaseId, ()>, running: &[LeaseId], lease: LeaseId, heir: Option<LeaseId>) {
    assert!(permits.remove(&lease).is_some(), "a lease ends once");
    assert!(!running.contains(&lease), "an ended lease does not run");
    if let Some(heir) = heir {
        assert!(permits.contains_key(&heir), "a permit goes to a lease that is held");
        assert!(running.contains(&heir), "and it runs");
    }
}

proptest! {
    #[test]
    fn any_sequence_of_inputs_keeps_the_invariants(steps in proptest::collection::vec(action(), 1..200)) {
        let mut player = Player {
            t: Scenario::new(2),
            running: Vec::new(),
            permits: BTreeMap::new(),
            gone: Gone::No,
        };
        for step in steps {
            player.play(step);
            let now = player.t.now;
            let agent = &player.t.agent;
            if player.gone == Gone::No && !agent.link.may_work(now) {
                let goes_on = agent.book.running().any(|(_, course)| course != crate::lease::Course::Stopping);
                prop_assert!(!goes_on, "a worker that may have lost its leases lets no chain go on");
            }
        }
    }
}
