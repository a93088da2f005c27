//! Checkpoints: outputs that lie where every worker sees them, so that a batch that loses its data begins behind them.
//!
//! The lease of an op with `checkpoint: true` ends with it, and its worker has written the output by then. The record of
//! that is *the* point from which the op is never run on the batch again (NO-RERUN-AFTER-ACK): only when it is durable
//! does the batch wait for its next op. Meanwhile, and while it waits, it counts as in flight, because it was begun, and
//! its bytes are those of its slice, because it holds nothing in memory.
//!
//! A run may begin at the checkpoints of others that have ended ([`crate::Rerun`]): they come with the slices of its batches, and
//! count as its own until it has later ones. After a restart they are found again: until then no batch of such a run is
//! begun whose beginning is not known, and a worker that comes back with a begun one says where that was.
//!
//! A run knows the last checkpoint of every batch that is not done, failed ones included; where a batch begins anew follows
//! from that. One that cannot be read three times is given up with a record of its own, and the batch begins at its source.
//!
//! Known weakness: only a batch's last checkpoint is known here; when that is lost, the ones before it are not gone
//! back to.

use std::time::Duration;

use common::failure::Failure;
use common::ids::{BatchId, LeaseId, OpId, RunId};
use common::time::Time;

use crate::journal::checkpoint::Checkpoint;
use crate::journal::record::Record;
use crate::scheduler::Scheduler;
use crate::state::batch::{BatchPhase, Place};
use crate::state::durability::AfterDurable;
use crate::state::run::RunPhase;
use crate::state::timers::Timer;

/// How often a checkpoint is tried to be read before it counts as lost.
const READS: u32 = 3;
/// The wait after the first time; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(200);

impl Scheduler {
    /// Takes in where batches begin of a run that runs the later ops of another one again, as their slices are found; after
    /// a restart they are found again.
    pub(crate) fn inherit(&mut self, id: RunId, found: Vec<(BatchId, Checkpoint)>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let Some(behind) = run.rerun.as_ref().map(|rerun| rerun.behind) else {
            return;
        };
        for (batch, checkpoint) in found {
            let op = checkpoint.op();
            let is_past = run.committed.contains(batch) || run.halved.contains(&batch.index);
            // Of a batch that is begun, a worker has come back with it and said where it began. One whose checkpoint was
            // given up begins at its source.
            let is_begun = run.batches.contains_key(&batch) || run.given_up.contains(&batch);
            if !(is_past || is_begun || run.checkpoints.contains_key(&batch) || op > behind) {
                run.inherited.insert(batch, checkpoint);
            }
        }
    }

    /// Returns the checkpoint that a lease has written, if its last op is one and said so.
    pub(crate) fn written_checkpoint(&self, run: RunId, id: BatchId, last: OpId) -> Option<Checkpoint> {
        let run = self.runs.get(&run)?;
        let batch = run.batches.get(&id)?;
        let part = batch.ops[last.index()].done.as_ref()?.checkpoint.clone()?;
        let is_its_own = part.op == last && run.job.is_checkpoint(last);
        let mut done = batch.done_ops_up_to(last);
        for done in &mut done {
            done.did.checkpoint = None;
        }
        is_its_own.then_some(Checkpoint { part, done })
    }

    /// Records a batch's checkpoint; the batch goes on when that is durable.
    pub(crate) fn on_checkpoint_written(
        &mut self,
        run_id: RunId,
        id: BatchId,
        lease: LeaseId,
        checkpoint: Checkpoint,
        now: Time,
    ) {
        self.place_batch(run_id, id, Place::Checkpoint(checkpoint.part.clone()));
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        let ran = run.ran_up_to(id, checkpoint.op());
        run.recharge(id, 0);
        let Some(batch) = run.batches.get_mut(&id) else { return };
        batch.phase = BatchPhase::Checkpointing;
        batch.unread = 0;
        run.checkpointing += 1;
        let record = Record::BatchCheckpointed {
            run: run_id,
            batch: id,
            lease,
            ran,
            checkpoint: Box::new(checkpoint.clone()),
        };
        self.append_then(
            record,
            AfterDurable::BatchCheckpointed(run_id, id, Box::new(checkpoint)),
        );
        if let Some(RunPhase::Stopping(_)) = self.runs.get(&run_id).map(|run| run.phase) {
            self.give_up_batch(run_id, id);
        }
        self.advance(run_id, now);
    }

    /// Lets a batch go on behind a checkpoint that cannot be lost any more.
    pub(crate) fn on_batch_checkpointed(&mut self, run_id: RunId, id: BatchId, checkpoint: Checkpoint, now: Time) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        run.checkpoints.insert(id, checkpoint);
        run.inherited.remove(&id);
        let phase = run.batches.get(&id).map(|batch| batch.phase);
        if phase != Some(BatchPhase::Checkpointing) {
            // Its run was stopped meanwhile.
            return;
        }
        run.checkpointing -= 1;
        run.make_ready(id, now);
    }

    /// Tries a checkpoint again that could not be read, or gives it up: the batch begins at its source then.
    pub(crate) fn on_checkpoint_unread(&mut self, run_id: RunId, id: BatchId, failure: Failure, now: Time) {
        let Some(run) = self.runs.get_mut(&run_id) else { return };
        if let RunPhase::Stopping(_) = run.phase {
            self.give_up_batch(run_id, id);
            return;
        }
        let Some(batch) = run.batches.get_mut(&id) else { return };
        batch.unread += 1;
        batch.failure = Some(failure);
        let unread = batch.unread;
        if unread < READS {
            let until = now + FIRST_WAIT * 2_u32.pow(unread - 1);
            run.back_off(id, until);
            self.timers.set(until, Timer::BatchBackoff(run_id, id));
            return;
        }
        batch.unread = 0;
        let lost = run.last_checkpoint(id).map(Checkpoint::op);
        run.give_up_checkpoints(id);
        if let Some(op) = lost {
            self.append(Record::CheckpointLost {
                run: run_id,
                batch: id,
                op,
            });
        }
        self.place_batch(run_id, id, Place::Source);
        self.return_batch(run_id, id, now);
    }
}
