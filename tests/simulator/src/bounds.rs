//! What may run at once under a limit that changes: the limit, or what was held when it was lowered.
//!
//! A limit that was asked for counts from when its record is durable: a higher one may be used from then on, and a lower
//! one binds what is granted from when the coordinator knows that it is durable. What is held follows from what was sent to
//! workers and what they reported, and from nothing that the scheduler says.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::{LeaseId, OpId, RunId, SessionId};
use common::message::{PermitFate, Report};
use scheduler::RecordSequence;

/// A limit, and what may be in use of it.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// The limit that the coordinator knows to be durable; none is no bound.
    in_force: Option<u32>,
    /// Limits that are durable, in order, and that the coordinator does not know to be.
    untold: Vec<(RecordSequence, Option<u32>)>,
    /// What may be in use: the limit, or what was held when it was lowered.
    allowed: Option<u32>,
    /// Every limit that was ever durable.
    ever: BTreeSet<Option<u32>>,
}

/// Whether it is known what workers hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Yes,
    /// The coordinator is down, or was started a moment ago.
    No,
}

impl Bound {
    pub(crate) fn new(limit: Option<u32>) -> Bound {
        Bound {
            in_force: limit,
            untold: Vec::new(),
            allowed: limit,
            ever: BTreeSet::from([limit]),
        }
    }

    /// Returns the limit that the coordinator knows to be durable.
    pub(crate) fn in_force(&self) -> Option<u32> {
        self.in_force
    }

    /// Returns how much may be in use now.
    pub(crate) fn allowed(&self) -> Option<u32> {
        self.allowed
    }

    /// Tells whether a limit was durable once.
    pub(crate) fn was_durable(&self, limit: Option<u32>) -> bool {
        self.ever.contains(&limit)
    }

    /// Notes a limit that is durable.
    pub(crate) fn note(&mut self, sequence: RecordSequence, limit: Option<u32>) {
        self.untold.push((sequence, limit));
        self.ever.insert(limit);
        self.allowed = self.allowed.zip(limit).map(|(allowed, limit)| allowed.max(limit));
    }

    /// Notes that the coordinator knows what is durable.
    pub(crate) fn tell(&mut self, told: RecordSequence) {
        let known = self.untold.iter().take_while(|(sequence, _)| *sequence <= told).count();
        if let Some((_, last)) = self.untold.drain(..known).next_back() {
            self.in_force = last;
        }
    }

    /// Lowers what may be in use to the limit, or to what is held above it.
    pub(crate) fn settle(&mut self, held: u32, known: Known) {
        let highest = self.untold.iter().fold(self.in_force, |highest, (_, limit)| {
            highest.zip(*limit).map(|(one, other)| one.max(other))
        });
        self.allowed = highest.map(|limit| match (self.allowed, known) {
            (Some(allowed), Known::No) => limit.max(allowed),
            (Some(allowed), Known::Yes) => limit.max(allowed.min(held)),
            (None, Known::No) => u32::MAX,
            (None, Known::Yes) => limit.max(held),
        });
    }
}

/// The leases that workers have a permit for, as messages and reports say.
#[derive(Debug, Default)]
pub(crate) struct Out {
    leases: BTreeMap<LeaseId, OutLease>,
}

#[derive(Debug)]
struct OutLease {
    session: SessionId,
    run: RunId,
    /// The op that runs, or that it begins with; none between two ops.
    at: Option<OpId>,
}

impl Out {
    /// Notes a lease that a worker may start, or that it said it holds.
    pub(crate) fn add(&mut self, lease: LeaseId, session: SessionId, run: RunId, at: Option<OpId>) {
        self.leases.insert(lease, OutLease { session, run, at });
    }

    /// Forgets what is known: the coordinator was started again.
    pub(crate) fn clear(&mut self) {
        self.leases.clear();
    }

    /// Notes that what a session held is certainly over.
    pub(crate) fn close(&mut self, session: SessionId) {
        self.leases.retain(|_, lease| lease.session != session);
    }

    /// Notes what a worker reports; its next chain may start with the permit of one that ended.
    pub(crate) fn report(
        &mut self,
        session: SessionId,
        report: &Report,
        first_op: impl Fn(LeaseId) -> Option<(RunId, OpId)>,
    ) {
        let mut pass_on = |heir: Option<LeaseId>| {
            if let Some((heir, (run, op))) = heir.and_then(|heir| Some((heir, first_op(heir)?))) {
                self.add(heir, session, run, Some(op));
            }
        };
        match report {
            Report::OpStarted { lease, op, .. } => self.place(*lease, Some(*op)),
            Report::OpEnded { lease, .. } => self.place(*lease, None),
            Report::LeaseEnded { lease, permit, .. } => {
                if let PermitFate::PassedTo(heir) = permit {
                    pass_on(Some(*heir));
                }
                self.leases.remove(lease);
            }
            Report::ChainRan(ran) => {
                pass_on(ran.heir);
                self.leases.remove(&ran.lease);
            }
            Report::FetchStarted { .. }
            | Report::Truncated { .. }
            | Report::Published { .. }
            | Report::PublishFailed { .. }
            | Report::Draining => {}
        }
    }

    fn place(&mut self, lease: LeaseId, at: Option<OpId>) {
        if let Some(lease) = self.leases.get_mut(&lease) {
            lease.at = at;
        }
    }

    /// Counts all of them.
    pub(crate) fn all(&self) -> u32 {
        self.leases.len() as u32
    }

    /// Returns those of a run.
    pub(crate) fn leases_of(&self, run: RunId) -> BTreeSet<LeaseId> {
        let of_run = self.leases.iter().filter(|(_, lease)| lease.run == run);
        of_run.map(|(id, _)| *id).collect()
    }

    /// Counts those of a run.
    pub(crate) fn of_run(&self, run: RunId) -> u32 {
        self.leases.values().filter(|lease| lease.run == run).count() as u32
    }

    /// Counts those that are at certain ops.
    pub(crate) fn at(&self, is_meant: impl Fn(RunId, OpId) -> bool) -> u32 {
        let here = self
            .leases
            .values()
            .filter(|lease| lease.at.is_some_and(|op| is_meant(lease.run, op)));
        here.count() as u32
    }
}
