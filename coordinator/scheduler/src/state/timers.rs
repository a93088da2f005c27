//! What the scheduler wants to be woken for, in the order of time.

use std::collections::BTreeSet;

use common::ids::{BatchId, LeaseId, OpId, RunId, SessionId};
use common::time::Time;

/// Something that becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A session's leases may be over: look when it was last heard.
    SessionDeadline(SessionId),
    /// A disconnected session had its chance to come back.
    Patience(SessionId),
    /// A batch has waited long enough after a failure.
    BatchBackoff(RunId, BatchId),
    /// An op over the whole run has waited long enough after a failure.
    RunOpBackoff(RunId, OpId),
    /// Workers had their chance to say what they hold from before a restart.
    ReattachPatience,
    /// What workers held before a restart is certainly over.
    FormerSessions,
    /// A run has taken as long as it may.
    RunDeadline(RunId),
    /// A rate has tokens that an op waits for.
    Tokens(RunId, OpId),
    /// Parts that could not be put in place are to be tried again.
    Republish(LeaseId),
}

/// All timers. One that has no meaning any more when it is due is ignored by whoever set it.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Time, Timer)>,
}

impl Timers {
    /// Sets a timer.
    pub(crate) fn set(&mut self, at: Time, timer: Timer) {
        self.due.insert((at, timer));
    }

    /// Returns when the next one is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the next one that is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        match self.due.first() {
            Some((at, _)) if *at <= now => self.due.pop_first().map(|(_, timer)| timer),
            Some(_) | None => None,
        }
    }
}
