//! What a coordinator says to a worker.

use std::sync::Arc;

use common::message::{Grant, Input, Publish, RemoteOutput, Step, ToWorker};

use super::ids::{attempt, op_id, run_id};
use super::packed::start_from_wire;
use super::{InvalidMessage, convert, each, optional, required};
use crate::v1;
use crate::v1::grant::Start as WireStart;
use crate::v1::input::Place;
use crate::v1::to_worker::Message;

impl From<&ToWorker> for v1::ToWorker {
    fn from(message: &ToWorker) -> Self {
        let message = match message {
            ToWorker::OpenRun(context) => Message::OpenRun(context.as_ref().into()),
            ToWorker::CloseRun { run } => Message::CloseRun(v1::CloseRun { run: run.0 }),
            ToWorker::Grant(grant) => Message::Grant(grant.into()),
            ToWorker::Permit { lease } => Message::Permit(v1::Permit {
                lease: Some((*lease).into()),
            }),
            ToWorker::Truncate { lease } => Message::Truncate(v1::Truncate {
                lease: Some((*lease).into()),
            }),
            ToWorker::Recall { lease } => Message::Recall(v1::Recall {
                lease: Some((*lease).into()),
            }),
            ToWorker::Revoke { lease } => Message::Revoke(v1::Revoke {
                lease: Some((*lease).into()),
            }),
            ToWorker::Publish(publish) => Message::Publish(publish.into()),
            ToWorker::Discard { run, output } => Message::Discard(v1::Discard {
                run: run.0,
                output: Some((*output).into()),
            }),
            ToWorker::Drain => Message::Drain(v1::Drain {}),
            ToWorker::Settled { reports } => Message::Settled(v1::Settled { reports: *reports }),
        };
        v1::ToWorker { message: Some(message) }
    }
}

impl TryFrom<v1::ToWorker> for ToWorker {
    type Error = InvalidMessage;

    fn try_from(wire: v1::ToWorker) -> Result<Self, InvalidMessage> {
        let message = wire.message.ok_or_else(|| InvalidMessage::missing("message"))?;
        Ok(match message {
            Message::OpenRun(context) => ToWorker::OpenRun(Arc::new(convert("open_run", context)?)),
            Message::CloseRun(close) => ToWorker::CloseRun {
                run: run_id("close_run.run", close.run)?,
            },
            Message::Grant(grant) => ToWorker::Grant(convert("grant", grant)?),
            Message::Grants(_) => return Err(InvalidMessage::new("grants", "hold many leases; they come in a frame")),
            Message::Permit(permit) => ToWorker::Permit {
                lease: required("permit.lease", permit.lease)?,
            },
            Message::Truncate(truncate) => ToWorker::Truncate {
                lease: required("truncate.lease", truncate.lease)?,
            },
            Message::Recall(recall) => ToWorker::Recall {
                lease: required("recall.lease", recall.lease)?,
            },
            Message::Revoke(revoke) => ToWorker::Revoke {
                lease: required("revoke.lease", revoke.lease)?,
            },
            Message::Publish(publish) => ToWorker::Publish(convert("publish", publish)?),
            Message::Discard(discard) => ToWorker::Discard {
                run: run_id("discard.run", discard.run)?,
                output: required("discard.output", discard.output)?,
            },
            Message::Drain(v1::Drain {}) => ToWorker::Drain,
            Message::Settled(v1::Settled { reports }) => ToWorker::Settled { reports },
        })
    }
}

impl From<&Grant> for v1::Grant {
    fn from(grant: &Grant) -> Self {
        v1::Grant {
            lease: Some(grant.lease.into()),
            run: grant.run.0,
            batch: grant.batch.map(Into::into),
            steps: grant.steps.iter().map(Into::into).collect(),
            input: Some((&grant.input).into()),
            past: grant.past.as_deref().map(Into::into),
            start: WireStart::from(grant.start).into(),
        }
    }
}

impl TryFrom<v1::Grant> for Grant {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Grant) -> Result<Self, InvalidMessage> {
        if wire.steps.is_empty() {
            return Err(InvalidMessage::missing("steps"));
        }
        Ok(Grant {
            lease: required("lease", wire.lease)?,
            run: run_id("run", wire.run)?,
            batch: optional("batch", wire.batch)?,
            steps: each::<_, Step>("steps", wire.steps)?.into(),
            input: required("input", wire.input)?,
            past: optional("past", wire.past)?.map(Arc::new),
            start: start_from_wire(wire.start)?,
        })
    }
}

impl TryFrom<v1::Step> for Step {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Step) -> Result<Self, InvalidMessage> {
        Ok(Step {
            op: op_id("op", wire.op)?,
            attempt: attempt("attempt", wire.attempt)?,
        })
    }
}

impl From<&Input> for v1::Input {
    fn from(input: &Input) -> Self {
        let place = match input {
            Input::Slice(slice) => Place::Slice(slice.into()),
            Input::Local(output) => Place::Local((*output).into()),
            Input::Remote(remote) => Place::Remote(v1::RemoteOutput {
                output: Some(remote.output.into()),
                address: remote.address.clone(),
                ticket: remote.ticket.clone(),
                holder: Some(remote.holder.into()),
            }),
            Input::Checkpoint(part) => Place::Checkpoint(part.into()),
            Input::Committed => Place::Committed(v1::Committed {}),
        };
        v1::Input { place: Some(place) }
    }
}

impl TryFrom<v1::Input> for Input {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Input) -> Result<Self, InvalidMessage> {
        let place = wire.place.ok_or_else(|| InvalidMessage::missing("place"))?;
        Ok(match place {
            Place::Slice(slice) => Input::Slice(convert("slice", slice)?),
            Place::Local(output) => Input::Local(convert("local", output)?),
            Place::Remote(remote) => Input::Remote(RemoteOutput {
                output: required("remote.output", remote.output)?,
                address: remote.address,
                holder: required("remote.holder", remote.holder)?,
                ticket: remote.ticket,
            }),
            Place::Checkpoint(part) => Input::Checkpoint(convert("checkpoint", part)?),
            Place::Committed(v1::Committed {}) => Input::Committed,
        })
    }
}

impl From<&Publish> for v1::Publish {
    fn from(publish: &Publish) -> Self {
        v1::Publish {
            lease: Some(publish.lease.into()),
            run: publish.run.0,
            batch: publish.batch.map(Into::into),
            parts: publish.parts.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Publish> for Publish {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Publish) -> Result<Self, InvalidMessage> {
        Ok(Publish {
            lease: required("lease", wire.lease)?,
            run: run_id("run", wire.run)?,
            batch: optional("batch", wire.batch)?,
            parts: each("parts", wire.parts)?,
        })
    }
}
