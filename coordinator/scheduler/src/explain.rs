//! Explaining: why nothing more of a run begins now, and the predicates of [`crate::grant`] that say so.
//!
//! Each bound has one predicate, which names what is in the way ([`Obstacle`]) or nothing. Granting asks whether there is
//! one; explaining shows them all. So an explanation cannot say what is not so.

use common::explain::{Explanation, Obstacle, OpExplanation};
use common::ids::{BatchId, OpId, RunId};
use common::job::Job;

use crate::admission::{Refusal, may_begin};
use crate::batch::{Batch, BatchPhase, Place};
use crate::lease::Permit;
use crate::ledger::Hold;
use crate::rates::{TokenWait, tokens_for};
use crate::run::{FinishPhase, Run};
use crate::scheduler::Scheduler;

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
            .filter(|finish| finish.op == op && finish.phase == FinishPhase::Ready);
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

    /// Tells whether the coordinator's cap is in the way of another permit.
    pub(crate) fn coordinator_obstacle(&self) -> Option<Obstacle> {
        let cap = self.config.global_cap?.get();
        let used = self.units + self.former.units();
        (used >= cap).then_some(Obstacle::CoordinatorCap { cap, used })
    }

    /// Tells whether a run's own cap is in the way of another permit.
    pub(crate) fn run_obstacle(&self, run: &Run) -> Option<Obstacle> {
        let cap = run.job.schedule.max_concurrent?.get();
        let used = run.units + self.former.units();
        (used >= cap).then_some(Obstacle::RunCap { cap, used })
    }

    /// Tells whether a limit, a pool or the rate of an op is in the way of another of its tasks.
    pub(crate) fn op_obstacle(&self, run: &Run, op: OpId) -> Option<Obstacle> {
        if !run.job.op(op).has_own_limit() {
            return None;
        }
        let first = run.ready.waiting_for(op).first();
        let rate = || first.and_then(|first| self.rate_obstacle(run, op, *first));
        self.unit_obstacle(run, op).or_else(rate)
    }

    /// Tells whether a limit or a pool of an op is in the way of another of its tasks. Who holds the pool is left out.
    pub(crate) fn unit_obstacle(&self, run: &Run, op: OpId) -> Option<Obstacle> {
        let unknown = self.former.units();
        let of_job = run.job.op(op);
        if let Some(limit) = of_job.max_concurrent.map(std::num::NonZeroU32::get) {
            let used = run.op_units[op.index()] + unknown;
            if used >= limit {
                return Some(Obstacle::OpLimit { limit, used });
            }
        }
        of_job.pools.iter().find_map(|name| {
            let pool = self.pools.get(name)?;
            let (limit, used) = (pool.limit.get(), pool.used + unknown);
            (used >= limit).then(|| Obstacle::Pool {
                pool: name.clone(),
                limit,
                used,
                holders: Vec::new(),
            })
        })
    }

    /// Tells whether the rate of an op is in the way of a batch that waits for it.
    pub(crate) fn rate_obstacle(&self, run: &Run, op: OpId, batch: BatchId) -> Option<Obstacle> {
        let bucket = run.buckets.get(&op)?;
        let tokens = tokens_for(run, op, batch, &bucket.rate);
        let next = match bucket.may_promise(tokens, self.now) {
            Ok(()) => return None,
            Err(TokenWait::Until(at)) => Some(at),
            Err(TokenWait::ForStarts) => None,
        };
        Some(Obstacle::Rate {
            rate: bucket.rate,
            next,
        })
    }

    /// Tells whether admission is in the way of a run's next batch.
    fn admission_obstacle(&self, run: &Run) -> Option<Obstacle> {
        let schedule = &run.job.schedule;
        match may_begin(run, self.cap_in_force(run)) {
            Ok(()) | Err(Refusal::NoSlice) => None,
            Err(Refusal::NotActive) => Some(Obstacle::BeginsNoBatch),
            Err(Refusal::Checkpointing) => Some(Obstacle::NoFreeSlot { slots: self.live_slots }),
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
