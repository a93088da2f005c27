//! Workers' sessions: opened, heard, broken, resumed, drained, over.
//!
//! Only a goodbye, or the certain end of its leases, frees the permits of a worker that is gone. Its batches go on
//! elsewhere earlier where the caps have room, because the lease's token protects the output.

use common::ids::{LeaseId, SessionId};
use common::message::{LeaseEnd, Report, ToWorker};
use common::state::TaskState;
use common::time::Time;
use common::timeline::Moved;

use crate::handlers::crash::lost_worker;
use crate::handlers::report::Ended;
use crate::interface::command::{Command, EndReason};
use crate::interface::event::NewSession;
use crate::journal::record::Record;
use crate::scheduler::Scheduler;
use crate::state::durability::AfterDurable;
use crate::state::lease::{Lease, Standing};
use crate::state::timers::Timer;
use crate::state::worker::{Drains, Session, SessionPhase};

/// How many leases end before a worker is told that their ends are durable.
const SETTLED_AT_ONCE: u32 = 16;

/// Why the leases of a session come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// The worker said goodbye.
    Goodbye,
    /// The worker was not heard for longer than its leases live.
    Lost,
}

impl Scheduler {
    pub(crate) fn on_session_opened(&mut self, mut new: NewSession, now: Time) {
        let id = new.session;
        self.on_process_seen(&new.instance);
        let earlier: Vec<&Session> = self
            .sessions
            .values()
            .filter(|session| session.worker == new.worker && session.phase != SessionPhase::Fenced)
            .collect();
        let is_mine = |session: &Session| session.instance == new.instance;
        let came_late = earlier
            .iter()
            .any(|session| is_mine(session) && session.hello > new.hello);
        if came_late || self.is_replaced(&new) {
            return self.command(Command::EndSession {
                session: id,
                reason: EndReason::Replaced,
            });
        }
        let (mine, others): (Vec<&Session>, Vec<&Session>) = earlier
            .into_iter()
            .partition(|session| is_mine(session) && new.reattached.is_some());
        let mine: Vec<SessionId> = mine.into_iter().map(|session| session.id).collect();
        let others: Vec<SessionId> = others.into_iter().map(|session| session.id).collect();
        // Its record comes first, so that no crash leaves the process without a session that is known to be open.
        self.append(Record::SessionOpened {
            session: id,
            worker: new.worker.clone(),
            instance: new.instance.clone(),
            slots: new.slots.get(),
        });
        for session in others {
            self.fence_session(session, now);
            self.command(Command::EndSession {
                session,
                reason: EndReason::Replaced,
            });
        }
        self.supersede_sessions(&mine, now);
        self.settle_former(&new);
        let holdings = new
            .reattached
            .as_mut()
            .map(|reattached| std::mem::take(&mut reattached.holdings));
        let session = Session::new(new, now);
        self.timers
            .set(session.deadline(&self.config), Timer::SessionDeadline(id));
        self.sessions.insert(id, session);
        if let Some(holdings) = holdings {
            self.take_holdings(id, holdings, now);
        }
        // Only now, so that no run ends without what this process holds of it.
        self.stop_awaiting_nobody(now);
        self.waiting.after_last(AfterDurable::SessionOpened(id));
    }

    /// Tells whether another process of the name has taken the place of one that wants to go on with what it holds.
    fn is_replaced(&self, new: &NewSession) -> bool {
        let Some(reattached) = &new.reattached else {
            return false;
        };
        let is_other = |session: &&Session| session.worker == new.worker && session.instance != new.instance;
        let mut others = self.sessions.values().filter(is_other);
        others.any(|session| session.began_as > reattached.from) || self.former.has_replaced(new, reattached.from)
    }

    /// Ends sessions whose process has said anew, and in full, what it holds: attempts go on with the new one.
    fn supersede_sessions(&mut self, sessions: &[SessionId], now: Time) {
        for session in sessions {
            self.fence_session(*session, now);
            let held = self.sessions.get(session).map(|session| session.leases.clone());
            for lease in held.unwrap_or_default() {
                self.forget_running(lease);
                self.drop_lease(lease, now);
            }
            self.forget_session(*session);
            self.command(Command::EndSession {
                session: *session,
                reason: EndReason::Replaced,
            });
        }
    }

