//! What workers claim to hold after a restart: whether it can be, and what it would be in the books.

use common::done::DoneOp;
use common::holdings::{HeldLease, HeldState};
use common::ids::{OpId, OutputId, SessionId};
use common::job::Job;
use common::part::Part;
use common::time::Time;

use crate::journal::checkpoint::Checkpoint;
use crate::state::lease::{Lease, Permit, Standing, Truncation};
use crate::state::run::Run;

/// Makes a lease of what a worker says of it.
pub(crate) fn lease_of(session: SessionId, held: &HeldLease, standing: Standing, now: Time) -> Lease {
    Lease {
        id: held.lease,
        run: held.run,
        batch: held.batch.as_ref().map(|batch| batch.id),
        steps: held.steps.as_slice().into(),
        session,
        permit: Permit::Held,
        standing,
        started: held.started as usize,
        running: None,
        truncation: Truncation::None,
        limited_op: None,
        pools: Vec::new(),
        tokens: None,
        granted: now,
        queued: now,
        fetch_started: None,
        failure: None,
    }
}

/// Tells whether a lease can have been granted: its steps follow each other in the job's chain, and what is said to be done is what
/// comes before them and their beginning.
pub(crate) fn is_possible(held: &HeldLease, job: &Job) -> bool {
    let Some(first) = held.steps.first() else {
        return false;
    };
    let follow = held
        .steps
        .windows(2)
        .all(|two| job.successor(two[0].op) == Some(two[1].op));
    let exist = held.steps.iter().all(|step| step.op.index() < job.ops.len());
    let started = held.started as usize;
    let runs_now = usize::from(matches!(held.state, HeldState::Running { since: Some(_), .. }));
    let done = held.done.len();
    let in_order = held
        .done
        .iter()
        .enumerate()
        .all(|(place, done)| done.op.index() == place);
    let ended_well = first.op.index() + started.saturating_sub(runs_now);
    follow && exist && in_order && started <= held.steps.len() && done == ended_well
}

/// Tells whether ops from the first one to `last` are there, in order.
pub(crate) fn is_unbroken(done: &[DoneOp], job: &Job, last: OpId) -> bool {
    last.index() < job.ops.len()
        && done.len() == last.index() + 1
        && done.iter().enumerate().all(|(place, done)| done.op.index() == place)
}

/// Makes the checkpoint of another run that a worker says a batch began at, if its run goes on from others. The coordinator
/// finds it again with the batch's slice, which may be much later.
pub(crate) fn beginning(run: &Run, begun_at: Option<&Part>, done: &[DoneOp]) -> Option<Checkpoint> {
    let (part, rerun) = (begun_at?, run.rerun.as_ref()?);
    let done = done.get(..=part.op.index())?.to_vec();
    (part.op <= rerun.behind).then_some(Checkpoint {
        part: part.clone(),
        done,
    })
}

/// Returns what a batch holds after what was done.
pub(crate) fn bytes_held(done: &[DoneOp]) -> u64 {
    done.last().map_or(0, |last| last.did.bytes_held)
}

/// Returns the op that goes on from an output.
pub(crate) fn next(output: OutputId) -> OpId {
    OpId(output.op.0 + 1)
}
