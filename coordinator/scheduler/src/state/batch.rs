//! A batch between its begin and its end: where its data is, what it is waiting for, what its ops did.
//!
//! A batch is born when it is admitted and forgotten when it is done, so that the scheduler's memory follows what is
//! in flight. Where it goes on is never stored: it follows from where its data lies ([`Place`]).

use std::collections::BTreeSet;

use common::counts::RowCounts;
use common::done::{DoneOp, OpDone};
use common::failure::Failure;
use common::ids::{Attempt, BatchId, LeaseId, OpId, OutputId, SessionId};
use common::message::Step;
use common::part::Part;
use common::slice::{BadRow, Slice};
use common::time::Time;

use crate::journal::budgets::Budgets;
use crate::journal::failed::FailedBatch;

/// A batch that was begun.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    pub(crate) slice: Slice,
    pub(crate) place: Place,
    pub(crate) phase: BatchPhase,
    /// What it is charged against the bytes in flight.
    pub(crate) charged: u64,
    /// Per op: attempts begun, failures that count, and what the last good attempt did. Empty once it is prepared: tens of
    /// thousands may wait for the journal then.
    pub(crate) ops: Vec<OpProgress>,
    /// Since when it could go on.
    pub(crate) ready_since: Time,
    /// The worker processes that were lost while they ran it, and not seen again.
    pub(crate) lost: BTreeSet<String>,
    /// How often its checkpoint could not be read.
    pub(crate) unread: u32,
    /// Its last failure.
    pub(crate) failure: Option<Failure>,
    /// Where its rows went, once it is prepared.
    pub(crate) rows: RowCounts,
    /// What is to be put in place once its commit is durable.
    pub(crate) to_publish: Vec<Part>,
}

/// How far one op has come on a batch.
#[derive(Debug, Default)]
pub(crate) struct OpProgress {
    /// Attempts begun.
    pub(crate) attempts: u32,
    /// Attempts that failed by themselves: the retry budget counts these.
    pub(crate) failures: u32,
    /// What the last good attempt did, if the batch's data is behind it.
    pub(crate) done: Option<OpDone>,
}

/// Where a batch's data lies when no lease works on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the source: the chain begins anew.
    Source,
    /// Parked on a worker: the chain goes on behind the op that made it.
    Parked { session: SessionId, output: OutputId },
    /// In a checkpoint that every worker sees: the chain goes on behind the op that made it.
    Checkpoint(Part),
}

/// What a batch is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchPhase {
    /// A slot.
    Ready,
    /// A permit for the lease that is queued at a worker: it is not begun.
    Queued(LeaseId),
    /// The worker that holds its lease.
    Leased(LeaseId),
    /// Its checkpoint to become durable.
    Checkpointing,
    /// Its slice to be cut, because it failed in that op.
    Halving { op: OpId },
    /// Its cut to become durable.
    Halved,
    /// The end of a wait after a failure.
    Backoff { until: Time, aside: Aside },
    /// Room among the batches in flight: it was set aside after a failure, and its wait is over.
    Returning,
    /// Its commit to become durable.
    Committing { lease: LeaseId, session: SessionId },
    /// A worker to put its parts in place.
    Publishing,
}

/// Whether a batch that waits after a failure counts as in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aside {
    /// It does not: its data is out of memory.
    Yes,
    /// It does: as many are set aside as may be.
    No,
}

impl BatchPhase {
    /// Tells whether the batch is set aside after a failure.
    pub(crate) fn is_set_aside(self) -> bool {
        match self {
            BatchPhase::Backoff { aside, .. } => aside == Aside::Yes,
            BatchPhase::Returning => true,
            BatchPhase::Ready
            | BatchPhase::Leased(_)
            | BatchPhase::Checkpointing
            | BatchPhase::Halving { .. }
            | BatchPhase::Halved
            | BatchPhase::Queued(_)
            | BatchPhase::Committing { .. }
            | BatchPhase::Publishing => false,
        }
    }

    /// Tells whether the batch's data is in the cluster's memory.
    pub(crate) fn is_in_flight(self) -> bool {
        match self {
            BatchPhase::Ready
            | BatchPhase::Leased(_)
            | BatchPhase::Backoff { aside: Aside::No, .. }
            | BatchPhase::Checkpointing
            | BatchPhase::Halving { .. }
            | BatchPhase::Halved => true,
            BatchPhase::Backoff { aside: Aside::Yes, .. }
            | BatchPhase::Returning
            | BatchPhase::Queued(_)
            | BatchPhase::Committing { .. }
            | BatchPhase::Publishing => false,
        }
    }
}

impl Batch {
    /// Begins a batch.
    pub(crate) fn new(id: BatchId, slice: Slice, ops: usize, now: Time) -> Batch {
        let charged = slice.bytes();
        Batch {
            id,
            slice,
            place: Place::Source,
            phase: BatchPhase::Ready,
            charged,
            ops: (0..ops).map(|_| OpProgress::default()).collect(),
            ready_since: now,
            lost: BTreeSet::new(),
            unread: 0,
            failure: None,
            rows: RowCounts::default(),
            to_publish: Vec::new(),
        }
    }

    /// Goes on with the budgets that were used up before a restart.
    pub(crate) fn take_budgets(&mut self, budgets: &Budgets) {
        self.lost.clone_from(&budgets.lost);
        for (op, failures) in &budgets.failures {
            self.ops[op.index()].failures = *failures;
        }
        for (op, attempts) in &budgets.attempts {
            let progress = &mut self.ops[op.index()];
            progress.attempts = progress.attempts.max(*attempts);
        }
    }

