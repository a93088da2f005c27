//! The link to the coordinator as the agent sees it: whether it stands, when the coordinator surely heard this worker
//! last, and how long the worker may therefore believe in its leases.
//!
//! The worker counts from the moment it *sent* what was answered, the coordinator from the moment it heard it, and
//! the coordinator adds a margin: however slow the network, the worker stops first.

use common::time::Time;

use crate::input::Welcome;
use crate::time_limits::TimeLimits;

/// The link to the coordinator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    state: LinkState,
    /// The numbers of the session, and when the coordinator surely heard this worker last; `None` before the first.
    session: Option<SessionTimes>,
}

#[derive(Clone, Copy, Debug)]
struct SessionTimes {
    limits: TimeLimits,
    heard: Time,
}

/// Whether the link stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LinkState {
    /// Nothing can be said.
    #[default]
    Down,
    /// Messages go both ways, as far as is known.
    Up {
        /// When the next heartbeat is due.
        next_heartbeat: Time,
    },
    /// No heartbeat was echoed for long: the connection is to be made anew.
    GivenUp,
}

impl Link {
    /// Notes a welcome.
    pub(crate) fn on_welcomed(&mut self, welcome: &Welcome, now: Time) {
        let limits = TimeLimits::new(welcome);
        let heard = welcome.hello_sent_at;
        self.session = Some(SessionTimes { limits, heard });
        self.state = LinkState::Up {
            next_heartbeat: now + limits.heartbeat_interval,
        };
    }

    /// Notes that a heartbeat of that time was heard.
    pub(crate) fn on_heard(&mut self, sent_at: Time) {
        if let Some(session) = &mut self.session {
            session.heard = session.heard.max(sent_at);
        }
    }

    /// Notes that the connection broke.
    pub(crate) fn on_disconnected(&mut self) {
        self.state = LinkState::Down;
    }

    /// Notes that the session is over.
    pub(crate) fn on_ended(&mut self) {
        *self = Link::default();
    }

    /// Tells whether messages can be sent.
    pub(crate) fn is_up(&self) -> bool {
        match self.state {
            LinkState::Up { .. } => true,
            LinkState::Down | LinkState::GivenUp => false,
        }
    }

    /// Returns when all leases have to be stopped unless the coordinator is heard before; `None` without a session.
    pub(crate) fn stop_at(&self) -> Option<Time> {
        self.session.map(|session| session.heard + session.limits.stop_after)
    }

    /// Returns when no chain may run any more; `None` without a session.
    pub(crate) fn exit_at(&self) -> Option<Time> {
        self.session.map(|session| session.heard + session.limits.exit_after)
    }

    /// Tells whether the worker may believe in its leases.
    pub(crate) fn may_work(&self, now: Time) -> bool {
        self.stop_at().is_some_and(|at| now < at)
    }

    /// Takes the next heartbeat if it is due.
    pub(crate) fn take_heartbeat(&mut self, now: Time) -> Option<Time> {
        let interval = self.session?.limits.heartbeat_interval;
        let LinkState::Up { next_heartbeat } = &mut self.state else {
            return None;
        };
        if now < *next_heartbeat {
            return None;
        }
        *next_heartbeat = now + interval;
        Some(now)
    }

    /// Gives the connection up if no heartbeat was echoed for long; tells whether it did so just now.
    pub(crate) fn give_up_if_silent(&mut self, now: Time) -> Option<GaveUp> {
        let silent = self.is_up() && self.silent_at().is_some_and(|at| now >= at);
        if !silent {
            return None;
        }
        self.state = LinkState::GivenUp;
        Some(GaveUp)
    }

    /// Returns when the link wants to be looked at.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        let LinkState::Up { next_heartbeat } = self.state else {
            return None;
        };
        self.silent_at().map(|at| at.min(next_heartbeat))
    }

    fn silent_at(&self) -> Option<Time> {
        self.session.map(|session| session.heard + session.limits.silent_after)
    }
}

/// The connection was just given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GaveUp;
