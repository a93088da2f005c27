//! What a worker reports.

use common::done::OpDone;
use common::message::{LeaseEnd, OpOutcome, PermitFate, Report};
use common::time::Time;

use super::ids::op_id;
use super::packed::{chain_to_wire, chains_from_wire};
use super::{InvalidMessage, convert, each, optional, required};
use crate::v1;
use crate::v1::lease_ended::{End, Permit};
use crate::v1::op_ended::Outcome;
use crate::v1::report::Report as Wire;

impl From<&Report> for v1::Report {
    fn from(report: &Report) -> Self {
        let report = match report {
            Report::OpStarted { lease, op, slot, at } => Wire::OpStarted(v1::OpStarted {
                lease: Some((*lease).into()),
                op: op.0.into(),
                slot: *slot,
                at_nanos: at.0,
            }),
            Report::OpEnded { lease, op, at, outcome } => Wire::OpEnded(v1::OpEnded {
                lease: Some((*lease).into()),
                op: op.0.into(),
                at_nanos: at.0,
                outcome: Some(outcome.into()),
            }),
            Report::FetchStarted { lease, at } => Wire::FetchStarted(v1::FetchStarted {
                lease: Some((*lease).into()),
                at_nanos: at.0,
            }),
            Report::Truncated { lease, last } => Wire::Truncated(v1::Truncated {
                lease: Some((*lease).into()),
                last: last.0.into(),
            }),
            Report::LeaseEnded { lease, end, permit } => Wire::LeaseEnded(v1::LeaseEnded {
                lease: Some((*lease).into()),
                end: Some(end.into()),
                permit: Some((*permit).into()),
            }),
            Report::ChainRan(ran) => Wire::ChainsRan(chain_to_wire(ran)),
            Report::Published { lease } => Wire::Published(v1::Published {
                lease: Some((*lease).into()),
            }),
            Report::PublishFailed { lease, failure } => Wire::PublishFailed(v1::PublishFailed {
                lease: Some((*lease).into()),
                failure: Some(failure.into()),
            }),
            Report::Draining => Wire::Draining(v1::Draining {}),
        };
        v1::Report { report: Some(report) }
    }
}

impl TryFrom<v1::Report> for Report {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Report) -> Result<Self, InvalidMessage> {
        let report = wire.report.ok_or_else(|| InvalidMessage::missing("report"))?;
        Ok(match report {
            Wire::OpStarted(started) => Report::OpStarted {
                lease: required("op_started.lease", started.lease)?,
                op: op_id("op_started.op", started.op)?,
                slot: started.slot,
                at: Time(started.at_nanos),
            },
            Wire::OpEnded(ended) => Report::OpEnded {
                lease: required("op_ended.lease", ended.lease)?,
                op: op_id("op_ended.op", ended.op)?,
                at: Time(ended.at_nanos),
                outcome: required("op_ended.outcome", ended.outcome)?,
            },
            Wire::FetchStarted(started) => Report::FetchStarted {
                lease: required("fetch_started.lease", started.lease)?,
                at: Time(started.at_nanos),
            },
            Wire::Truncated(truncated) => Report::Truncated {
                lease: required("truncated.lease", truncated.lease)?,
                last: op_id("truncated.last", truncated.last)?,
            },
            Wire::LeaseEnded(ended) => Report::LeaseEnded {
                lease: required("lease_ended.lease", ended.lease)?,
                end: required("lease_ended.end", ended.end)?,
                permit: required("lease_ended.permit", ended.permit)?,
            },
            Wire::ChainsRan(chains) => {
                let mut read = chains_from_wire(chains).map_err(|error| error.within("chains_ran"))?;
                match (read.pop(), read.pop()) {
                    (Some(ran), None) => Report::ChainRan(ran),
                    (Some(_) | None, _) => {
                        return Err(InvalidMessage::new(
                            "chains_ran",
                            "hold many leases; they come in a frame",
                        ));
                    }
                }
            }
            Wire::Published(published) => Report::Published {
                lease: required("published.lease", published.lease)?,
            },
            Wire::PublishFailed(failed) => Report::PublishFailed {
                lease: required("publish_failed.lease", failed.lease)?,
                failure: required("publish_failed.failure", failed.failure)?,
            },
            Wire::Draining(v1::Draining {}) => Report::Draining,
        })
    }
}

