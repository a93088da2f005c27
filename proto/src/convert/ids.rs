//! Ids: compact numbers between programs; in public messages they are texts, which the domain types print and read.

use common::ids::{Attempt, BatchId, Generation, Halves, LeaseId, OpId, OutputId, RunId, SessionId};

use super::{InvalidMessage, required};
use crate::v1;

impl From<LeaseId> for v1::LeaseId {
    fn from(lease: LeaseId) -> Self {
        v1::LeaseId {
            generation: lease.generation.0,
            sequence: lease.sequence,
        }
    }
}

impl From<v1::LeaseId> for LeaseId {
    fn from(wire: v1::LeaseId) -> Self {
        LeaseId {
            generation: Generation(wire.generation),
            sequence: wire.sequence,
        }
    }
}

impl From<SessionId> for v1::SessionId {
    fn from(session: SessionId) -> Self {
        v1::SessionId {
            generation: session.generation.0,
            sequence: session.sequence,
        }
    }
}

impl From<v1::SessionId> for SessionId {
    fn from(wire: v1::SessionId) -> Self {
        SessionId {
            generation: Generation(wire.generation),
            sequence: wire.sequence,
        }
    }
}

impl From<BatchId> for v1::BatchId {
    fn from(batch: BatchId) -> Self {
        v1::BatchId {
            index: batch.index,
            halves: batch.halves.turns().map(u32::from).collect(),
        }
    }
}

impl TryFrom<v1::BatchId> for BatchId {
    type Error = InvalidMessage;

    fn try_from(wire: v1::BatchId) -> Result<Self, InvalidMessage> {
        let turns = wire.halves.iter().map(|&turn| u8::try_from(turn).unwrap_or(u8::MAX));
        let halves = Halves::from_turns(turns).ok_or_else(|| {
            InvalidMessage::new("halves", format!("must be at most {} times 0 or 1", Halves::MAX_DEPTH))
        })?;
        Ok(BatchId {
            index: wire.index,
            halves,
        })
    }
}

impl From<OutputId> for v1::OutputId {
    fn from(output: OutputId) -> Self {
        v1::OutputId {
            batch: Some(output.batch.into()),
            op: output.op.0.into(),
            attempt: output.attempt.0,
        }
    }
}

impl TryFrom<v1::OutputId> for OutputId {
    type Error = InvalidMessage;

    fn try_from(wire: v1::OutputId) -> Result<Self, InvalidMessage> {
        Ok(OutputId {
            batch: required("batch", wire.batch)?,
            op: op_id("op", wire.op)?,
            attempt: attempt("attempt", wire.attempt)?,
        })
    }
}

/// Reads the place of an op in its chain.
pub(super) fn op_id(field: &str, number: u32) -> Result<OpId, InvalidMessage> {
    u16::try_from(number)
        .map(OpId)
        .map_err(|_| InvalidMessage::new(field, format!("is {number}, and no chain is that long")))
}

/// Reads the number of an execution of a task.
pub(super) fn attempt(field: &str, number: u32) -> Result<Attempt, InvalidMessage> {
    if number == 0 {
        return Err(InvalidMessage::new(field, "is 0; attempts are numbered from 1"));
    }
    Ok(Attempt(number))
}

/// Reads the number of a run.
pub(super) fn run_id(field: &str, number: u64) -> Result<RunId, InvalidMessage> {
    if number == 0 {
        return Err(InvalidMessage::new(field, "is 0; runs are numbered from 1"));
    }
    Ok(RunId(number))
}
