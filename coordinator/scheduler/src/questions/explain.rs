//! Explaining: why nothing more of a run begins now. What is in the way is what granting finds there too
//! ([`crate::rules::obstacles`]), so an explanation cannot say what is not so.

use common::explain::{Explanation, Obstacle, OpExplanation};
use common::ids::{OpId, RunId};
use common::job::Job;

use crate::journal::run_ledger::Hold;
use crate::rules::admission::{Refusal, may_begin};
use crate::scheduler::Scheduler;
use crate::state::batch::{Batch, BatchPhase, Place};
use crate::state::lease::Permit;
use crate::state::run::Run;
use crate::state::run::finish::FinishPhase;

impl Scheduler {
    /// Explains why nothing more of a run begins now.
    pub fn explain(&self, run: RunId) -> Option<Explanation> {
        let run = self.runs.get(&run)?;
        let ops = run.job.op_ids().map(|op| self.explain_op(run, op));
        Some(Explanation {
            run: run.id,
            state: run.state(),
            ops: ops.collect(),
        })
    }

    fn explain_op(&self, run: &Run, op: OpId) -> OpExplanation {
        let is_extract = op == OpId::EXTRACT;
        let ready = run.ready.waiting_for(op).len() + run.returning_to(op);
        let unbegun = if is_extract {
            run.slices.len() + run.queued.len()
        } else {
            0
        };
        let finishing = run
            .finish
            .iter()
            .filter(|finish| finish.op == op && finish.phase == FinishPhase::Ready && run.may_finish());
        let in_backoff = run.batches.values().filter_map(|batch| match batch.phase {
            BatchPhase::Backoff { until, .. } if batch.failed_op() == op => Some(until),
            BatchPhase::Backoff { .. }
            | BatchPhase::Ready
            | BatchPhase::Returning
            | BatchPhase::Checkpointing
            | BatchPhase::Halving { .. }
            | BatchPhase::Halved
            | BatchPhase::Queued(_)
            | BatchPhase::Leased(_)
            | BatchPhase::Committing { .. }
            | BatchPhase::Publishing => None,
        });
        // A lease that is told of at its end only runs its first op for all that is known.
        let running = self.leases.values().filter(|lease| {
            let known = lease.running.map(|running| running.step);
            let assumed = || {
                lease
                    .next_step()
                    .filter(|_| lease.permit == Permit::Held && lease.started == 0)
            };
            lease.run == run.id && known.or_else(assumed).is_some_and(|step| step.op == op)
        });
        let waiting = ready + unbegun + finishing.count();
        OpExplanation {
            op,
            waiting: waiting as u64,
            running: running.count() as u64,
            in_backoff: in_backoff.clone().count() as u64,
            next_retry: in_backoff.min(),
            obstacles: if waiting == 0 {
                vec![Obstacle::NothingWaits]
            } else {
                self.obstacles(run, op)
            },
        }
    }

    /// Returns everything that is in the way of an op for which something waits.
    fn obstacles(&self, run: &Run, op: OpId) -> Vec<Obstacle> {
        let mut found = Vec::new();
        if run.hold == Hold::Paused {
            found.push(Obstacle::Paused);
        }
        found.extend(self.coordinator_obstacle());
        found.extend(self.run_obstacle(run));
        found.extend(self.op_obstacle(run, op));
        let first = run
            .ready
            .waiting_for(op)
            .first()
            .and_then(|batch| run.batches.get(batch).map(Box::as_ref));
        if first.is_none() && op == OpId::EXTRACT && run.finish.is_empty() {
            found.extend(self.admission_obstacle(run));
        }
        if first.is_none() && run.returning_to(op) > 0 {
            found.push(self.in_flight_obstacle(run).unwrap_or_else(|| bytes_obstacle(run)));
        }
        for obstacle in &mut found {
            if let Obstacle::Pool { pool, holders, .. } = obstacle {
                *holders = self.holders(pool);
            }
        }
        if self.place(run, op, first).is_none() {
            found.push(self.place_obstacle(&run.job, op, first));
        }
        found
    }

    /// Tells whether admission is in the way of a run's next batch.
    fn admission_obstacle(&self, run: &Run) -> Option<Obstacle> {
        let schedule = &run.job.schedule;
        match may_begin(run, self.cap_in_force(run)) {
            Ok(()) | Err(Refusal::NoSlice) => None,
            Err(Refusal::NotActive) => Some(Obstacle::BeginsNoBatch),
            Err(Refusal::Checkpointing) => Some(Obstacle::Checkpointing {
                batches: run.checkpointing,
            }),
            Err(Refusal::InFlight) => self.in_flight_obstacle(run),
            Err(Refusal::Bytes | Refusal::Returning) => Some(bytes_obstacle(run)),
            Err(Refusal::Committing) => Some(Obstacle::Committing {
                bound: u64::from(schedule.max_committing.get()),
                now: run.gauges.committing.now,
            }),
        }
    }

    fn in_flight_obstacle(&self, run: &Run) -> Option<Obstacle> {
        let bound = run.job.schedule.in_flight_bound(self.cap_in_force(run))?;
        let now = run.gauges.in_flight.now;
        (now >= bound).then_some(Obstacle::BatchesInFlight { bound, now })
    }

    /// Says why no worker could take an op.
    fn place_obstacle(&self, job: &Job, op: OpId, batch: Option<&Batch>) -> Obstacle {
        if self.live_slots == 0 {
            return Obstacle::NoWorkers;
        }
        let live = || self.sessions.values().filter(|session| session.live_slots() > 0);
        if !live().any(|session| session.can_do(job, op)) {
            return Obstacle::NoWorkerWithOp;
        }
        if let Some(Place::Parked { session, .. }) = batch.map(|batch| &batch.place)
            && !self.sessions.get(session).is_some_and(|holder| holder.is_connected())
        {
            return Obstacle::HolderIsAway;
        }
        Obstacle::NoFreeSlot { slots: self.live_slots }
    }
}

fn bytes_obstacle(run: &Run) -> Obstacle {
    Obstacle::BytesInFlight {
        bound: run.job.schedule.in_flight_bytes_bound().unwrap_or(u64::MAX),
        now: run.gauges.bytes.now,
    }
}
