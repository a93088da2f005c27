//! The summary of a run: counted as it happens, put together when somebody asks.

use common::ids::{OpId, RunId};
use common::summary::{Progress, RunSummary, Stall};

use crate::rules::admission::may_begin;
use crate::scheduler::Scheduler;
use crate::state::run::finish::FinishPhase;
use crate::state::run::{Run, Sharding};
use crate::state::worker::Session;

impl Scheduler {
    /// Puts together what can be said of a run now.
    pub(crate) fn summarize(&self, run: &Run) -> RunSummary {
        let cap = self.cap_in_force(run);
        RunSummary {
            run: run.id,
            job: run.job.name.clone(),
            state: run.state(),
            accepted: run.accepted,
            ended: None,
            first_batch_loaded: run.first_loaded,
            batches_in_flight: run.gauges.in_flight,
            committing: run.gauges.committing,
            bytes_in_flight: run.gauges.bytes,
            tasks_running: run.gauges.running,
            max_in_flight: run.job.schedule.in_flight_bound(cap),
            cap,
            batches: run.batch_counts,
            total_is_exact: run.sharding == Sharding::Over,
            source_bytes: Progress {
                done: run.bytes_sharded,
                total: run.source.total_bytes(),
            },
            tasks: run.task_counts,
            rows: run.rows,
            failure: run.failure.clone(),
            stalled: self.stall(run),
        }
    }

    /// Says why a run that has work to do does nothing, if nobody could do it.
    fn stall(&self, run: &Run) -> Option<Stall> {
        if self.live_slots == 0 {
            return Some(Stall::NoWorkers);
        }
        let is_wanted = |op: OpId| {
            !run.ready.waiting_for(op).is_empty()
                || op == OpId::EXTRACT && may_begin(run, self.cap_in_force(run)).is_ok()
                || run
                    .finish
                    .iter()
                    .any(|finish| finish.op == op && finish.phase == FinishPhase::Ready)
        };
        let can_do = |op: OpId| {
            self.sessions
                .values()
                .any(|session: &Session| session.live_slots() > 0 && session.can_do(&run.job, op))
        };
        run.job
            .op_ids()
            .find(|op| is_wanted(*op) && !can_do(*op))
            .map(|op| Stall::NoWorkerWithOp { op })
    }

    /// Returns what can be said of a run that has not ended.
    pub fn summary(&self, run: RunId) -> Option<RunSummary> {
        self.runs.get(&run).map(|run| self.summarize(run))
    }
}
