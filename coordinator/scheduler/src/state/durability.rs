//! What waits for the journal: effects that may not happen before their record is durable.

use std::collections::VecDeque;
use std::sync::Arc;

use common::ids::{BatchId, OpId, RunId, SessionId};
use common::summary::RunSummary;

use crate::interface::event::Asked;
use crate::journal::checkpoint::Checkpoint;
use crate::journal::record::RecordSequence;
use crate::journal::run_ledger::RunLedger;
use crate::state::run::halves::TwoHalves;

/// What happens when a record is durable.
#[derive(Debug)]
pub(crate) enum AfterDurable {
    RunAccepted(RunId),
    SessionOpened(SessionId),
    ReportsTaken(SessionId, u64),
    BatchCommitted(RunId, BatchId),
    BatchCheckpointed(RunId, BatchId, Box<Checkpoint>),
    BatchHalved(RunId, BatchId, TwoHalves),
    FailedRetried(RunId, Vec<BatchId>),
    RunReopened(RunId, Box<RunLedger>),
    RunFinishing(RunId),
    RunOpCommitted(RunId, OpId),
    RunEnded(Arc<RunSummary>),
    Asked(Box<Asked>),
    /// What was asked for was so already, by a record that may not be durable.
    AskedAgain(Box<Asked>),
}

/// The effects that wait, in the order of their records.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    last: RecordSequence,
    durable: RecordSequence,
    effects: VecDeque<(RecordSequence, AfterDurable)>,
}

impl Waiting {
    /// Numbers records behind one that is durable already.
    pub(crate) fn continue_after(&mut self, last: RecordSequence) {
        self.last = last;
        self.durable = last;
    }

    /// Numbers the next record.
    pub(crate) fn next_sequence(&mut self) -> RecordSequence {
        self.last = RecordSequence(self.last.0 + 1);
        self.last
    }

    /// Lets an effect wait for the record that was numbered last.
    pub(crate) fn after_last(&mut self, effect: AfterDurable) {
        self.effects.push_back((self.last, effect));
    }

    /// Tells whether every record is durable.
    pub(crate) fn is_all_durable(&self) -> bool {
        self.durable >= self.last
    }

    /// Returns how many records of how a run ends are not durable.
    pub(crate) fn endings_of(&self, run: RunId) -> u32 {
        let endings = self.effects.iter().map(|(_, effect)| match effect {
            AfterDurable::RunFinishing(of) => u32::from(*of == run),
            AfterDurable::RunAccepted(_)
            | AfterDurable::SessionOpened(_)
            | AfterDurable::ReportsTaken(..)
            | AfterDurable::BatchCommitted(..)
            | AfterDurable::BatchCheckpointed(..)
            | AfterDurable::BatchHalved(..)
            | AfterDurable::FailedRetried(..)
            | AfterDurable::RunReopened(..)
            | AfterDurable::RunOpCommitted(..)
            | AfterDurable::RunEnded(_)
            | AfterDurable::Asked(_)
            | AfterDurable::AskedAgain(_) => 0,
        });
        endings.sum()
    }

    /// Notes up to which record all are durable.
    pub(crate) fn note_durable(&mut self, sequence: RecordSequence) {
        self.durable = self.durable.max(sequence);
    }

    /// Takes the next effect whose record is among those up to `sequence`.
    pub(crate) fn pop_durable(&mut self, sequence: RecordSequence) -> Option<AfterDurable> {
        match self.effects.front() {
            Some((waits_for, _)) if *waits_for <= sequence => self.effects.pop_front().map(|(_, effect)| effect),
            Some(_) | None => None,
        }
    }
}
