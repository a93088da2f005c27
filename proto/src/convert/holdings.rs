//! What a worker holds when it meets a coordinator that was started again.
//!
//! The session that it held it in, the key of its exchange and the time of the listing are the edges' own business; here
//! are the holdings themselves.

use std::sync::Arc;

use common::done::{DoneOp, Past};
use common::holdings::{HeldBatch, HeldCourse, HeldLease, HeldOutput, HeldState, Holdings};
use common::ids::RunId;
use common::time::Time;

use super::ids::{op_id, run_id};
use super::{InvalidMessage, convert, each, known, required};
use crate::v1;
use crate::v1::held_lease::State;
use crate::v1::held_running::Course;

impl From<&Holdings> for v1::Holdings {
    fn from(holdings: &Holdings) -> Self {
        v1::Holdings {
            session: None,
            exchange_key: Vec::new(),
            listed_at_nanos: 0,
            runs: holdings.runs.iter().map(|run| run.0).collect(),
            leases: holdings.leases.iter().map(Into::into).collect(),
            outputs: holdings.outputs.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Holdings> for Holdings {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Holdings) -> Result<Self, InvalidMessage> {
        let runs = wire.runs.into_iter().map(|run| run_id("runs", run));
        Ok(Holdings {
            runs: runs.collect::<Result<Vec<RunId>, _>>()?,
            leases: each("leases", wire.leases)?,
            outputs: each("outputs", wire.outputs)?,
        })
    }
}

impl From<&HeldLease> for v1::HeldLease {
    fn from(held: &HeldLease) -> Self {
        let state = match &held.state {
            HeldState::Running {
                slot,
                since,
                fetch_started,
                course,
            } => State::Running(v1::HeldRunning {
                slot: *slot,
                since_nanos: since.map(|since| since.0),
                fetch_started_nanos: fetch_started.map(|started| started.0),
                course: Course::from(*course).into(),
            }),
            HeldState::Prepared => State::Prepared(v1::Prepared {}),
        };
        v1::HeldLease {
            lease: Some(held.lease.into()),
            run: held.run.0,
            batch: held.batch.as_ref().map(|batch| batch.id.into()),
            slice: held.batch.as_ref().map(|batch| (&batch.slice).into()),
            steps: held.steps.iter().map(Into::into).collect(),
            started: held.started,
            done: held.done.iter().map(Into::into).collect(),
            begun_at: held.begun_at.as_ref().map(Into::into),
            state: Some(state),
        }
    }
}

impl TryFrom<v1::HeldLease> for HeldLease {
    type Error = InvalidMessage;

    fn try_from(wire: v1::HeldLease) -> Result<Self, InvalidMessage> {
        if wire.steps.is_empty() {
            return Err(InvalidMessage::missing("steps"));
        }
        let batch = match (wire.batch, wire.slice) {
            (None, None) => None,
            (Some(batch), Some(slice)) => Some(HeldBatch {
                id: convert("batch", batch)?,
                slice: convert("slice", slice)?,
            }),
            (Some(_), None) => return Err(InvalidMessage::missing("slice")),
            (None, Some(_)) => return Err(InvalidMessage::missing("batch")),
        };
        Ok(HeldLease {
            lease: required("lease", wire.lease)?,
            run: run_id("run", wire.run)?,
            batch,
            steps: each("steps", wire.steps)?,
            started: wire.started,
            done: each("done", wire.done)?,
            begun_at: wire.begun_at.map(|part| convert("begun_at", part)).transpose()?,
            state: required("state", wire.state)?,
        })
    }
}

impl TryFrom<State> for HeldState {
    type Error = InvalidMessage;

    fn try_from(wire: State) -> Result<Self, InvalidMessage> {
        Ok(match wire {
            State::Running(running) => HeldState::Running {
                slot: running.slot,
                since: running.since_nanos.map(Time),
                fetch_started: running.fetch_started_nanos.map(Time),
                course: match known("running.course", running.course)? {
                    Course::Unspecified => return Err(InvalidMessage::missing("running.course")),
                    Course::On => HeldCourse::On,
                    Course::Truncating => HeldCourse::Truncating,
                    Course::Stopping => HeldCourse::Stopping,
                },
            },
            State::Prepared(v1::Prepared {}) => HeldState::Prepared,
        })
    }
}

impl From<HeldCourse> for Course {
    fn from(course: HeldCourse) -> Self {
        match course {
            HeldCourse::On => Course::On,
            HeldCourse::Truncating => Course::Truncating,
            HeldCourse::Stopping => Course::Stopping,
        }
    }
}

impl From<&DoneOp> for v1::DoneOp {
    fn from(done: &DoneOp) -> Self {
        v1::DoneOp {
            op: done.op.0.into(),
            did: Some((&done.did).into()),
        }
    }
}

impl TryFrom<v1::DoneOp> for DoneOp {
    type Error = InvalidMessage;

    fn try_from(wire: v1::DoneOp) -> Result<Self, InvalidMessage> {
        Ok(DoneOp {
            op: op_id("op", wire.op)?,
            did: required("did", wire.did)?,
        })
    }
}

impl From<&HeldOutput> for v1::HeldOutput {
    fn from(held: &HeldOutput) -> Self {
        v1::HeldOutput {
            run: held.run.0,
            output: Some(held.output.into()),
            bytes: held.bytes,
            past: Some(held.past.as_ref().into()),
        }
    }
}

impl TryFrom<v1::HeldOutput> for HeldOutput {
    type Error = InvalidMessage;

    fn try_from(wire: v1::HeldOutput) -> Result<Self, InvalidMessage> {
        Ok(HeldOutput {
            run: run_id("run", wire.run)?,
            output: required("output", wire.output)?,
            bytes: wire.bytes,
            past: Arc::new(required("past", wire.past)?),
        })
    }
}

impl From<&Past> for v1::Past {
    fn from(past: &Past) -> Self {
        v1::Past {
            slice: Some((&past.slice).into()),
            done: past.done.iter().map(Into::into).collect(),
            begun_at: past.begun_at.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::Past> for Past {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Past) -> Result<Self, InvalidMessage> {
        Ok(Past {
            slice: required("slice", wire.slice)?,
            done: each("done", wire.done)?,
            begun_at: wire.begun_at.map(|part| convert("begun_at", part)).transpose()?,
        })
    }
}
