//! The task over the whole run: makes the result of what the batches committed.

use agent::ChainEnd;
use common::done::OpDone;
use common::failure::Failure;
use common::message::OpOutcome;
use tokio::runtime::Handle;

use super::{ChainJob, Surroundings};
use crate::clock::monotonic_now;
use crate::ops::plan::Plan;
use crate::panics::catch_panic;
use crate::session::CommittedPages;
use crate::sink::{self, CommittedPart, Finish};

/// Runs the one op of a lease over the whole run.
pub(super) fn run(job: &ChainJob, plan: &Plan, surroundings: &Surroundings) -> ChainEnd {
    let op = job.chain.steps[0].op;
    job.control.start_step(0, monotonic_now());
    match catch_panic(|| finish(job, plan, surroundings)) {
        Ok(done) => {
            job.control.end_step(op, monotonic_now(), OpOutcome::Done(done));
            ChainEnd::Finished { kept: None }
        }
        Err(failure) => {
            job.control.end_step(op, monotonic_now(), OpOutcome::Failed(failure));
            if job.control.cancel_token().is_cancelled() {
                return ChainEnd::Stopped;
            }
            // Also the folder that it may have made, if nothing else is in it.
            job.abandon();
            ChainEnd::OpFailed { op, kept: None }
        }
    }
}

fn finish(job: &ChainJob, plan: &Plan, surroundings: &Surroundings) -> Result<OpDone, Failure> {
    let op = job.chain.steps[0].op;
    let lease = job.chain.lease;
    let listing = surroundings.coordinator.committed_parts(job.chain.run.run, lease, op);
    let pages = surroundings.runtime.block_on(async {
        tokio::select! {
            pages = listing => pages,
            () = job.control.stopped() => Err(Failure::cancelled()),
        }
    })?;
    let (state, reopening) = (pages.state(), pages.reopening());
    let mut committed = Committed {
        pages,
        runtime: &surroundings.runtime,
        rows: 0,
    };
    let parts = sink::open(plan, op)?.finish(Finish {
        lease,
        state,
        reopening,
        committed: &mut committed,
        cancel: job.control.cancel_token(),
    })?;
    Ok(OpDone {
        rows_in: committed.rows,
        rows_out: committed.rows,
        parts,
        ..OpDone::default()
    })
}

/// The committed parts as the sink reads them: one page at a time in memory.
struct Committed<'a> {
    pages: CommittedPages,
    runtime: &'a Handle,
    rows: u64,
}

impl Iterator for Committed<'_> {
    type Item = Result<CommittedPart, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.runtime.block_on(self.pages.next()).transpose()?;
        if let Ok(part) = &next {
            self.rows += part.part.rows;
        }
        Some(next)
    }
}
