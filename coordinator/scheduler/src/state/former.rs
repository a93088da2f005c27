//! Sessions of former generations: what their workers may still run, and which runs wait for them.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::{RunId, SessionId};

use crate::interface::event::NewSession;
use crate::journal::ledger::{Ledger, SessionLedger};

/// Sessions of former generations whose workers may still run something.
#[derive(Debug, Default)]
pub(crate) struct FormerSessions {
    sessions: BTreeMap<SessionId, SessionLedger>,
    /// The runs of the ledger, while their batches may turn out to be held by a worker that has not come yet.
    awaiting: BTreeSet<RunId>,
    /// The runs of the ledger, while one of these workers may go on with them.
    runs: BTreeSet<RunId>,
}

impl FormerSessions {
    /// Makes those that a ledger leaves open; its runs wait for them.
    pub(crate) fn of(ledger: &Ledger) -> FormerSessions {
        if ledger.sessions.is_empty() {
            return FormerSessions::default();
        }
        let runs: BTreeSet<RunId> = ledger.runs.keys().copied().collect();
        FormerSessions {
            sessions: ledger.sessions.clone(),
            awaiting: runs.clone(),
            runs,
        }
    }

    /// Returns those of the process that opens a session.
    pub(crate) fn of_process(&self, new: &NewSession) -> Vec<SessionId> {
        let is_same = |session: &SessionLedger| session.worker == new.worker && session.instance == new.instance;
        let of_process = self.sessions.iter().filter(|(_, session)| is_same(session));
        of_process.map(|(id, _)| *id).collect()
    }

    /// Returns all of them.
    pub(crate) fn all(&self) -> Vec<SessionId> {
        self.sessions.keys().copied().collect()
    }

    /// Forgets one: it holds nothing any more.
    pub(crate) fn forget(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    /// Tells whether none of them may hold anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Tells whether another process of a worker's name has opened a session after one.
    pub(crate) fn has_replaced(&self, new: &NewSession, from: SessionId) -> bool {
        let mut later = self.sessions.iter().filter(|(id, _)| **id > from);
        later.any(|(_, session)| session.worker == new.worker && session.instance != new.instance)
    }

    /// Tells whether batches of a run may turn out to be held, so that none is begun anew now.
    pub(crate) fn awaits(&self, run: RunId) -> bool {
        self.awaiting.contains(&run)
    }

    /// Lets batches be begun whoever may hold them; returns the runs that were waiting.
    pub(crate) fn stop_waiting(&mut self) -> BTreeSet<RunId> {
        std::mem::take(&mut self.awaiting)
    }

    /// Tells whether one of them may hold leases of a run.
    pub(crate) fn may_go_on_with(&self, run: RunId) -> bool {
        !self.sessions.is_empty() && self.runs.contains(&run)
    }

    /// Returns how many permits they may hold.
    pub(crate) fn units(&self) -> u32 {
        self.sessions.values().map(|session| session.slots).sum()
    }
}
