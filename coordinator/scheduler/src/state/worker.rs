//! A worker's session: its slots, the leases it holds, and how long they live.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use common::ids::{BatchId, LeaseId, OpId, RunId, SessionId, WorkerName};
use common::job::Job;
use common::time::Time;

use crate::interface::config::Config;
use crate::interface::event::NewSession;

/// How many leases wait for a permit behind each slot at least, to hide the way to the coordinator and back.
const QUEUED_PER_SLOT: u64 = 4;
/// For how long the leases that wait at a worker are to last: reports of brief chains are collected, and on a busy machine
/// the coordinator may be given a processor only some milliseconds later.
const AHEAD_NANOS: u64 = 20_000_000;
/// How many leases wait for a permit at a worker at the most.
const MAX_QUEUED: u64 = 1_024;

/// One connected incarnation of a worker.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) worker: WorkerName,
    /// What tells its process from another one of the same name, and which of the process' hellos began it.
    pub(crate) instance: String,
    pub(crate) hello: u64,
    /// The session that its process began with, in this or a former generation.
    pub(crate) began_as: SessionId,
    pub(crate) slots: NonZeroU32,
    pub(crate) ops: BTreeSet<String>,
    pub(crate) exchange_address: String,
    pub(crate) phase: SessionPhase,
    pub(crate) last_heard: Time,
    /// Every lease it holds, with and without a permit.
    pub(crate) leases: BTreeSet<LeaseId>,
    /// How many of them hold a permit: the slots in use.
    pub(crate) busy: u32,
    /// How long its chains take, the last ones counting most; `None` before the first brief one.
    chain_nanos: Option<u64>,
    /// The runs it was told of.
    pub(crate) open_runs: BTreeSet<RunId>,
    /// The batches whose data is parked on it.
    pub(crate) parked: BTreeSet<(RunId, BatchId)>,
    /// The batches (or runs) whose parts it is putting in place.
    pub(crate) publishing: BTreeSet<LeaseId>,
    /// How many reports of it were taken, and how many leases have ended since it was told that reports are durable.
    pub(crate) reports: u64,
    pub(crate) unsettled: u32,
    /// Its free slots as the index of idle sessions knows them.
    pub(crate) indexed_free: u32,
    /// Its slots as the number of live slots counts them.
    pub(crate) indexed_live: u32,
}

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionPhase {
    /// Its record is not durable yet.
    Opening,
    /// It takes leases.
    Live,
    /// It takes none, and leaves when it holds nothing.
    Draining,
    /// Its connection broke; the leases live on.
    Disconnected { drains: Drains, since: Time },
    /// It commits nothing any more; its permits are freed when its leases are certainly over.
    Fenced,
}

/// Whether a disconnected session was draining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drains {
    Yes,
    No,
}

impl Session {
    /// Makes a session that is not durable yet.
    pub(crate) fn new(new: NewSession, now: Time) -> Session {
        Session {
            id: new.session,
            worker: new.worker,
            instance: new.instance,
            hello: new.hello,
            began_as: new.reattached.map_or(new.session, |reattached| reattached.from),
            slots: new.slots,
            ops: new.ops,
            exchange_address: new.exchange_address,
            phase: SessionPhase::Opening,
            last_heard: now,
            leases: BTreeSet::new(),
            busy: 0,
            chain_nanos: None,
            open_runs: BTreeSet::new(),
            parked: BTreeSet::new(),
            publishing: BTreeSet::new(),
            reports: 0,
            unsettled: 0,
            indexed_free: 0,
            indexed_live: 0,
        }
    }

    /// Returns how many more permits it can take.
    pub(crate) fn free_slots(&self) -> u32 {
        match self.phase {
            SessionPhase::Live => self.slots.get().saturating_sub(self.busy),
            SessionPhase::Opening
            | SessionPhase::Draining
            | SessionPhase::Disconnected { .. }
            | SessionPhase::Fenced => 0,
        }
    }

    /// Returns how many of its leases wait for a permit.
    pub(crate) fn queued(&self) -> usize {
        self.leases.len().saturating_sub(self.busy as usize)
    }

    /// Returns how many leases may wait for a permit at it.
    pub(crate) fn queue_bound(&self) -> usize {
        let lasting = self.chain_nanos.map_or(0, |nanos| AHEAD_NANOS / nanos.max(1));
        let per_slot = lasting.clamp(QUEUED_PER_SLOT, MAX_QUEUED);
        (u64::from(self.slots.get()) * per_slot).min(MAX_QUEUED) as usize
    }

    /// Notes how long a chain took.
    pub(crate) fn note_chain(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).min(AHEAD_NANOS);
        self.chain_nanos = Some(match self.chain_nanos {
            Some(before) => (before * 7 + nanos) / 8,
            None => nanos,
        });
    }

    /// Tells whether it can be given an op of a job. What a worker without an exchange makes cannot go on elsewhere, so
    /// it has to be able to finish what it begins.
    pub(crate) fn can_do(&self, job: &Job, op: OpId) -> bool {
        let knows = |op: OpId| self.ops.contains(job.op(op).kind.name());
        let cannot_be_fetched_from = self.exchange_address.is_empty();
        knows(op) && (!cannot_be_fetched_from || job.op_ids().skip(op.index()).all(knows))
    }

    /// Returns how many slots it adds to the cluster: all of them while it takes leases.
    pub(crate) fn live_slots(&self) -> u32 {
        match self.phase {
            SessionPhase::Live => self.slots.get(),
            SessionPhase::Opening
            | SessionPhase::Draining
            | SessionPhase::Disconnected { .. }
            | SessionPhase::Fenced => 0,
        }
    }

    /// Tells whether other workers can fetch from it. One that has connected again after a restart and whose record is not durable
    /// yet serves what it kept.
    pub(crate) fn serves(&self) -> bool {
        match self.phase {
            SessionPhase::Opening | SessionPhase::Live | SessionPhase::Draining => true,
            SessionPhase::Disconnected { .. } | SessionPhase::Fenced => false,
        }
    }

    /// Tells whether messages reach it.
    pub(crate) fn is_connected(&self) -> bool {
        match self.phase {
            SessionPhase::Live | SessionPhase::Draining => true,
            SessionPhase::Opening | SessionPhase::Disconnected { .. } | SessionPhase::Fenced => false,
        }
    }

    /// Returns when its leases are certainly over if it is not heard again.
    pub(crate) fn deadline(&self, config: &Config) -> Time {
        self.last_heard + config.lease_time + config.lease_margin
    }

    /// Tells whether a draining session works on nothing; batches may be parked on it.
    pub(crate) fn is_idle_and_draining(&self) -> bool {
        self.phase == SessionPhase::Draining && self.leases.is_empty() && self.publishing.is_empty()
    }
}
