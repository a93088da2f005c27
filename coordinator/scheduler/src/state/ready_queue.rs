//! The batches of one run that wait for a slot, by the op they wait for.
//!
//! Within a run, tasks go by the priority of their op, then by batch. Ops are ranked once, when the run is accepted;
//! finding the next task walks the ranks and skips what a limit holds back, so it costs the number of ops and not the
//! number of batches.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use common::ids::{BatchId, OpId};
use common::job::Job;

/// The waiting batches of a run.
#[derive(Debug)]
pub(crate) struct ReadyQueue {
    /// The ops, highest priority first; of equal ones the later op first, because it is nearer to the end.
    ranks: Vec<OpId>,
    /// Per op: the batches that wait for it.
    waiting: Vec<BTreeSet<BatchId>>,
    len: usize,
}

impl ReadyQueue {
    /// Makes an empty queue for a job.
    pub(crate) fn new(job: &Job) -> ReadyQueue {
        let mut ranks: Vec<OpId> = job.op_ids().collect();
        ranks.sort_by_key(|op| (Reverse(job.priority(*op)), Reverse(*op)));
        ReadyQueue {
            waiting: vec![BTreeSet::new(); ranks.len()],
            ranks,
            len: 0,
        }
    }

    /// Returns the ops, highest priority first.
    pub(crate) fn ranks(&self) -> &[OpId] {
        &self.ranks
    }

    /// Lets a batch wait for an op.
    pub(crate) fn insert(&mut self, op: OpId, batch: BatchId) {
        let is_new = self.waiting[op.index()].insert(batch);
        debug_assert!(is_new, "a batch waits once");
        self.len += 1;
    }

    /// Takes a batch out.
    pub(crate) fn remove(&mut self, op: OpId, batch: BatchId) {
        if self.waiting[op.index()].remove(&batch) {
            self.len -= 1;
        }
    }

    /// Returns the batches that wait for an op, in order.
    pub(crate) fn waiting_for(&self, op: OpId) -> &BTreeSet<BatchId> {
        &self.waiting[op.index()]
    }

    /// Returns how many batches wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}
