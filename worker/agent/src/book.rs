//! The book of leases: who waits, who has a permit, and who runs in which slot.
//!
//! Leases with a permit wait here for a slot, first come, first served. The chains of leases without one wait at the
//! executor, first come, first served within their run; which one a slot took is heard of later, and then entered here.
//! Makes no reports and knows no time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use common::ids::{LeaseId, RunId};

use crate::action::Chain;
use crate::lease::{Course, Lease, LeaseState, Why};

/// The leases of the session, and the chains that are left over from a session before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    /// The leases of the session.
    pub(crate) leases: BTreeMap<LeaseId, Lease>,
    /// Those whose chains run.
    pub(crate) in_slots: BTreeSet<LeaseId>,
    /// Those with a permit and without a slot, in the order in which they got it.
    pub(crate) permitted: VecDeque<LeaseId>,
    /// The slots in which nothing runs.
    pub(crate) free_slots: BTreeSet<u32>,
    /// Chains that were told to stop when their session was over: they hold a slot, and nobody asks for them.
    pub(crate) orphans: BTreeMap<LeaseId, Orphan>,
}

/// A chain whose session is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orphan {
    /// The slot it is in.
    pub(crate) slot: u32,
    /// The run it belonged to.
    pub(crate) run: RunId,
}

impl Book {
    /// Makes an empty book with so many slots.
    pub(crate) fn new(slots: u32) -> Book {
        Book {
            free_slots: (0..slots).collect(),
            ..Book::default()
        }
    }

    /// Takes in a lease that has no permit.
    pub(crate) fn add_waiting(&mut self, lease: Lease) {
        self.leases.insert(lease.grant.lease, lease);
    }

    /// Takes in a lease that has a permit.
    pub(crate) fn add_permitted(&mut self, lease: Lease) {
        let id = lease.grant.lease;
        self.permitted.push_back(id);
        self.leases.insert(id, lease);
    }

    /// Notes that the chain of a lease that waits is asked back.
    pub(crate) fn ask_back(&mut self, id: LeaseId, why: Why) -> AskedBack {
        let Some(lease) = self.leases.get_mut(&id) else {
            return AskedBack::NotWaiting;
        };
        match lease.state {
            LeaseState::Waiting => {
                lease.state = LeaseState::AskedBack(why);
                AskedBack::Now
            }
            LeaseState::AskedBack(before) => {
                lease.state = LeaseState::AskedBack(before.max(why));
                AskedBack::Before
            }
            LeaseState::Permitted | LeaseState::Running { .. } => AskedBack::NotWaiting,
        }
    }

