//! Checkpoints: files that every worker sees, and the oracle of what they promise.
//!
//! NO-RERUN-AFTER-ACK: behind a durable checkpoint the ops up to it never run on the batch again, unless the coordinator has
//! recorded that it is lost; the same holds for the checkpoints of others that a rerun begins at. FENCE: what a batch goes on from is what the durable record names.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use agent::Chain;
use common::ids::{BatchId, LeaseId, OpId, RunId};
use common::message::{Grant, Input};
use common::part::Part;
use scheduler::{Checkpoint, RecordSequence};

use crate::jobs::ROW_BYTES;
use crate::world::World;

/// What is written, and what counts.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    files: BTreeSet<String>,
    durable: BTreeMap<(RunId, BatchId), Part>,
    /// Those that the coordinator has given up, durably or not.
    lost: BTreeSet<(RunId, BatchId)>,
    /// Those that it has ever given up: what a rerun inherited is found again after a restart.
    given_up: BTreeSet<(RunId, BatchId)>,
    /// Where batches of reruns begin, as it was found first.
    inherited: BTreeMap<(RunId, BatchId), Option<OpId>>,
    /// Those that the coordinator does not know to be durable, by its generation, and the record behind which it does once
    /// they are: their batches cannot go on yet.
    under_way: BTreeMap<(u64, RunId, BatchId), Option<RecordSequence>>,
}

impl Checkpoints {
    /// Writes the output of an op.
    pub(crate) fn write(&mut self, run: RunId, op: OpId, lease: LeaseId, rows: u64) -> Part {
        let file = file_of(run, op, lease);
        self.files.insert(file.clone());
        Part {
            op,
            file,
            offset: 0,
            length: rows * ROW_BYTES,
            checksum: 0,
            rows,
        }
    }

    /// Deletes what a stopped chain wrote.
    pub(crate) fn abandon(&mut self, chain: &Chain) {
        for step in chain.steps.iter() {
            self.files.remove(&file_of(chain.run.run, step.op, chain.lease));
        }
    }

    /// Tells whether a checkpoint can be read.
    pub(crate) fn is_there(&self, part: &Part) -> bool {
        self.files.contains(&part.file)
    }

    /// Tells whether a batch has a durable checkpoint.
    pub(crate) fn has(&self, run: RunId, batch: BatchId) -> bool {
        self.durable.contains_key(&(run, batch))
    }

    /// Tells whether a batch begins behind a checkpoint, of its own run or of one that this one runs again.
    pub(crate) fn begins_behind_one(&self, run: RunId, batch: BatchId) -> bool {
        self.has(run, batch) || self.inherited.get(&(run, batch)).is_some_and(Option::is_some)
    }

    /// Tells whether an op was acknowledged to be done on a batch for good.
    pub(crate) fn is_behind(&self, run: RunId, batch: BatchId, op: OpId) -> bool {
        let last = self.durable.get(&(run, batch));
        !self.lost.contains(&(run, batch)) && last.is_some_and(|last| op <= last.op)
    }

    /// The coordinator says that it cannot be read; whoever dies now may still begin there.
    pub(crate) fn lose(&mut self, run: RunId, batch: BatchId) {
        self.lost.insert((run, batch));
        self.given_up.insert((run, batch));
    }

    /// Tells whether an op lies before the checkpoint of another run that a batch begins at.
    fn is_inherited(&self, run: RunId, batch: BatchId, op: OpId) -> bool {
        let begins_behind = self.inherited.get(&(run, batch)).copied().flatten();
        !self.given_up.contains(&(run, batch)) && begins_behind.is_some_and(|last| op <= last)
    }

    /// That is durable.
    pub(crate) fn forget(&mut self, run: RunId, batch: BatchId) {
        self.lost.remove(&(run, batch));
        self.durable.remove(&(run, batch));
    }
}

fn file_of(run: RunId, op: OpId, lease: LeaseId) -> String {
    format!("/checkpoints/{run}/{}-{lease}", op.0)
}

