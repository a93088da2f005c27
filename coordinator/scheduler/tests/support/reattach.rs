//! Workers that outlive the coordinator: they say what they hold, and go on.

use common::done::DoneOp;
use common::holdings::{HeldBatch, HeldCourse, HeldLease, HeldState, Holdings};
use scheduler::Reattached;

use super::*;

impl World {
    /// Ends the coordinator's process and starts it again on its journal; every worker that lives says what it holds
    /// and goes on with it.
    pub fn restart_under_workers(&mut self) {
        let listings: BTreeMap<SessionId, Holdings> = self.workers.keys().map(|id| (*id, self.listing(*id))).collect();
        let former = self.crash();
        for (from, worker) in former.into_iter().filter(|(_, worker)| worker.alive) {
            let holdings = listings[&from].clone();
            self.reattach(from, &worker.name, worker.slots, holdings);
        }
    }

    /// Ends the coordinator's process and starts it again on its journal; no worker has come back yet.
    pub fn restart_apart(&mut self) {
        self.crash();
    }

    /// Connects another process of a worker's name.
    pub fn worker_of_other_process(&mut self, name: &str, slots: u32) -> SessionId {
        self.process = "another process";
        let session = self.connect(name, slots, &OpKind::NAMES, None);
        self.process = "process";
        session
    }

    /// Lets a hello arrive that a worker said before the one that its session began with.
    pub fn late_hello(&mut self, name: &str, slots: u32) -> SessionId {
        self.hello = 0;
        let session = self.connect(name, slots, &OpKind::NAMES, None);
        self.hello = 1;
        session
    }

    /// Connects a worker that goes on with what it holds.
    pub fn reattach(&mut self, from: SessionId, name: &str, slots: u32, holdings: Holdings) -> SessionId {
        let held = holdings.leases.clone();
        let session = self.connect(name, slots, &OpKind::NAMES, Some(Reattached { from, holdings }));
        for held in held {
            let HeldState::Running { slot, .. } = &held.state else {
                continue;
            };
            let batch = held.batch.as_ref();
            let grant = Grant {
                lease: held.lease,
                run: held.run,
                batch: batch.map(|batch| batch.id),
                steps: held.steps.clone().into(),
                input: batch.map_or(Input::Committed, |batch| Input::Slice(batch.slice.clone())),
                past: None,
                start: Start::Now,
            };
            let place = held.started as usize - 1;
            let wait = self.duration(&grant, held.steps[place].op);
            let Some(worker) = self.workers.get_mut(&session) else {
                return session;
            };
            if self.revoked.remove(&held.lease) {
                self.end_revoked(session, held.lease, held.steps[place].op);
                continue;
            }
            worker.free.remove(slot);
            let lease = SimLease {
                grant,
                slot: *slot,
                truncated: false,
            };
            worker.leases.insert(held.lease, lease);
            self.schedule(self.now + wait, Happening::StepEnd(session, held.lease, place));
        }
        session
    }

    /// Returns what a worker would say that it holds now: the leases whose ops run.
    pub fn listing(&self, session: SessionId) -> Holdings {
        let worker = &self.workers[&session];
        let leases = worker
            .leases
            .values()
            .filter_map(|held| self.held_lease(held))
            .collect();
        Holdings {
            runs: self.scheduler.runs().collect(),
            leases,
            outputs: Vec::new(),
        }
    }

    fn held_lease(&self, held: &SimLease) -> Option<HeldLease> {
        let grant = &held.grant;
        let place = self.agenda.values().find_map(|happening| match happening {
            Happening::StepEnd(_, lease, place) if *lease == grant.lease => Some(*place),
            Happening::Step(..) | Happening::StepEnd(..) | Happening::Tell(_) | Happening::Timeout => None,
        })?;
        let batch = grant.batch.map(|id| HeldBatch {
            id,
            slice: match &grant.input {
                Input::Slice(slice) => slice.clone(),
                Input::Local(_) | Input::Remote(_) | Input::Checkpoint(_) | Input::Committed => {
                    self.whole_sources[&grant.run][id.index as usize].clone()
                }
            },
        });
        let rows = batch.as_ref().and_then(|batch| batch.slice.rows()).unwrap_or(0);
        let did = OpDone {
            rows_in: rows,
            rows_out: rows,
            bytes_held: rows * ROW_BYTES,
            ..OpDone::default()
        };
        let before = if batch.is_some() { grant.steps[place].op.0 } else { 0 };
        let done = (0..before).map(|op| DoneOp {
            op: OpId(op),
            did: did.clone(),
        });
        Some(HeldLease {
            lease: grant.lease,
            run: grant.run,
            batch,
            steps: grant.steps.to_vec(),
            started: place as u32 + 1,
            done: done.collect(),
            begun_at: grant.past.as_ref().and_then(|past| past.begun_at.clone()),
            state: HeldState::Running {
                slot: held.slot,
                since: Some(self.now),
                fetch_started: self.fetches.get(&grant.lease).copied().filter(|_| place == 0),
                course: if held.truncated {
                    HeldCourse::Truncating
                } else {
                    HeldCourse::On
                },
            },
        })
    }

    fn end_revoked(&mut self, session: SessionId, lease: LeaseId, op: OpId) {
        let outcome = OpOutcome::Failed(Failure::cancelled());
        let at = self.now;
        self.report(session, Report::OpEnded { lease, op, at, outcome });
        let (end, permit) = (LeaseEnd::Stopped, PermitFate::Returned);
        self.report(session, Report::LeaseEnded { lease, end, permit });
    }
}