    /// Gives a permit to a lease whose chain has come back.
    pub(crate) fn permit(&mut self, id: LeaseId) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.state = LeaseState::Permitted;
            self.permitted.push_back(id);
        }
    }

    /// Enters a chain that a slot took from those that wait; returns how its lease stood before.
    pub(crate) fn take(&mut self, id: LeaseId, slot: u32) -> Option<LeaseState> {
        let lease = self.leases.get_mut(&id)?;
        let course = Course::On;
        let before = std::mem::replace(&mut lease.state, LeaseState::Running { slot, course });
        self.in_slots.insert(id);
        self.free_slots.remove(&slot);
        Some(before)
    }

    /// Takes a lease out, and frees its slot.
    pub(crate) fn remove(&mut self, id: LeaseId) -> Option<Lease> {
        let lease = self.leases.remove(&id)?;
        match lease.state {
            LeaseState::Waiting | LeaseState::AskedBack(_) => {}
            LeaseState::Permitted => self.permitted.retain(|other| *other != id),
            LeaseState::Running { slot, .. } => {
                self.in_slots.remove(&id);
                self.free_slots.insert(slot);
            }
        }
        Some(lease)
    }

    /// Puts the next permitted lease into a free slot, if there are both.
    pub(crate) fn fill_slot(&mut self) -> Option<(u32, Chain)> {
        let slot = self.free_slots.first().copied()?;
        let id = self.permitted.pop_front()?;
        self.free_slots.remove(&slot);
        let lease = self.leases.get_mut(&id).expect("the queue holds leases of the book");
        lease.state = LeaseState::Running {
            slot,
            course: Course::On,
        };
        self.in_slots.insert(id);
        Some((slot, lease.chain()))
    }

    /// Sets the course of a running chain, if it goes further than that now; returns whether it did.
    pub(crate) fn restrain(&mut self, id: LeaseId, to: Course) -> Restrained {
        let Some(Lease {
            state: LeaseState::Running { course, .. },
            ..
        }) = self.leases.get_mut(&id)
        else {
            return Restrained::NotRunning;
        };
        let goes_further = match (*course, to) {
            (Course::On, Course::Truncating | Course::Stopping) | (Course::Truncating, Course::Stopping) => true,
            (Course::On | Course::Truncating | Course::Stopping, Course::On)
            | (Course::Truncating | Course::Stopping, Course::Truncating)
            | (Course::Stopping, Course::Stopping) => false,
        };
        if !goes_further {
            return Restrained::Already;
        }
        *course = to;
        Restrained::Now
    }

    /// Makes orphans of all running chains and forgets all other leases.
    pub(crate) fn abandon(&mut self) -> Abandoned {
        let mut abandoned = Abandoned::default();
        for (id, lease) in std::mem::take(&mut self.leases) {
            match lease.state {
                LeaseState::Waiting => abandoned.to_take_back.push(id),
                LeaseState::AskedBack(_) | LeaseState::Permitted => {}
                LeaseState::Running { slot, course } => {
                    if course != Course::Stopping {
                        abandoned.to_stop.push(id);
                    }
                    let run = lease.grant.run;
                    self.orphans.insert(id, Orphan { slot, run });
                }
            }
        }
        self.in_slots.clear();
        self.permitted.clear();
        abandoned
    }

    /// Notes that an orphan has ended, and frees its slot.
    pub(crate) fn remove_orphan(&mut self, id: LeaseId) -> Option<Orphan> {
        let orphan = self.orphans.remove(&id)?;
        self.free_slots.insert(orphan.slot);
        Some(orphan)
    }

    /// Makes an orphan of a chain that the slot of another one took after its lease was forgotten.
    pub(crate) fn add_orphan(&mut self, id: LeaseId, orphan: Orphan) {
        self.leases.remove(&id);
        self.free_slots.remove(&orphan.slot);
        self.orphans.insert(id, orphan);
    }

    /// Returns the leases without a running chain, those without a permit first.
    pub(crate) fn not_started(&self) -> Vec<LeaseId> {
        if !self.has_not_started() {
            return Vec::new();
        }
        let waits = |lease: &Lease| matches!(lease.state, LeaseState::Waiting | LeaseState::AskedBack(_));
        let waiting = self.leases.iter().filter(|(_, lease)| waits(lease)).map(|(id, _)| id);
        waiting.chain(&self.permitted).copied().collect()
    }

    /// Tells whether there is a lease without a running chain.
    pub(crate) fn has_not_started(&self) -> bool {
        self.leases.len() > self.in_slots.len()
    }

    /// Returns the leases whose chains run.
    pub(crate) fn running(&self) -> impl Iterator<Item = (LeaseId, Course)> + '_ {
        self.in_slots.iter().filter_map(|id| match self.leases.get(id)?.state {
            LeaseState::Running { course, .. } => Some((*id, course)),
            LeaseState::Waiting | LeaseState::AskedBack(_) | LeaseState::Permitted => None,
        })
    }

    /// Tells whether no chain runs, orphans counted.
    pub(crate) fn is_idle(&self) -> bool {
        self.orphans.is_empty() && self.in_slots.is_empty()
    }
}

/// What the end of a session leaves to be done about its chains.
#[derive(Debug, Default)]
pub(crate) struct Abandoned {
    /// Chains that run and that nobody told to stop.
    pub(crate) to_stop: Vec<LeaseId>,
    /// Chains that wait and that nobody asked back.
    pub(crate) to_take_back: Vec<LeaseId>,
}

/// What came of asking a chain back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskedBack {
    /// It waits, and nobody asked before.
    Now,
    /// Somebody had asked before.
    Before,
    /// Its lease has a permit, or is gone.
    NotWaiting,
}

/// What came of restraining a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restrained {
    /// It was on a longer course before.
    Now,
    /// It was on that course already, or on a shorter one.
    Already,
    /// No chain of that lease runs.
    NotRunning,
}
