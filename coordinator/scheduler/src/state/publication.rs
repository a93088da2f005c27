//! A publication: committed parts that a worker has to put in place, and who was asked to.

use std::sync::Arc;

use common::ids::{BatchId, OpId, RunId, SessionId};
use common::part::Part;
use common::slice::RunContext;

/// Parts to be put in place.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) of: Published,
    pub(crate) parts: Vec<Part>,
    /// The run, if it is known nowhere else any more.
    pub(crate) context: Option<Arc<RunContext>>,
    /// The worker that was asked; `None` while nobody could be.
    pub(crate) session: Option<SessionId>,
    pub(crate) failures: u32,
}

/// Whose parts they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    Batch(RunId, BatchId),
    Op(RunId, OpId),
    /// Nothing: an ended run is forgotten, and what it keeps beside its result is deleted.
    Sweep(RunId),
}

impl Published {
    /// Returns the run they belong to.
    pub(crate) fn run(self) -> RunId {
        match self {
            Published::Batch(run, _) | Published::Op(run, _) | Published::Sweep(run) => run,
        }
    }

    /// Returns the batch they belong to.
    pub(crate) fn batch(self) -> Option<BatchId> {
        match self {
            Published::Batch(_, batch) => Some(batch),
            Published::Op(..) | Published::Sweep(_) => None,
        }
    }
}

impl Publication {
    /// Makes the sweep of a run that is forgotten; whoever does it is told what the run was.
    pub(crate) fn sweep(context: Arc<RunContext>) -> Publication {
        let of = Published::Sweep(context.run);
        Publication {
            context: Some(context),
            ..Publication::new(of, Vec::new())
        }
    }

    /// Makes a publication that nobody was asked for yet.
    pub(crate) fn new(of: Published, parts: Vec<Part>) -> Publication {
        Publication {
            of,
            parts,
            context: None,
            session: None,
            failures: 0,
        }
    }
}