impl World {
    /// The slices of batches are found, and where those begin that have a checkpoint of another run. Slices that are found again may
    /// come with later ones: a run that others go on from can be reopened.
    pub(crate) fn note_beginnings(&mut self, run: RunId, found: Range<usize>, checkpoints: &[(BatchId, Checkpoint)]) {
        for batch in found.map(|index| BatchId::whole(index as u64)) {
            let last = checkpoints.iter().rev().find(|(of, _)| *of == batch);
            let inherited = &mut self.oracle.checkpoints.inherited;
            inherited
                .entry((run, batch))
                .or_insert_with(|| last.map(|(_, last)| last.op()));
        }
    }

    /// A record of a checkpoint is to be written.
    pub(crate) fn check_checkpoint(&mut self, run: RunId, batch: BatchId, lease: LeaseId) {
        let latest = self.oracle.latest.get(&(run, Some(batch), None)).copied();
        self.require(latest == Some(lease), "FENCE", || {
            format!("{run} batch {batch} has a checkpoint of {lease}, the latest is {latest:?}")
        });
        let under_way = (self.incarnation, run, batch);
        self.oracle.checkpoints.under_way.insert(under_way, None);
    }

    /// The coordinator knows what is durable: batches go on behind their checkpoints.
    pub(crate) fn note_told_checkpoints(&mut self, told: RecordSequence) {
        let under_way = &mut self.oracle.checkpoints.under_way;
        under_way.retain(|_, sequence| sequence.is_none_or(|sequence| sequence > told));
    }

    /// Tells whether a batch waits for its checkpoint to become durable.
    pub(crate) fn waits_for_checkpoint(&self, run: RunId, batch: BatchId) -> bool {
        let under_way = &self.oracle.checkpoints.under_way;
        under_way.contains_key(&(self.incarnation, run, batch))
    }

    /// A record of a checkpoint is durable.
    pub(crate) fn on_durable_checkpoint(&mut self, run: RunId, batch: BatchId, checkpoint: &Checkpoint) {
        let part = checkpoint.part.clone();
        let is_there = self.oracle.checkpoints.is_there(&part);
        self.require(is_there, "ACK-DURABLE", || {
            format!("{run} batch {batch} has a durable checkpoint in {part:?}, which is not there")
        });
        let (under_way, sequence) = ((self.incarnation, run, batch), self.disk.durable_up_to());
        if let Some(told_with) = self.oracle.checkpoints.under_way.get_mut(&under_way) {
            *told_with = Some(sequence);
        }
        let is_lost = self.oracle.checkpoints.lost.remove(&(run, batch));
        let before = self.oracle.checkpoints.durable.insert((run, batch), part.clone());
        let before = before.filter(|_| !is_lost);
        self.require(
            before.as_ref().is_none_or(|before| before.op < part.op),
            "NO-RERUN-AFTER-ACK",
            || format!("{run} batch {batch} has the checkpoint {part:?} after {before:?}"),
        );
    }

    /// A grant goes on behind the last durable checkpoint, and from that one.
    pub(crate) fn check_goes_on_behind_checkpoint(&mut self, grant: &Grant) {
        let Some(batch) = grant.batch else { return };
        let first = grant.steps[0].op;
        let checkpoints = &self.oracle.checkpoints;
        let is_redone =
            checkpoints.is_behind(grant.run, batch, first) || checkpoints.is_inherited(grant.run, batch, first);
        self.require(!is_redone, "NO-RERUN-AFTER-ACK", || {
            format!(
                "{} runs op {} of {} batch {batch} again",
                grant.lease, first.0, grant.run
            )
        });
        if let Input::Checkpoint(part) = &grant.input {
            let counts = match self.oracle.checkpoints.durable.get(&(grant.run, batch)) {
                Some(durable) => durable == part,
                None => self.may_begin_at(grant.run, batch, part),
            };
            self.require(counts, "FENCE", || {
                format!("{} begins at {part:?}, which does not count", grant.lease)
            });
        }
    }
}
