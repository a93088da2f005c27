//! The batches of a run between their begin and their end: waiting, in flight, set aside, queued, and what they are charged.

use std::cmp::Reverse;

use common::ids::{BatchId, LeaseId, OpId};
use common::slice::Slice;
use common::time::Time;

use crate::state::batch::{Aside, BatchPhase};
use crate::state::run::{Run, RunPhase};

impl Run {
    /// Lets a slice wait in its place among those that are not begun.
    pub(crate) fn add_slice(&mut self, id: BatchId, slice: Slice) {
        let place = self.slices.partition_point(|(other, _)| *other < id);
        self.slices.insert(place, (id, slice));
    }

    /// Puts a batch among the waiting ones.
    pub(crate) fn make_ready(&mut self, id: BatchId, now: Time) {
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.forget_what_is_redone();
            batch.phase = BatchPhase::Ready;
            batch.ready_since = now;
            self.ready.insert(batch.next_op(), id);
        }
    }

    /// Takes a batch out of the waiting ones, if it is among them.
    pub(crate) fn leave_ready(&mut self, id: BatchId) {
        if let Some(batch) = self.batches.get(&id).filter(|batch| batch.phase == BatchPhase::Ready) {
            self.ready.remove(batch.next_op(), id);
        }
    }

    /// Takes a batch out of memory's account: it is prepared, failed for good, or cancelled.
    pub(crate) fn leave_flight(&mut self, charged: u64) {
        self.gauges.in_flight.subtract(1);
        self.gauges.bytes.subtract(charged);
    }

    /// Charges a batch for what it holds now, never for less than its slice.
    pub(crate) fn recharge(&mut self, id: BatchId, bytes_held: u64) {
        if let Some(batch) = self.batches.get_mut(&id) {
            let charge = batch.slice.bytes().max(bytes_held);
            self.gauges.bytes.subtract(batch.charged);
            self.gauges.bytes.add(charge);
            batch.charged = charge;
        }
    }

    /// Takes a batch back that was queued and not begun; its slice is begun later, if the run goes on.
    pub(crate) fn unqueue(&mut self, id: BatchId, lease: LeaseId) {
        self.queued.remove(&lease);
        self.recalled.remove(&lease);
        let Some(batch) = self.batches.remove(&id) else { return };
        self.queued_bytes -= batch.slice.bytes();
        if self.phase == RunPhase::Active {
            self.add_slice(id, batch.slice.clone());
            self.put_back.insert(id, batch);
        } else {
            self.budgets.insert(id, batch.attempts_begun());
        }
    }

    /// Lets a batch wait after a failure, outside the batches in flight if the bound allows.
    pub(crate) fn back_off(&mut self, id: BatchId, until: Time) {
        let has_room = self.gauges.backoff.now < u64::from(self.job.schedule.max_in_backoff.get());
        let Some(batch) = self.batches.get_mut(&id) else { return };
        let aside = if has_room { Aside::Yes } else { Aside::No };
        batch.phase = BatchPhase::Backoff { until, aside };
        let charged = batch.charged;
        if aside == Aside::Yes {
            self.leave_flight(charged);
            self.gauges.backoff.add(1);
        }
    }

    /// Returns how many batches wait for room to go on with an op.
    pub(crate) fn returning_to(&self, op: OpId) -> usize {
        let ops = self
            .returning
            .iter()
            .filter_map(|batch| Some(self.batches.get(batch)?.next_op()));
        ops.filter(|next| *next == op).count()
    }

    /// Returns the batch that is taken back next: that of the op of the highest priority, then the earliest.
    pub(crate) fn first_to_return(&self) -> Option<BatchId> {
        let rank = |id: &BatchId| {
            let batch = self.batches.get(id)?;
            Some((Reverse(self.job.priority(batch.next_op())), *id))
        };
        let (_, first) = self.returning.iter().filter_map(rank).min()?;
        Some(first)
    }

    /// Takes a batch back into flight that was set aside.
    pub(crate) fn return_to_flight(&mut self, id: BatchId, now: Time) {
        self.returning.remove(&id);
        let Some(batch) = self.batches.get_mut(&id) else { return };
        batch.charged = batch.slice.bytes();
        let charged = batch.charged;
        self.gauges.backoff.subtract(1);
        self.gauges.in_flight.add(1);
        self.gauges.bytes.add(charged);
        self.make_ready(id, now);
    }
}
