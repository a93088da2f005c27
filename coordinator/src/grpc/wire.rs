//! The answers of [`crate::service`] as messages of JobService, and its requests back.

use common::ids::WorkerName;
use common::job::{FieldProblem, InvalidJob, Job};
use common::state::Reopening;
use common::steering::{Asker, CancelMode};
use proto::convert::limits::holders_to_wire;
use proto::convert::logs::level_from_wire;
use proto::convert::summary::{op_names, run_to_wire};
use proto::convert::time::time_to_wire;
use proto::convert::timeline::entry_to_wire;
use proto::v1;
use proto::v1::watch_run_response;
use scheduler::{BatchView, PoolView, WorkerState, WorkerView};
use tonic::Status;

use super::status;
use crate::service::{ActivityEntry, CommittedParts, RunView, TimelinePage, Update};
use crate::submit::{Accepted, Intent, JobRequest};
use crate::timeline::{LogFilter, LogPage};
use crate::vitals::{RunMemory, Vitals, WorkerPeaks};

/// Reads a submission.
pub(super) fn job_request(request: v1::SubmitJobRequest) -> Result<JobRequest, Status> {
    let missing = || InvalidJob::from(FieldProblem::new("job", "is missing; give the job to run"));
    let spec = request.job.ok_or_else(missing);
    let job = spec
        .and_then(Job::try_from)
        .map_err(|invalid| status::invalid_job(&invalid))?;
    Ok(JobRequest {
        job,
        request_id: Some(request.request_id).filter(|name| !name.is_empty()),
        intent: if request.validate_only {
            Intent::Validate
        } else {
            Intent::Run
        },
    })
}

/// Says that a job was accepted.
pub(super) fn accepted(accepted: &Accepted) -> v1::SubmitJobResponse {
    let plan = &accepted.plan;
    let schedule = &plan.job.schedule;
    let cap = schedule.max_concurrent.map(|cap| u64::from(cap.get()));
    v1::SubmitJobResponse {
        run_id: accepted.run.map(|run| run.to_string()).unwrap_or_default(),
        plan: Some(v1::Plan {
            job: Some(v1::JobSpec::from(&*plan.job)),
            files: plan.source.files.iter().map(v1::SourceFile::from).collect(),
            source_bytes: plan.source.total_bytes(),
            source_columns: plan.source.columns.clone(),
            output_columns: plan.output_columns.clone(),
            ops: op_names(&plan.job),
            max_in_flight: cap.and_then(|cap| schedule.in_flight_bound(cap)),
            max_in_flight_bytes: schedule.in_flight_bytes_bound(),
        }),
    }
}

/// Shows a run.
pub(super) fn run(view: &RunView) -> v1::Run {
    v1::Run {
        memory: view.memory.as_ref().map(memory),
        rerun_of: view.rerun_of.as_ref().map(|rerun| v1::RerunOf {
            run_id: rerun.run.to_string(),
            from_op: rerun.from.clone(),
            batches_at_checkpoints: rerun.at_checkpoints,
        }),
        ..run_to_wire(&view.summary, &op_names(&view.job), view.now)
    }
}

fn memory(memory: &RunMemory) -> v1::RunMemory {
    let worker = |(name, peaks): (&WorkerName, &WorkerPeaks)| v1::WorkerMemory {
        worker: name.as_str().to_owned(),
        peak_rss_bytes: peaks.rss,
        peak_held_bytes: peaks.held,
        peak_spilled_bytes: peaks.spilled,
    };
    v1::RunMemory {
        coordinator_peak_rss_bytes: memory.coordinator_rss,
        workers: memory.workers.iter().map(worker).collect(),
    }
}

/// Reads what is to become of the tasks of a cancelled run.
pub(super) fn cancel_mode(mode: i32) -> Result<CancelMode, Status> {
    match v1::CancelMode::try_from(mode) {
        Ok(v1::CancelMode::Unspecified | v1::CancelMode::Now) => Ok(CancelMode::Now),
        Ok(v1::CancelMode::AfterRunning) => Ok(CancelMode::AfterRunning),
        Err(_) => Err(status::invalid_field("mode", "is none of NOW, AFTER_RUNNING")),
    }
}

/// Shows a limit that runs share.
pub(super) fn pool(pool: &PoolView) -> v1::Pool {
    v1::Pool {
        name: pool.name.to_string(),
        limit: pool.limit,
        used: pool.used,
        holders: holders_to_wire(&pool.holders),
    }
}

/// Shows what happened to a run.
pub(super) fn activity(entry: ActivityEntry) -> v1::Activity {
    v1::Activity {
        time: Some(time_to_wire(entry.at)),
        kind: entry.kind.to_owned(),
        by: entry.by.map_or("", Asker::as_str).to_owned(),
        message: entry.message,
    }
}

