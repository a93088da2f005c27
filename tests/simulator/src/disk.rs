//! The coordinator's disk at the level of the store's trait: a durable prefix of records, and a tail that a crash
//! may take, the first of it in part.
//!
//! A record that was written in part is there after a crash, with a checksum that does not fit: whoever reads the journal
//! cuts it off ([`Disk::cut_torn_tail`]) before anything is added.
//!
//! One sync is under way at a time; what is appended meanwhile forms the next group.

use std::collections::{BTreeMap, VecDeque};

use common::ids::{BatchId, OpId, RunId};
use common::part::Part;
use scheduler::{Checkpoint, Ledger, Record, RecordSequence};

use crate::random::Random;

/// A journal on a disk that loses what was not synced.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// What cannot be lost any more.
    durable: Vec<Record>,
    /// Written, and perhaps lost in a crash.
    unsynced: VecDeque<Record>,
    /// How many of them the sync covers that is under way.
    syncing: usize,
    /// Written in part when the coordinator died.
    torn: Option<Record>,
    /// What the durable records up to a point in the past add up to.
    snapshot: Ledger,
    /// What they add up to now.
    ledger: Ledger,
}

/// Whether a sync has to be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncNeeded {
    /// It has.
    Yes,
    /// One is under way, or there is nothing to sync.
    No,
}

/// What a reader finds at the end of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// A whole record, or none.
    Whole,
    /// A record that was written in part, and is there no more.
    CutOff,
}

impl Disk {
    /// Writes a record; returns the number that it gets.
    pub(crate) fn append(&mut self, record: Record) -> RecordSequence {
        self.unsynced.push_back(record);
        RecordSequence((self.durable.len() + self.unsynced.len()) as u64)
    }

    /// Begins a sync of everything that is written, unless one is under way.
    pub(crate) fn begin_sync(&mut self) -> SyncNeeded {
        if self.syncing > 0 || self.unsynced.is_empty() {
            return SyncNeeded::No;
        }
        self.syncing = self.unsynced.len();
        SyncNeeded::Yes
    }

    /// Ends a sync; returns the records that are durable now.
    pub(crate) fn end_sync(&mut self) -> Vec<Record> {
        let count = std::mem::take(&mut self.syncing);
        self.keep(count)
    }

    /// Loses the tail: of what was not synced a prefix survives, `most` records at most.
    pub(crate) fn crash(&mut self, random: &mut Random, most: usize) -> Vec<Record> {
        let survivors = random.between(0, self.unsynced.len().min(most) as u64) as usize;
        let records = self.keep(survivors);
        self.torn = self.unsynced.front().cloned();
        self.unsynced.clear();
        self.syncing = 0;
        records
    }

    /// Cuts off what was written in part; tells whether there was something.
    pub(crate) fn cut_torn_tail(&mut self) -> Tail {
        match self.torn.take() {
            Some(_) => Tail::CutOff,
            None => Tail::Whole,
        }
    }

    /// Takes what was written in part for a whole record, as no reader may.
    pub(crate) fn accept_torn_tail(&mut self) -> Tail {
        if let Some(record) = self.torn.take() {
            self.unsynced.push_front(record);
            self.keep(1);
        }
        Tail::Whole
    }

    /// Returns the number of the last durable record.
    pub(crate) fn durable_up_to(&self) -> RecordSequence {
        RecordSequence(self.durable.len() as u64)
    }

    /// Returns what the durable records add up to.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the last durable word on every checkpoint of a run.
    pub(crate) fn checkpoints_of(&self, of: RunId) -> BTreeMap<BatchId, BTreeMap<OpId, Checkpoint>> {
        let mut kept: BTreeMap<BatchId, BTreeMap<OpId, Checkpoint>> = BTreeMap::new();
        for record in &self.durable {
            if let Record::BatchCheckpointed {
                run, batch, checkpoint, ..
            } = record
                && *run == of
            {
                let made = (**checkpoint).clone();
                kept.entry(*batch).or_default().insert(checkpoint.op(), made);
            }
            if let Record::CheckpointLost { run, batch, op } = record
                && *run == of
            {
                kept.entry(*batch).or_default().remove(op);
            }
        }
        kept
    }

    /// Tells whether a checkpoint of a run's batch was ever durable, lost since or not.
    pub(crate) fn ever_had(&self, of: RunId, of_batch: BatchId, part: &Part) -> bool {
        self.durable.iter().any(|record| {
            matches!(
                record,
                Record::BatchCheckpointed { run, batch, checkpoint, .. }
                    if *run == of && *batch == of_batch && checkpoint.part == *part
            )
        })
    }

    /// Takes a snapshot.
    pub(crate) fn take_snapshot(&mut self) {
        self.snapshot = self.ledger.clone();
    }

    /// Adds the durable records up from the beginning, and from the snapshot.
    pub(crate) fn replay(&self) -> (Ledger, Ledger) {
        let add = |mut ledger: Ledger| {
            let done = ledger.last.0 as usize;
            for (place, record) in self.durable.iter().enumerate().skip(done) {
                ledger.apply(RecordSequence(place as u64 + 1), record);
            }
            ledger
        };
        (add(Ledger::default()), add(self.snapshot.clone()))
    }

    fn keep(&mut self, count: usize) -> Vec<Record> {
        let records: Vec<Record> = self.unsynced.drain(..count).collect();
        for record in &records {
            self.durable.push(record.clone());
            self.ledger.apply(RecordSequence(self.durable.len() as u64), record);
        }
        records
    }
}
