//! Answers that wait until nothing begins any more that their commands forbid.

use common::ids::RunId;

use crate::interface::event::Ticket;

/// An answer that waits until nothing begins any more that the command forbids.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) ticket: Ticket,
    pub(crate) within: Within,
}

/// Where something must be settled before an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    Run(RunId),
    AllRuns,
}
