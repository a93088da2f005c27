//! The book of leases: who waits behind whom, who has a permit, and who runs in which slot.
//!
//! Owns the order: leases without a permit wait first come, first served within their run; leases with a permit wait
//! first come, first served for a slot. Makes no reports and knows no time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use common::ids::{LeaseId, RunId};

use crate::action::Chain;
use crate::lease::{Course, Lease, LeaseState};

/// The leases of the session, and the chains that are left over from a session before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    /// The leases of the session.
    pub(crate) leases: BTreeMap<LeaseId, Lease>,
    /// Those without a permit, by run, in the order of their grants; no queue is empty.
    pub(crate) waiting: BTreeMap<RunId, VecDeque<LeaseId>>,
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
        let id = lease.grant.lease;
        self.waiting.entry(lease.grant.run).or_default().push_back(id);
        self.leases.insert(id, lease);
    }

    /// Takes in a lease that has a permit.
    pub(crate) fn add_permitted(&mut self, lease: Lease) {
        let id = lease.grant.lease;
        self.permitted.push_back(id);
        self.leases.insert(id, lease);
    }

    /// Gives a permit to a lease that waits for one.
    pub(crate) fn permit(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if lease.state != LeaseState::Waiting {
            return;
        }
        lease.state = LeaseState::Permitted;
        let run = lease.grant.run;
        self.leave_queue(run, id);
        self.permitted.push_back(id);
    }

    /// Takes a lease out, and frees its slot.
    pub(crate) fn remove(&mut self, id: LeaseId) -> Option<Lease> {
        let lease = self.leases.remove(&id)?;
        match lease.state {
            LeaseState::Waiting => self.leave_queue(lease.grant.run, id),
            LeaseState::Permitted => self.permitted.retain(|other| *other != id),
            LeaseState::Running { slot, .. } => {
                self.free_slots.insert(slot);
            }
        }
        Some(lease)
    }

    /// Returns the lease of a run that is the next to get a permit.
    pub(crate) fn first_waiting(&self, run: RunId) -> Option<LeaseId> {
        self.waiting.get(&run)?.front().copied()
    }

    /// Puts the next permitted lease into a free slot, if there are both.
    pub(crate) fn fill_slot(&mut self) -> Option<Chain> {
        let slot = self.free_slots.first().copied()?;
        let id = self.permitted.pop_front()?;
        self.free_slots.remove(&slot);
        let lease = self.leases.get_mut(&id).expect("the queue holds leases of the book");
        lease.state = LeaseState::Running {
            slot,
            course: Course::On,
        };
        Some(lease.chain(slot))
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

    /// Makes orphans of all running chains and forgets all other leases; returns the chains that nobody told to stop.
    pub(crate) fn abandon(&mut self) -> Vec<LeaseId> {
        let mut to_stop = Vec::new();
        for (id, lease) in std::mem::take(&mut self.leases) {
            let LeaseState::Running { slot, course } = lease.state else {
                continue;
            };
            if course != Course::Stopping {
                to_stop.push(id);
            }
            let run = lease.grant.run;
            self.orphans.insert(id, Orphan { slot, run });
        }
        self.waiting.clear();
        self.permitted.clear();
        to_stop
    }

    /// Notes that an orphan has ended, and frees its slot.
    pub(crate) fn remove_orphan(&mut self, id: LeaseId) -> Option<Orphan> {
        let orphan = self.orphans.remove(&id)?;
        self.free_slots.insert(orphan.slot);
        Some(orphan)
    }

    /// Returns the leases without a running chain, those without a permit first.
    pub(crate) fn not_started(&self) -> Vec<LeaseId> {
        let waiting = self.waiting.values().flatten();
        waiting.chain(&self.permitted).copied().collect()
    }

    /// Returns the leases whose chains run.
    pub(crate) fn running(&self) -> impl Iterator<Item = (LeaseId, Course)> + '_ {
        self.leases.iter().filter_map(|(id, lease)| match lease.state {
            LeaseState::Running { course, .. } => Some((*id, course)),
            LeaseState::Waiting | LeaseState::Permitted => None,
        })
    }

    /// Tells whether no chain runs, orphans counted.
    pub(crate) fn is_idle(&self) -> bool {
        self.orphans.is_empty() && self.running().next().is_none()
    }

    fn leave_queue(&mut self, run: RunId, id: LeaseId) {
        let Some(queue) = self.waiting.get_mut(&run) else {
            return;
        };
        queue.retain(|other| *other != id);
        if queue.is_empty() {
            self.waiting.remove(&run);
        }
    }
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