    /// Takes back that an op of a lease runs, without an end of its attempt.
    fn forget_running(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id).filter(|lease| lease.running.is_some()) else {
            return;
        };
        lease.running = None;
        let run = lease.run;
        if let Some(run) = self.runs.get_mut(&run) {
            run.gauges.running.subtract(1);
        }
    }

    /// Counts a report, and lets the worker forget those whose consequences are durable, some at a time.
    pub(crate) fn count_report(&mut self, id: SessionId, report: &Report) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.reports += 1;
            session.unsettled += u32::from(matches!(report, Report::LeaseEnded { .. } | Report::ChainRan(_)));
        }
    }

    /// Asks to be told when all that was reported so far is durable, once enough leases have ended.
    pub(crate) fn settle_reports(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.unsettled >= SETTLED_AT_ONCE {
            session.unsettled = 0;
            let effect = AfterDurable::ReportsTaken(id, session.reports);
            self.waiting.after_last(effect);
        }
    }

    pub(crate) fn on_reports_settled(&mut self, id: SessionId, reports: u64) {
        if self.sessions.contains_key(&id) {
            self.send(id, ToWorker::Settled { reports });
        }
    }

    pub(crate) fn on_session_durable(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.phase == SessionPhase::Opening {
            session.phase = SessionPhase::Live;
            self.command(Command::SessionAccepted { session: id });
            self.reindex_session(id);
            self.publish_what_waits();
        }
    }

    pub(crate) fn on_session_heard(&mut self, id: SessionId, now: Time) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.last_heard = now;
        }
    }

    pub(crate) fn on_session_disconnected(&mut self, id: SessionId, now: Time) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let drains = match session.phase {
            SessionPhase::Opening | SessionPhase::Live => Drains::No,
            SessionPhase::Draining => Drains::Yes,
            SessionPhase::Disconnected { .. } | SessionPhase::Fenced => return,
        };
        session.phase = SessionPhase::Disconnected { drains, since: now };
        self.reindex_session(id);
        self.timers
            .set(now + self.config.reconnect_patience, Timer::Patience(id));
    }

    pub(crate) fn on_session_resumed(&mut self, id: SessionId, now: Time) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.last_heard = now;
        let SessionPhase::Disconnected { drains, .. } = session.phase else {
            return;
        };
        session.phase = match drains {
            Drains::No => SessionPhase::Live,
            Drains::Yes => SessionPhase::Draining,
        };
        let leases: Vec<LeaseId> = session.leases.iter().copied().collect();
        for lease in leases {
            if self
                .leases
                .get(&lease)
                .is_some_and(|lease| lease.standing == Standing::Fenced)
            {
                self.send(id, ToWorker::Revoke { lease });
            }
        }
        self.reindex_session(id);
        self.publish_what_waits();
    }

    pub(crate) fn on_drain_requested(&mut self, id: SessionId) {
        if self.sessions.get(&id).is_some_and(Session::is_connected) {
            self.send(id, ToWorker::Drain);
            self.on_session_draining(id);
        }
    }

    pub(crate) fn on_session_draining(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        match session.phase {
            SessionPhase::Opening | SessionPhase::Live => session.phase = SessionPhase::Draining,
            SessionPhase::Disconnected { since, .. } => {
                session.phase = SessionPhase::Disconnected {
                    drains: Drains::Yes,
                    since,
                };
            }
            SessionPhase::Draining | SessionPhase::Fenced => {}
        }
        self.reindex_session(id);
    }

    pub(crate) fn on_session_closed(&mut self, id: SessionId, now: Time) {
        self.remove_session(id, Leave::Goodbye, now);
    }

    /// Looks whether a session was heard in time, and gives it up if not.
    pub(crate) fn on_session_deadline(&mut self, id: SessionId, now: Time) {
        let Some(session) = self.sessions.get(&id) else { return };
        let deadline = session.deadline(&self.config);
        if deadline > now {
            self.timers.set(deadline, Timer::SessionDeadline(id));
            return;
        }
        self.remove_session(id, Leave::Lost, now);
        self.command(Command::EndSession {
            session: id,
            reason: EndReason::Expired,
        });
    }

    /// Lets the batches of a session that did not come back go on elsewhere; its permits stay taken.
    pub(crate) fn on_patience_over(&mut self, id: SessionId, now: Time) {
        let Some(session) = self.sessions.get(&id) else { return };
        let SessionPhase::Disconnected { since, .. } = session.phase else {
            return;
        };
        if since + self.config.reconnect_patience <= now {
            self.relinquish(id, now);
        }
    }

    /// Tells sessions that hold nothing that anybody could use that they may leave.
    pub(crate) fn leave_drained_sessions(&mut self, now: Time) {
        if self.live_sessions == self.sessions.len() {
            return;
        }
        let nobody_fetches = self.live_sessions == 0;
        let may_leave =
            |session: &&Session| session.is_idle_and_draining() && (session.parked.is_empty() || nobody_fetches);
        let leaving: Vec<SessionId> = self
            .sessions
            .values()
            .filter(may_leave)
            .map(|session| session.id)
            .collect();
        for session in leaving {
            self.fence_session(session, now);
            self.forget_session(session);
            self.command(Command::EndSession {
                session,
                reason: EndReason::Drained,
            });
        }
    }

    /// Fences a session before its work is handed on, so that nothing of it comes back to the same session.
    fn fence_session(&mut self, id: SessionId, now: Time) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.phase = SessionPhase::Fenced;
        }
        self.reindex_session(id);
        self.relinquish(id, now);
    }

    /// Fences a session's leases and takes its batches back: what it held is counted as lost.
    fn relinquish(&mut self, id: SessionId, now: Time) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let leases: Vec<LeaseId> = session.leases.iter().copied().collect();
        let parked = std::mem::take(&mut session.parked);
        let publishing = std::mem::take(&mut session.publishing);
        for lease in leases {
            self.fence_lease(lease, now);
        }
        for (run, batch) in parked {
            self.lose_parked(run, batch, id);
        }
        for lease in publishing {
            self.forget_publisher(lease);
        }
        self.publish_what_waits();
    }

    fn remove_session(&mut self, id: SessionId, leave: Leave, now: Time) {
        if leave == Leave::Goodbye {
            self.recall_not_begun(id, now);
        }
        self.fence_session(id, now);
        let Some(session) = self.sessions.get(&id) else { return };
        let leases: Vec<LeaseId> = session.leases.iter().copied().collect();
        for lease in leases {
            self.end_lost_attempt(lease, leave, now);
            self.drop_lease(lease, now);
        }
        self.forget_session(id);
    }

    /// Takes back the leases of a worker that said goodbye which crossed it on their way: it would have reported what it
    /// had begun, so they spend no attempt.
    fn recall_not_begun(&mut self, id: SessionId, now: Time) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.phase = SessionPhase::Fenced;
        let leases: Vec<LeaseId> = session.leases.iter().copied().collect();
        self.reindex_session(id);
        for lease in leases {
            let is_untouched = |lease: &Lease| lease.started == 0 && lease.standing == Standing::Valid;
            if !self.leases.get(&lease).is_some_and(|lease| is_untouched(lease)) {
                continue;
            }
            self.give_tokens_back(lease);
            if self.settle_lease(lease, LeaseEnd::Recalled, now).is_ok() {
                self.drop_lease(lease, now);
            }
        }
    }

    fn forget_session(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.phase = SessionPhase::Fenced;
            self.reindex_session(id);
            self.sessions.remove(&id);
            self.append(Record::SessionClosed { session: id });
        }
    }

    /// Ends the attempt that a lost worker ran: its unit is freed now, which is when the timeline lets it end.
    fn end_lost_attempt(&mut self, id: LeaseId, leave: Leave, now: Time) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        let Some(running) = lease.running.take() else { return };
        let (run, batch, session) = (lease.run, lease.batch, lease.session);
        let state = match leave {
            Leave::Goodbye => TaskState::Cancelled,
            Leave::Lost => TaskState::Lost,
        };
        let failure = match leave {
            Leave::Goodbye => None,
            Leave::Lost => Some(lost_worker()),
        };
        let moved = Moved::default();
        self.record_attempt(id, running, Ended { state, at: now, moved }, failure);
        if let Some(run) = self.runs.get_mut(&run) {
            run.gauges.running.subtract(1);
        }
        if let (Leave::Lost, Some(batch)) = (leave, batch) {
            self.on_batch_crashed(session, (run, batch), running.step, now);
        }
    }
}
