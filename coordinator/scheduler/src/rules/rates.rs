//! Rates: token buckets that are exact over all workers, by the times at which ops were reported to start.
//!
//! A token is promised when a lease is granted and taken when the start of its op is reported; a lease is granted only if
//! the bucket holds what is promised already and its own tokens too. However long a grant is on its way, the starts
//! themselves then keep to the bucket: in a window of `w` no more than `limit x w / per + burst` of them. A bucket begins
//! with one token, and after a change or a restart with none; after a restart it also owes what a task on the largest
//! batch that is known would have taken beyond the burst, because one may have begun right before.
//!
//! Known weakness: while more than `burst` tokens are on their way nothing is granted, so a burst that is shorter than
//! the way to the workers makes a rate slower than it may be. The default burst is worth 100 ms.

use common::ids::{BatchId, LeaseId, OpId, RunId};
use common::job::{Rate, RateUnit};
use common::slice::Slice;
use common::time::Time;

use crate::scheduler::Scheduler;
use crate::state::bucket::{Bucket, Filling, TokenWait};
use crate::state::run::Run;
use crate::state::timers::Timer;

/// Returns how many tokens an op takes for a batch.
pub(crate) fn tokens_for(run: &Run, op: OpId, batch: BatchId, rate: &Rate) -> u64 {
    match rate.unit {
        RateUnit::Batches | RateUnit::Calls => 1,
        RateUnit::Rows => {
            let Some(batch) = run.batches.get(&batch) else { return 1 };
            let before = run
                .job
                .predecessors(op)
                .filter_map(|before| batch.ops[before.index()].done.as_ref());
            let came_out = before.map(|done| done.rows_out).sum();
            if came_out > 0 {
                came_out
            } else {
                batch.slice.rows().unwrap_or(1)
            }
        }
    }
}

/// Lets the buckets of a run owe what a task on one of these slices may have taken before a restart.
pub(crate) fn owe_for<'a>(run: &mut Run, slices: impl IntoIterator<Item = &'a Slice>) {
    if run.buckets.is_empty() {
        return;
    }
    let rows = slices.into_iter().filter_map(Slice::rows).max().unwrap_or(0);
    for bucket in run.buckets.values_mut() {
        bucket.owe_for(rows);
    }
}

impl Scheduler {
    /// Promises the tokens of its op to a lease that was granted.
    pub(crate) fn promise_tokens(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        let (Some(op), Some(batch)) = (lease.limited_op, lease.batch) else {
            return;
        };
        let Some(run) = self.runs.get_mut(&lease.run) else {
            return;
        };
        let Some(rate) = run.buckets.get(&op).map(|bucket| bucket.rate) else {
            return;
        };
        let tokens = tokens_for(run, op, batch, &rate);
        lease.tokens = Some(tokens);
        if let Some(bucket) = run.buckets.get_mut(&op) {
            bucket.promise(tokens);
        }
    }

    /// Takes the tokens of an op that a lease has started: promised ones, or if the rate came later, those it would have been.
    pub(crate) fn take_tokens(&mut self, id: LeaseId, op: OpId, now: Time) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        let Some(run) = self.runs.get_mut(&lease.run) else {
            return;
        };
        let promised = lease.tokens.take_if(|_| lease.limited_op == Some(op));
        let tokens = match (promised, lease.batch) {
            (Some(tokens), _) => tokens,
            (None, Some(batch)) => match run.buckets.get(&op).map(|bucket| bucket.rate) {
                Some(rate) => tokens_for(run, op, batch, &rate),
                None => return,
            },
            (None, None) => return,
        };
        let Some(bucket) = run.buckets.get_mut(&op) else { return };
        match promised {
            Some(_) => bucket.take_promised(tokens, now),
            None => bucket.take(tokens, now),
        }
    }

    /// Gives the tokens of a lease back whose worker says that it did not start.
    pub(crate) fn give_tokens_back(&mut self, id: LeaseId) {
        if let Some((bucket, tokens)) = self.unused_tokens(id) {
            bucket.give_back(tokens);
        }
    }

    /// Counts the tokens of a lease as taken whose worker never said whether it started.
    pub(crate) fn lose_tokens(&mut self, id: LeaseId, now: Time) {
        if let Some((bucket, tokens)) = self.unused_tokens(id) {
            bucket.take_promised(tokens, now);
        }
    }

    fn unused_tokens(&mut self, id: LeaseId) -> Option<(&mut Bucket, u64)> {
        let lease = self.leases.get_mut(&id)?;
        let tokens = lease.tokens.take()?;
        let op = lease.steps.first()?.op;
        let bucket = self.runs.get_mut(&lease.run)?.buckets.get_mut(&op)?;
        Some((bucket, tokens))
    }

    /// Asks to be woken when the next tokens come that somebody waits for.
    pub(crate) fn wait_for_tokens(&mut self, now: Time) {
        if self.rated.is_empty() {
            return;
        }
        let rated: Vec<RunId> = self.rated.iter().copied().collect();
        for id in rated {
            let Some(run) = self.runs.get_mut(&id) else {
                self.rated.remove(&id);
                continue;
            };
            if run.begins_nothing() {
                continue;
            }
            let waits = run.buckets.iter().filter_map(|(op, bucket)| {
                let first = run.ready.waiting_for(*op).first()?;
                let tokens = tokens_for(run, *op, *first, &bucket.rate);
                match bucket.may_promise(tokens, now) {
                    Err(TokenWait::Until(at)) if bucket.woken_at != Some(at) => Some((*op, at)),
                    Err(TokenWait::Until(_) | TokenWait::ForStarts) | Ok(()) => None,
                }
            });
            let waits: Vec<(OpId, Time)> = waits.collect();
            for (op, at) in waits {
                if let Some(bucket) = run.buckets.get_mut(&op) {
                    bucket.woken_at = Some(at);
                }
                self.timers.set(at, Timer::Tokens(id, op));
            }
        }
    }

    /// Notes that a wake-up for tokens is over; what can be granted now is.
    pub(crate) fn note_woken(&mut self, run: RunId, op: OpId) {
        if let Some(bucket) = self.runs.get_mut(&run).and_then(|run| run.buckets.get_mut(&op)) {
            bucket.woken_at = None;
        }
    }

    /// Makes the buckets of a run's rates.
    pub(crate) fn fill_buckets(&mut self, id: RunId, filling: Filling, now: Time) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        for op in run.job.op_ids() {
            if let Some(rate) = run.job.op(op).rate {
                run.buckets.insert(op, Bucket::new(rate, filling, now));
            }
        }
        self.note_rated(id);
    }

    /// Notes whether a run has rates.
    pub(crate) fn note_rated(&mut self, id: RunId) {
        let has_rate = self.runs.get(&id).is_some_and(|run| !run.buckets.is_empty());
        if has_rate {
            self.rated.insert(id);
        } else {
            self.rated.remove(&id);
        }
    }
}
