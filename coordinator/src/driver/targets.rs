//! Targets of live runs: two runs may not write to one place at the same time.

use std::path::Path;

use common::job::{FieldProblem, InvalidJob, Job};
use scheduler::Scheduler;

/// Refuses a job that writes where a live run writes.
pub(super) fn check_free(scheduler: &Scheduler, job: &Job) -> Result<(), InvalidJob> {
    let taken = job.file_sinks().find_map(|(op, sink)| {
        let target = Path::new(&sink.uri);
        let run = scheduler
            .live_jobs()
            .find(|(_, live)| live.file_sinks().any(|(_, other)| Path::new(&other.uri) == target));
        run.map(|(run, _)| (op, sink, run))
    });
    let Some((op, sink, run)) = taken else { return Ok(()) };
    let path = format!(
        "ops[{}].write.{}.uri",
        op.index().saturating_sub(1),
        sink.format.extension()
    );
    let problem = format!(
        "{run} is writing to {}; wait until it has ended, cancel it, or write elsewhere",
        sink.uri
    );
    Err(FieldProblem::new(path, problem).into())
}
