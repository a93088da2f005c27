//! Commands: the same checks as in gRPC, because the same service does them.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::ids::WorkerName;
use common::job::InvalidJob;
use common::steering::Asker;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Problem, run_id, shapes};
use crate::service::Service;
use crate::spec::SpecText;
use crate::submit::{Intent, JobRequest, Plan, RerunRequest, SubmitError};

/// Whether a job is only to be checked.
#[derive(Debug, Deserialize)]
pub(super) struct SubmitQuery {
    #[serde(default)]
    validate: bool,
}

/// A submission: the job as JSON, or as people write it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    job: Option<Value>,
    yaml: Option<String>,
    #[serde(default)]
    request_id: String,
}

pub(super) async fn submit(
    State(service): State<Service>,
    Query(query): Query<SubmitQuery>,
    body: Bytes,
) -> Result<Response, Problem> {
    let submission: Submission = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "INVALID_JSON", error.to_string()))?;
    let intent = if query.validate { Intent::Validate } else { Intent::Run };
    let (value, text) = match (submission.job, submission.yaml) {
        (Some(job), None) => (job, None),
        (None, Some(yaml)) => {
            let text = SpecText::parse(&yaml).map_err(|problem| Problem::written(vec![problem]))?;
            (text.to_proto_json().map_err(Problem::written)?, Some(text))
        }
        (Some(_), Some(_)) | (None, None) => return Err(Problem::field("job", "give either job or yaml")),
    };
    // What is wrong with a field is said with its place, where there is a text that has places.
    let located = |invalid: InvalidJob| match &text {
        Some(text) => Problem::written(text.locate(invalid.problems)),
        None => invalid.into(),
    };
    let spec = proto::json::job_spec_from_json(&value).map_err(&located)?;
    let request = JobRequest {
        job: proto::json::job_from_json(&value).map_err(&located)?,
        request_id: Some(submission.request_id).filter(|name| !name.is_empty()),
        intent,
    };
    let accepted = service.submit(request).await.map_err(|error| match error {
        SubmitError::Invalid(invalid) => located(invalid),
        SubmitError::TargetTaken(_)
        | SubmitError::Rerun(_)
        | SubmitError::RequestIdTaken(_)
        | SubmitError::Stopped(_)
        | SubmitError::CheckFailed => error.into(),
    })?;
    let run = accepted.run.map(|run| run.to_string());
    let answer =
        Json(json!({"run": run, "plan": plan(&accepted.plan), "spec": proto::json::job_spec_to_json_value(&spec)}));
    Ok(match accepted.run {
        None => answer.into_response(),
        Some(run) => {
            let place = [(header::LOCATION, format!("/api/runs/{run}"))];
            (StatusCode::CREATED, place, answer).into_response()
        }
    })
}

/// Which ops of an ended run to run again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rerun {
    from: String,
    job: Option<Value>,
    #[serde(default)]
    request_id: String,
}

pub(super) async fn rerun(
    State(service): State<Service>,
    Path(run): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let asked: Rerun = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "INVALID_JSON", error.to_string()))?;
    let request = RerunRequest {
        of: run_id(&run)?,
        from: asked.from,
        job: asked.job.as_ref().map(proto::json::job_from_json).transpose()?,
        request_id: Some(asked.request_id).filter(|name| !name.is_empty()),
        by: Asker::Web,
    };
    let accepted = service.rerun(request).await?;
    let run = accepted.run.to_string();
    let place = [(header::LOCATION, format!("/api/runs/{run}"))];
    let answer = Json(json!({
        "run": run,
        "plan": plan(&accepted.plan),
        "batches_at_checkpoints": accepted.kept,
        "batches_without_checkpoint_file": accepted.gone,
    }));
    Ok((StatusCode::CREATED, place, answer).into_response())
}

pub(super) async fn drain(State(service): State<Service>, Path(name): Path<String>) -> Result<Response, Problem> {
    let name = WorkerName::new(&name).map_err(|error| Problem::field("name", error.to_string()))?;
    let worker = service.drain(name).await?;
    Ok((
        StatusCode::ACCEPTED,
        Json(shapes::worker(&worker, &service.vitals().of(worker.session))),
    )
        .into_response())
}

fn plan(plan: &Plan) -> Value {
    let schedule = &plan.job.schedule;
    let cap = schedule.max_concurrent.map(|cap| u64::from(cap.get()));
    let files = plan.source.files.iter();
    json!({
        "job": proto::json::job_to_json_value(&plan.job),
        "files": files.map(|file| json!({"path": file.path, "bytes": file.bytes})).collect::<Vec<_>>(),
        "source_bytes": plan.source.total_bytes(),
        "source_columns": plan.source.columns,
        "output_columns": plan.output_columns,
        "ops": plan.job.ops.iter().map(|op| &op.name).collect::<Vec<_>>(),
        "max_in_flight": cap.and_then(|cap| schedule.in_flight_bound(cap)),
        "max_in_flight_bytes": schedule.in_flight_bytes_bound(),
        "estimated_batches": plan.preview.batches,
        "first_rows": plan.preview.first_rows,
    })
}