/// Tells a watcher.
pub(super) fn update(update: Update) -> v1::WatchRunResponse {
    let update = match update {
        Update::Snapshot(view) => watch_run_response::Update::Snapshot(run(&view)),
        Update::Progress(view) => watch_run_response::Update::Progress(run(&view)),
        Update::Ended(view) => watch_run_response::Update::Ended(run(&view)),
        Update::Tasks(events) => {
            let ops = op_names(&events.job);
            let entries = events.entries.iter();
            watch_run_response::Update::TaskEvents(v1::TaskEvents {
                entries: entries
                    .map(|entry| entry_to_wire(entry, None, &ops, events.accepted))
                    .collect(),
            })
        }
    };
    v1::WatchRunResponse { update: Some(update) }
}

/// Shows a page of a timeline.
pub(super) fn timeline(view: &RunView, page: &TimelinePage) -> v1::GetTimelineResponse {
    let ops = op_names(&view.job);
    let accepted = view.summary.accepted;
    v1::GetTimelineResponse {
        entries: page
            .attempts
            .iter()
            .map(|attempt| entry_to_wire(&attempt.entry, attempt.failure.as_ref(), &ops, accepted))
            .collect(),
    }
}

/// Reads which lines of a log are wanted.
pub(super) fn log_filter(request: &v1::TailLogsRequest, job: &Job) -> Result<LogFilter, Status> {
    let op = Some(&request.op).filter(|name| !name.is_empty()).map(|name| {
        let known = job.op_ids().find(|op| job.op(*op).name == *name);
        known.ok_or_else(|| status::invalid_field("op", "is no op of the run"))
    });
    let batch = Some(&request.batch_id).filter(|batch| !batch.is_empty()).map(|batch| {
        let parsed: Result<common::ids::BatchId, _> = batch.parse();
        parsed.map_err(|error| status::invalid_field("batch_id", error))
    });
    Ok(LogFilter {
        op: op.transpose()?,
        batch: batch.transpose()?,
        attempt: Some(request.attempt).filter(|attempt| *attempt > 0),
        level: level_from_wire(request.level()),
        text: Some(request.text.clone()).filter(|text| !text.is_empty()),
    })
}

/// Shows a page of a log.
pub(super) fn log_page(view: &RunView, page: &LogPage) -> v1::TailLogsResponse {
    let ops = op_names(&view.job);
    let accepted = view.summary.accepted;
    let lines = page.lines.iter().map(|(number, kept)| v1::LogLine {
        number: *number,
        at_seconds: kept.line.at.seconds_since(accepted),
        level: v1::LogLevel::from(kept.line.level).into(),
        op: ops.get(kept.line.op.index()).cloned().unwrap_or_default(),
        batch_id: kept.line.batch.map(|batch| batch.to_string()).unwrap_or_default(),
        attempt: kept.line.attempt.0,
        worker: kept
            .worker
            .as_ref()
            .map(|worker| worker.as_str().to_owned())
            .unwrap_or_default(),
        text: kept.line.text.clone(),
    });
    v1::TailLogsResponse {
        lines: lines.collect(),
        next: page.next,
        dropped: page.dropped,
    }
}

/// Shows a batch.
pub(super) fn batch(batch: &BatchView, view: &RunView) -> v1::Batch {
    let op = batch.op.and_then(|op| view.job.ops.get(op.index()));
    v1::Batch {
        id: batch.id.to_string(),
        state: v1::BatchState::from(batch.state).into(),
        op: op.map(|op| op.name.clone()).unwrap_or_default(),
        attempt: batch.attempt.0,
        worker: batch
            .worker
            .as_ref()
            .map(|worker| worker.as_str().to_owned())
            .unwrap_or_default(),
        slice: batch.slice.as_ref().map(v1::BatchSlice::from),
        failure: batch.failure.as_ref().map(v1::Failure::from),
        crashes: batch.crashes,
        bad_row: batch.row.as_ref().map(v1::BadRow::from),
    }
}

/// Shows a worker's session.
pub(super) fn worker(worker: &WorkerView, vitals: &Vitals) -> v1::Worker {
    let state = match worker.state {
        WorkerState::Live => v1::WorkerState::Live,
        WorkerState::Disconnected => v1::WorkerState::Disconnected,
        WorkerState::Draining => v1::WorkerState::Draining,
        WorkerState::Fenced => v1::WorkerState::Fenced,
    };
    v1::Worker {
        name: worker.worker.as_str().to_owned(),
        session_id: worker.session.to_string(),
        state: state.into(),
        slots: worker.slots,
        busy: worker.busy,
        ops: worker.ops.iter().cloned().collect(),
        last_heard_time: Some(time_to_wire(worker.last_heard)),
        program_version: vitals.version.clone(),
        rss_bytes: vitals.rss_bytes,
        parked_bytes: vitals.parked_bytes,
        spilled_bytes: vitals.spilled_bytes,
        tasks_done: vitals.tasks_done,
        tasks_per_second: vitals.tasks_per_second,
    }
}

/// Shows a page of committed parts.
pub(super) fn committed_parts(page: &CommittedParts) -> v1::ListCommittedPartsResponse {
    let parts = page.parts.iter().map(|(batch, part)| v1::CommittedPart {
        batch: Some((*batch).into()),
        part: Some(part.into()),
    });
    v1::ListCommittedPartsResponse {
        state: v1::RunState::from(page.state).into(),
        parts: parts.collect(),
        is_final: page.reopening == Reopening::Never,
    }
}
