//! People who run the later ops of ended runs again: new runs that begin at the checkpoints of others.
//!
//! What production reads from the blocks of the journal's archive is read here from the records on the simulated disk. Such
//! a run is of the same job, so that what must come of its batches is the same.

use std::ops::Range;
use std::sync::Arc;

use common::ids::{BatchId, OpId, RunId};
use common::job::Checkpointing;
use common::part::Part;
use common::steering::Asker;
use scheduler::{Checkpoint, Event, NewRun, Origin, Rerun};

use crate::world::World;

impl World {
    /// Submits a user's job again, to begin at the checkpoints of the user's run if that has ended; nobody waits for the answer.
    pub(crate) fn rerun(&mut self, user: usize) {
        let Some(of) = self.users[user].run else { return };
        if !self.disk.ledger().ended.contains_key(&of) {
            return;
        }
        let ops = &self.plan.jobs[user].ops;
        let last = ops.iter().rposition(|op| op.checkpoint == Checkpointing::Yes);
        let (Some(last), Some(coordinator)) = (last, &mut self.coordinator) else {
            return;
        };
        coordinator.last_run = RunId(coordinator.last_run.0 + 1);
        let run = coordinator.last_run;
        let (job, source) = self.job_of(run, user);
        let behind = OpId(last as u16 + 1);
        let rerun = Rerun {
            of,
            from: job.op(OpId(behind.0 + 1)).name.clone(),
            behind,
            origins: vec![Origin { run: of, up_to: behind }],
            kept: 0,
            gone: 0,
            by: Asker::Grpc,
        };
        let new = NewRun {
            run,
            job: Arc::new(job),
            source,
            seed: self.plan.seed,
            rerun: Some(Box::new(rerun)),
            request_id: None,
        };
        self.tell_scheduler(Event::RunSubmitted(Box::new(new)));
    }

    /// Returns where those of some batches begin that have a checkpoint of a run that theirs goes on from.
    pub(crate) fn beginnings(&self, run: RunId, batches: Range<usize>) -> Vec<(BatchId, Checkpoint)> {
        let mut found = Vec::new();
        for origin in self.origins_of(run) {
            for (batch, made) in self.disk.checkpoints_of(origin.run) {
                let is_wanted = batch.halves.depth() == 0 && batches.contains(&(batch.index as usize));
                let last = made.into_values().rfind(|made| made.op() <= origin.up_to);
                let last = last.filter(|made| is_wanted && self.oracle.checkpoints.is_there(&made.part));
                found.extend(last.map(|made| (batch, made)));
            }
        }
        found
    }

    /// Tells whether a run goes on from another one that made a checkpoint of a batch. That one may have lost it since, when it was
    /// reopened: a rerun that had found it finds that out by itself.
    pub(crate) fn may_begin_at(&self, run: RunId, batch: BatchId, part: &Part) -> bool {
        self.origins_of(run)
            .iter()
            .any(|origin| part.op <= origin.up_to && self.disk.ever_had(origin.run, batch, part))
    }

    fn origins_of(&self, run: RunId) -> &[Origin] {
        let known = self.disk.ledger().runs.get(&run).and_then(|run| run.rerun.as_deref());
        known.map_or(&[], |rerun| &rerun.origins)
    }
}