    /// Returns fresh budgets that remember the attempts begun, so that a later one goes on counting.
    pub(crate) fn attempts_begun(&self) -> Budgets {
        let begun = self.ops.iter().zip(0..).filter(|(progress, _)| progress.attempts > 0);
        Budgets {
            attempts: begun.map(|(progress, op)| (OpId(op), progress.attempts)).collect(),
            ..Budgets::default()
        }
    }

    /// Returns how many worker processes it has cost.
    pub(crate) fn crashes(&self) -> u32 {
        u32::try_from(self.lost.len()).unwrap_or(u32::MAX)
    }

    /// Returns the op that the batch goes on with.
    pub(crate) fn next_op(&self) -> OpId {
        match &self.place {
            Place::Source => OpId::EXTRACT,
            Place::Parked { output, .. } => OpId(output.op.0 + 1),
            Place::Checkpoint(part) => OpId(part.op.0 + 1),
        }
    }

    /// Returns the last op that failed, or the one that the batch goes on with.
    pub(crate) fn failed_op(&self) -> OpId {
        let failed = self.ops.iter().rposition(|progress| progress.failures > 0);
        failed.map_or_else(|| self.next_op(), |place| OpId(place as u16))
    }

    /// Returns the number that the next attempt at an op will have.
    pub(crate) fn next_attempt(&self, op: OpId) -> Attempt {
        Attempt(self.ops.get(op.index()).map_or(0, |progress| progress.attempts) + 1)
    }

    /// Forgets what was done behind the place where the batch's data lies now.
    pub(crate) fn forget_what_is_redone(&mut self) {
        let next = self.next_op().index();
        for progress in &mut self.ops[next..] {
            progress.done = None;
        }
    }

    /// Returns what the ops up to the place where the batch's data lies did.
    pub(crate) fn done_ops(&self) -> Vec<DoneOp> {
        match self.next_op().0.checked_sub(1) {
            Some(last) => self.done_ops_up_to(OpId(last)),
            None => Vec::new(),
        }
    }

    /// Returns what the ops up to one did, in the order of the chain.
    pub(crate) fn done_ops_up_to(&self, last: OpId) -> Vec<DoneOp> {
        let ops = self.ops[..=last.index()].iter().enumerate();
        ops.filter_map(|(place, progress)| {
            let (op, did) = (OpId(place as u16), progress.done.clone()?);
            Some(DoneOp { op, did })
        })
        .collect()
    }

    /// Takes over what a worker says that ops did.
    pub(crate) fn take_done_ops(&mut self, done: &[DoneOp]) {
        for DoneOp { op, did } in done {
            let progress = &mut self.ops[op.index()];
            progress.attempts = progress.attempts.max(1);
            progress.done = Some(did.clone());
        }
    }

    /// Notes the attempts that a worker says it has begun.
    pub(crate) fn take_attempts(&mut self, begun: &[Step]) {
        for step in begun {
            self.note_attempt(*step);
        }
    }

    /// Notes an attempt that has begun, unless the batch is prepared: a lease that was fenced may still go on then.
    pub(crate) fn note_attempt(&mut self, step: Step) {
        if let Some(progress) = self.ops.get_mut(step.op.index()) {
            progress.attempts = progress.attempts.max(step.attempt.0);
        }
    }

    /// Returns how many bytes go into an op: the slice's, or what the op before made of them.
    pub(crate) fn bytes_into(&self, op: OpId) -> u64 {
        let Some(before) = op.index().checked_sub(1) else {
            return self.slice.bytes();
        };
        let done = self.ops.get(before).and_then(|progress| progress.done.as_ref());
        done.map_or(0, |done| done.bytes_held)
    }

    /// Returns where the rows of a batch that came through the whole chain went.
    pub(crate) fn rows_when_committed(&self) -> RowCounts {
        let passed = self.rows_so_far();
        RowCounts {
            loaded: passed.failed,
            failed: 0,
            ..passed
        }
    }

    /// Returns where the rows of a batch that is given up now went: what no op dropped has failed.
    pub(crate) fn rows_when_given_up(&self) -> RowCounts {
        if self.ops.first().is_none_or(|first| first.done.is_none()) {
            let rows = self.slice.rows().unwrap_or(0);
            return RowCounts {
                read: rows,
                failed: rows,
                ..RowCounts::default()
            };
        }
        self.rows_so_far()
    }

    /// Counts the rows read, filtered and rejected so far; all others stand under `failed`.
    fn rows_so_far(&self) -> RowCounts {
        let mut rows = RowCounts::default();
        for (place, done) in self.ops.iter().map_while(|progress| progress.done.as_ref()).enumerate() {
            if place == 0 {
                rows.read = done.rows_in;
            }
            rows.rejected += done.rows_rejected;
            rows.filtered += done.rows_in.saturating_sub(done.rows_out + done.rows_rejected);
        }
        rows.failed = rows.read.saturating_sub(rows.filtered + rows.rejected);
        rows
    }

    /// Takes what the batch's sinks staged, in the order of the chain.
    pub(crate) fn take_parts(&mut self) -> Vec<Part> {
        self.ops
            .iter_mut()
            .filter_map(|progress| progress.done.as_mut())
            .flat_map(|done| done.parts.drain(..))
            .collect()
    }

    /// Returns what is kept of it when it is given up now.
    pub(crate) fn failed_for_good(&self, op: OpId, failure: Failure, row: Option<BadRow>) -> FailedBatch {
        FailedBatch {
            op,
            failure,
            slice: self.slice.clone(),
            rows: self.rows_when_given_up(),
            attempts: self.attempts_begun().attempts,
            crashes: self.crashes(),
            row,
        }
    }
}
