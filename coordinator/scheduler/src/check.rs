//! The invariants, recomputed from scratch: what the counts say must be what the entities are.
//!
//! Run after every step of every test. Each has an id and one sentence; the ids are those of the reliability notes.

use std::collections::BTreeMap;
use std::fmt;

use crate::journal::run_ledger::Hold;
use crate::scheduler::Scheduler;
use crate::state::batch::{BatchPhase, Place};
use crate::state::cap::Cap;
use crate::state::lease::{Permit, Standing};
use crate::state::run::finish::{FinishOp, FinishPhase};
use crate::state::run::{Run, RunPhase};
use crate::state::turn::turn_of;
use crate::state::worker::SessionPhase;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its id.
    pub invariant: &'static str,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.found)
    }
}

impl Scheduler {
    /// Recomputes every invariant, and returns those that do not hold.
    pub fn check(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut require = |holds: bool, invariant: &'static str, text: &dyn Fn() -> String| {
            if !holds {
                found.push(Violation {
                    invariant,
                    found: text(),
                });
            }
        };
        self.check_permits(&mut require);
        self.check_leases(&mut require);
        self.check_pools(&mut require);
        for run in self.runs.values() {
            self.check_run(run, &mut require);
        }
        self.check_lost_processes(&mut require);
        found
    }

    /// POISON: a process that a batch has lost is known as lost, and has no session that it could take a lease in.
    fn check_lost_processes(&self, require: &mut impl FnMut(bool, &'static str, &dyn Fn() -> String)) {
        for lost in self.runs.values().flat_map(Run::lost_of_batches).flatten() {
            require(self.lost_processes.contains(lost), "POISON", &|| {
                format!("{lost} is not known as lost")
            });
        }
        for session in self
            .sessions
            .values()
            .filter(|session| session.phase != SessionPhase::Fenced)
        {
            let is_lost = self.lost_processes.contains(&session.instance);
            require(!is_lost, "POISON", &|| {
                format!("{} of a lost process is there", session.id)
            });
        }
    }

    /// CAP: permits are counted once against every cap, and no worker holds more than it has slots.
    fn check_permits(&self, require: &mut impl FnMut(bool, &'static str, &dyn Fn() -> String)) {
        let held = || self.leases.values().filter(|lease| lease.permit == Permit::Held);
        let all = held().count() as u32;
        require(all == self.units, "CAP", &|| {
            format!("{all} permits are held, {} are counted", self.units)
        });
        let mut by_session = BTreeMap::new();
        let mut by_run = BTreeMap::new();
        for lease in held() {
            *by_session.entry(lease.session).or_insert(0_u32) += 1;
            *by_run.entry(lease.run).or_insert(0_u32) += 1;
        }
        for (id, session) in &self.sessions {
            let held = by_session.get(id).copied().unwrap_or(0);
            require(held == session.busy, "CAP", &|| {
                format!("{id} holds {held} permits, {} are counted", session.busy)
            });
            require(held <= session.slots.get(), "CAP", &|| {
                format!("{id} holds {held} permits in {} slots", session.slots)
            });
        }
        for (id, run) in &self.runs {
            let held = by_run.get(id).copied().unwrap_or(0);
            require(held == run.units, "CAP", &|| {
                format!("{id} holds {held} permits, {} are counted", run.units)
            });
            let within = self.allowed(&Cap::Run(*id)).is_none_or(|allowed| held <= allowed);
            require(within, "CAP", &|| format!("{id} holds {held} permits, above its cap"));
        }
        let within = self.allowed(&Cap::Coordinator).is_none_or(|allowed| all <= allowed);
        require(within, "CAP", &|| {
            format!("{all} permits are held, above the coordinator's cap")
        });
        let live: u64 = self
            .sessions
            .values()
            .map(|session| u64::from(session.live_slots()))
            .sum();
        require(live == self.live_slots, "CAP", &|| {
            format!("{live} slots are live, {} are counted", self.live_slots)
        });
        let free = self.sessions.values().map(|session| u64::from(session.free_slots()));
        let free: u64 = free.sum();
        require(free == self.free_slots, "CAP", &|| {
            format!("{free} slots are free, {} are counted", self.free_slots)
        });
    }

    /// CAP: units of pools are counted once, over all runs, and promised tokens are those of leases.
    fn check_pools(&self, require: &mut impl FnMut(bool, &'static str, &dyn Fn() -> String)) {
        for (name, pool) in &self.pools {
            let held = self.leases.values().filter(|lease| lease.pools.contains(name)).count() as u32;
            require(held == pool.used, "CAP", &|| {
                format!("{held} units of pool {name} are held, {} are counted", pool.used)
            });
            let within = self
                .allowed(&Cap::Pool(name.clone()))
                .is_none_or(|allowed| held <= allowed);
            require(within, "CAP", &|| {
                format!("{held} units of pool {name} are held, above its limit")
            });
        }
        for (id, run) in &self.runs {
            for (op, bucket) in &run.buckets {
                let of_op = self
                    .leases
                    .values()
                    .filter(|lease| lease.run == *id && lease.limited_op == Some(*op));
                let promised: u64 = of_op.filter_map(|lease| lease.tokens).sum();
                require(promised == bucket.promised, "RATE", &|| {
                    format!(
                        "{promised} tokens of {id} op {} are promised, {} are counted",
                        op.0, bucket.promised
                    )
                });
                require(run.job.op(*op).rate == Some(bucket.rate), "RATE", &|| {
                    format!("{id} op {} has the bucket of another rate", op.0)
                });
            }
            let takes_turns = self.turns.contains(&turn_of(run));
            require(!(takes_turns && run.hold == Hold::Paused), "PAUSE", &|| {
                format!("{id} is paused and takes turns")
            });
        }
    }

    /// FENCE: a lease that counts is the one that its batch names; SINGLE WRITER: no two that count share a batch.
    fn check_leases(&self, require: &mut impl FnMut(bool, &'static str, &dyn Fn() -> String)) {
        for lease in self.leases.values() {
            let session = self.sessions.get(&lease.session);
            let known = session.is_some_and(|session| session.leases.contains(&lease.id));
            require(known, "FENCE", &|| {
                format!("{} is not among the leases of {}", lease.id, lease.session)
            });
            let counts = lease.standing == Standing::Valid;
            let Some(batch) = lease.batch else {
                let finish = self.runs.get(&lease.run).map(|run| run.finish.as_slice());
                let is_leased = |finish: &FinishOp| finish.phase == FinishPhase::Leased(lease.id);
                let is_the_one = finish.is_some_and(|finish| finish.iter().any(is_leased));
                require(is_the_one == counts, "FENCE", &|| {
                    format!(
                        "{} counts: {counts}, an op over the whole run names it: {is_the_one}",
                        lease.id
                    )
                });
                continue;
            };
            let phase = self
                .runs
                .get(&lease.run)
                .and_then(|run| run.batches.get(&batch))
                .map(|batch| batch.phase);
            let is_the_one = phase == Some(BatchPhase::Leased(lease.id)) || phase == Some(BatchPhase::Queued(lease.id));
            require(is_the_one == counts, "FENCE", &|| {
                format!("{} counts: {counts}, its batch is {phase:?}", lease.id)
            });
        }
    }

    /// EXACT COVER: a half is either open, committed, failed or cut itself; what is open waits or is begun.
    fn check_halves(&self, run: &Run, require: &mut impl FnMut(bool, &'static str, &dyn Fn() -> String)) {
        let id = run.id;
        for half in run.halves.keys() {
            let is_over = run.committed.contains(*half) || run.failed.contains_key(half);
            require(!is_over, "EXACT COVER", &|| {
                format!("{id} half {half} is open, and done")
            });
            let waits = run.slices.binary_search_by_key(half, |(slice, _)| *slice).is_ok();
            let is_somewhere = waits || run.batches.contains_key(half) || run.phase != RunPhase::Active;
            require(is_somewhere, "EXACT COVER", &|| {
                format!("{id} half {half} is open, and nowhere")
            });
        }
        let in_order = run.slices.iter().is_sorted_by(|(one, _), (next, _)| one < next);
        require(in_order, "DEPTH-FIRST", &|| format!("{id} has slices out of order"));
        let failed = run.failed.len() as u64;
        require(failed == run.batch_counts.failed, "ACCOUNT", &|| {
            format!(
                "{id} has {failed} failed batches, {} are counted",
                run.batch_counts.failed
            )
        });
        let both = run.failed.keys().find(|batch| run.committed.contains(**batch));
        require(both.is_none(), "COMMIT-ONCE", &|| {
            format!("{id} batch {both:?} has failed and is committed")
        });
    }

    /// NO-RERUN-AFTER-ACK: what goes on of a batch goes on behind its last checkpoint.
    fn check_checkpoints(&self, run: &Run, require: &mut impl FnMut(bool, &'static str, &dyn Fn() -> String)) {
        let id = run.id;
        for (batch, last) in run.inherited.iter().chain(&run.checkpoints) {
            let made_by = last.op();
            let is_unbroken = last.done.iter().zip(0..).all(|(done, op)| done.op.0 == op);
            require(
                is_unbroken && last.done.len() == made_by.index() + 1,
                "NO-RERUN-AFTER-ACK",
                &|| {
                    format!(
                        "{id} batch {batch} has a checkpoint of op {} that does not say what was done",
                        made_by.0
                    )
                },
            );
            require(!run.committed.contains(*batch), "NO-RERUN-AFTER-ACK", &|| {
                format!("{id} batch {batch} is committed, and its checkpoint waits")
            });
            let Some(begun) = run.batches.get(batch) else { continue };
            let goes_on_with = match begun.phase {
                BatchPhase::Leased(lease) => self.leases.get(&lease).map(|lease| lease.steps[0].op),
                BatchPhase::Ready | BatchPhase::Backoff { .. } | BatchPhase::Returning => Some(begun.next_op()),
                BatchPhase::Checkpointing
                | BatchPhase::Queued(_)
                | BatchPhase::Halving { .. }
                | BatchPhase::Halved
                | BatchPhase::Committing { .. }
                | BatchPhase::Publishing => None,
            };
            require(
                goes_on_with.is_none_or(|next| next > made_by),
                "NO-RERUN-AFTER-ACK",
                &|| {
                    format!(
                        "{id} batch {batch} goes on with {goes_on_with:?}, its checkpoint is of op {}",
                        made_by.0
                    )
                },
            );
        }
        let waiting = run
            .batches
            .values()
            .filter(|batch| batch.phase == BatchPhase::Checkpointing);
        let waiting = waiting.count() as u64;
        require(waiting == run.checkpointing, "LIVENESS", &|| {
            format!(
                "{id} has {waiting} batches at a checkpoint that is not durable, {} are counted",
                run.checkpointing
            )
        });
        for batch in run.batches.values() {
            let waits = matches!(batch.phase, BatchPhase::Ready | BatchPhase::Leased(_));
            let is_known = match &batch.place {
                Place::Checkpoint(part) => run.last_checkpoint(batch.id).is_some_and(|last| last.part == *part),
                Place::Source | Place::Parked { .. } => true,
            };
            require(is_known || !waits, "ACK-DURABLE", &|| {
                format!("{id} batch {} goes on from a checkpoint that is not durable", batch.id)
            });
        }
    }

    fn check_run(&self, run: &Run, require: &mut impl FnMut(bool, &'static str, &dyn Fn() -> String)) {
        let id = run.id;
        let in_flight = run.batches.values().filter(|batch| batch.phase.is_in_flight());
        let count = in_flight.clone().count() as u64;
        let bytes: u64 = in_flight.map(|batch| batch.charged).sum();
        let gauges = &run.gauges;
        require(count == gauges.in_flight.now, "WINDOW", &|| {
            format!(
                "{id} has {count} batches in flight, {} are counted",
                gauges.in_flight.now
            )
        });
        require(bytes == gauges.bytes.now, "WINDOW", &|| {
            format!("{id} has {bytes} bytes in flight, {} are counted", gauges.bytes.now)
        });
        for batch in run.batches.values() {
            let is_prepared = matches!(batch.phase, BatchPhase::Committing { .. } | BatchPhase::Publishing);
            let kept = if is_prepared { 0 } else { run.job.ops.len() };
            require(batch.ops.len() == kept, "ACCOUNT", &|| {
                format!("{id} batch {} keeps {} ops, not {kept}", batch.id, batch.ops.len())
            });
        }
        let aside = run.batches.values().filter(|batch| batch.phase.is_set_aside()).count() as u64;
        let bound = u64::from(run.job.schedule.max_in_backoff.get());
        require(aside == gauges.backoff.now && aside <= bound, "WINDOW", &|| {
            format!(
                "{id} has {aside} batches set aside, {} are counted, {bound} may be",
                gauges.backoff.now
            )
        });
        let returning = run
            .batches
            .values()
            .filter(|batch| batch.phase == BatchPhase::Returning)
            .count();
        require(returning == run.returning.len(), "LIVENESS", &|| {
            format!(
                "{id} has {returning} batches that come back, {} are known",
                run.returning.len()
            )
        });
        let running = self
            .leases
            .values()
            .filter(|lease| lease.run == id && lease.running.is_some())
            .count() as u64;
        require(running == gauges.running.now, "CAP", &|| {
            format!("{id} runs {running} tasks, {} are counted", gauges.running.now)
        });
        require(running <= u64::from(run.units), "CAP", &|| {
            format!("{id} runs {running} tasks with {} permits", run.units)
        });
        for op in run.job.op_ids() {
            let held = self
                .leases
                .values()
                .filter(|lease| lease.run == id && lease.limited_op == Some(op))
                .count() as u32;
            let counted = run.op_units[op.index()];
            require(held == counted, "CAP", &|| {
                format!("{id} op {} holds {held} units, {counted} are counted", op.0)
            });
            let within = self.allowed(&Cap::Op(id, op)).is_none_or(|allowed| held <= allowed);
            require(within, "CAP", &|| {
                format!("{id} op {} holds {held} units, above its limit", op.0)
            });
        }
        let queued = run
            .batches
            .values()
            .filter(|batch| matches!(batch.phase, BatchPhase::Queued(_)));
        let queued_bytes: u64 = queued.clone().map(|batch| batch.slice.bytes()).sum();
        let holds = queued.clone().count() == run.queued.len() && queued_bytes == run.queued_bytes;
        require(holds, "WINDOW", &|| {
            format!(
                "{id} has {} batches queued, {} are counted",
                queued.clone().count(),
                run.queued.len()
            )
        });
        let ready = run.batches.values().filter(|batch| batch.phase == BatchPhase::Ready);
        let queued = ready
            .clone()
            .filter(|batch| run.ready.waiting_for(batch.next_op()).contains(&batch.id))
            .count();
        require(
            queued == ready.clone().count() && queued == run.ready.len(),
            "LIVENESS",
            &|| {
                format!(
                    "{id} has {} waiting batches, {queued} of them and {} in all queued",
                    ready.clone().count(),
                    run.ready.len()
                )
            },
        );
        for batch in run.batches.values() {
            let is_committed = run.committed.contains(batch.id);
            require(!(batch.phase.is_in_flight() && is_committed), "COMMIT-ONCE", &|| {
                format!("{id} batch {} is in flight and committed", batch.id)
            });
            if let Place::Parked { session, .. } = &batch.place
                && batch.phase == BatchPhase::Ready
            {
                let known = self
                    .sessions
                    .get(session)
                    .is_some_and(|holder| holder.parked.contains(&(id, batch.id)));
                require(known, "LIVENESS", &|| {
                    format!("{id} batch {} lies on {session}, which does not know", batch.id)
                });
            }
        }
        let under_way = self.waiting.endings_of(id);
        require(under_way == run.endings_under_way, "LIVENESS", &|| {
            format!(
                "{id} has {under_way} endings that are not durable, {} are counted",
                run.endings_under_way
            )
        });
        let (marks, recorded) = (run.marks(), run.recorded_marks);
        require(recorded.is_reached_by(marks), "ACCOUNT", &|| {
            format!("{id} has recorded {recorded:?}, and has {marks:?}")
        });
        self.check_checkpoints(run, require);
        self.check_halves(run, require);
        require(run.failure.is_some() || run.failed.is_empty(), "ACCOUNT", &|| {
            format!("{id} has failed batches and no failure")
        });
    }
}