impl From<&OpOutcome> for Outcome {
    fn from(outcome: &OpOutcome) -> Self {
        match outcome {
            OpOutcome::Done(done) => Outcome::Done(done.into()),
            OpOutcome::Failed(failure) => Outcome::Failed(failure.into()),
        }
    }
}

impl TryFrom<Outcome> for OpOutcome {
    type Error = InvalidMessage;

    fn try_from(wire: Outcome) -> Result<Self, InvalidMessage> {
        Ok(match wire {
            Outcome::Done(done) => OpOutcome::Done(convert("done", done)?),
            Outcome::Failed(failure) => OpOutcome::Failed(convert("failed", failure)?),
        })
    }
}

impl From<&OpDone> for v1::OpDone {
    fn from(done: &OpDone) -> Self {
        v1::OpDone {
            rows_in: done.rows_in,
            rows_out: done.rows_out,
            rows_rejected: done.rows_rejected,
            bytes_held: done.bytes_held,
            parts: done.parts.iter().map(Into::into).collect(),
            checkpoint: done.checkpoint.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::OpDone> for OpDone {
    type Error = InvalidMessage;

    fn try_from(wire: v1::OpDone) -> Result<Self, InvalidMessage> {
        Ok(OpDone {
            rows_in: wire.rows_in,
            rows_out: wire.rows_out,
            rows_rejected: wire.rows_rejected,
            bytes_held: wire.bytes_held,
            parts: each("parts", wire.parts)?,
            checkpoint: optional("checkpoint", wire.checkpoint)?,
        })
    }
}

impl From<&LeaseEnd> for End {
    fn from(end: &LeaseEnd) -> Self {
        match end {
            LeaseEnd::Prepared => End::Prepared(v1::Prepared {}),
            LeaseEnd::Parked { output, bytes } => End::Parked(v1::Parked {
                output: Some((*output).into()),
                bytes: *bytes,
            }),
            LeaseEnd::Failed { op, kept } => End::Failed(v1::OpFailed {
                op: op.0.into(),
                kept: kept.map(Into::into),
            }),
            LeaseEnd::InputLost { failure } => End::InputLost(v1::InputLost {
                failure: Some(failure.into()),
            }),
            LeaseEnd::Checkpointed => End::Checkpointed(v1::Checkpointed {}),
            LeaseEnd::Stopped => End::Stopped(v1::Stopped {}),
            LeaseEnd::Recalled => End::Recalled(v1::Recalled {}),
        }
    }
}

impl TryFrom<End> for LeaseEnd {
    type Error = InvalidMessage;

    fn try_from(wire: End) -> Result<Self, InvalidMessage> {
        Ok(match wire {
            End::Prepared(v1::Prepared {}) => LeaseEnd::Prepared,
            End::Parked(parked) => LeaseEnd::Parked {
                output: required("parked.output", parked.output)?,
                bytes: parked.bytes,
            },
            End::Failed(failed) => LeaseEnd::Failed {
                op: op_id("failed.op", failed.op)?,
                kept: optional("failed.kept", failed.kept)?,
            },
            End::InputLost(lost) => LeaseEnd::InputLost {
                failure: required("input_lost.failure", lost.failure)?,
            },
            End::Checkpointed(v1::Checkpointed {}) => LeaseEnd::Checkpointed,
            End::Stopped(v1::Stopped {}) => LeaseEnd::Stopped,
            End::Recalled(v1::Recalled {}) => LeaseEnd::Recalled,
        })
    }
}

impl From<PermitFate> for Permit {
    fn from(fate: PermitFate) -> Self {
        match fate {
            PermitFate::Returned => Permit::PermitReturned(v1::PermitReturned {}),
            PermitFate::PassedTo(lease) => Permit::PermitPassedTo(lease.into()),
            PermitFate::None => Permit::PermitNone(v1::PermitNone {}),
        }
    }
}

impl From<Permit> for PermitFate {
    fn from(wire: Permit) -> Self {
        match wire {
            Permit::PermitReturned(v1::PermitReturned {}) => PermitFate::Returned,
            Permit::PermitPassedTo(lease) => PermitFate::PassedTo(lease.into()),
            Permit::PermitNone(v1::PermitNone {}) => PermitFate::None,
        }
    }
}
