//! Runs, their batches, specs and activity; workers.

use axum::Json;
use axum::extract::{Path, Query, State};
use common::ids::BatchId;
use scheduler::WorkerView;
use serde_json::{Value, json};

use super::{PageQuery, Problem, run_id, shapes};
use crate::chart::{Area, Arrangement, TaskFilter};
use crate::service::{ClusterView, Service};
use crate::timeline::TimelineError;

/// How many values the strip of a run has at most.
const SPARK: usize = 160;
/// How many attempts of a batch are shown at most.
const MAX_ATTEMPTS: usize = 10_000;

type Answer = Result<Json<Value>, Problem>;

pub(super) async fn list(State(service): State<Service>, Query(query): Query<PageQuery>) -> Answer {
    let page = service.runs(query.into()).await?;
    let sparks = service.sparks(&page.items, SPARK).await?;
    let runs = page.items.iter().zip(sparks).map(|(view, spark)| {
        let mut run = shapes::run(view);
        run["spark"] = spark.into();
        run
    });
    Ok(Json(
        json!({"runs": runs.collect::<Vec<_>>(), "next_page_token": page.next_token}),
    ))
}

pub(super) async fn show(State(service): State<Service>, Path(run): Path<String>) -> Answer {
    let run = run_id(&run)?;
    let view = service.run(run).await?;
    let mut shown = shapes::run(&view);
    shown["spark"] = service.sparks(&[view], SPARK).await?.concat().into();
    Ok(Json(shown))
}

pub(super) async fn batches(
    State(service): State<Service>,
    Path(run): Path<String>,
    Query(query): Query<PageQuery>,
) -> Answer {
    let run = run_id(&run)?;
    let files = service.source(run).await?;
    let (_, page) = service.batches(run, query.into()).await?;
    let batches: Vec<_> = page
        .items
        .iter()
        .map(|batch| shapes::batch(batch, &files.files))
        .collect();
    Ok(Json(json!({"batches": batches, "next_page_token": page.next_token})))
}

pub(super) async fn batch(State(service): State<Service>, Path((run, batch)): Path<(String, String)>) -> Answer {
    let run = run_id(&run)?;
    let id: BatchId = batch
        .parse()
        .map_err(|error: common::ids::InvalidId| Problem::field("batch", error.to_string()))?;
    let files = service.source(run).await?;
    let (_, found) = service.batch(run, id).await?;
    let (_, chart) = service.chart(run).await?;
    let filter = TaskFilter {
        area: Area {
            first_row: id.index,
            end_row: id.index + 1,
            ..Area::all(Arrangement::ByBatch)
        },
        outcome: None,
        op: None,
        batch: Some(id),
        worker: None,
        error: None,
    };
    let tasks = tokio::task::spawn_blocking(move || {
        let rows = chart.filter(&filter, 0, MAX_ATTEMPTS)?;
        let tasks = rows.iter().map(|(id, row)| shapes::task(&chart, *id, row));
        Ok::<_, TimelineError>(tasks.collect::<Vec<_>>())
    });
    let tasks = tasks.await.map_err(|_| crate::driver::Stopped)??;
    let mut shown = shapes::batch(&found, &files.files);
    shown["tasks"] = tasks.into();
    Ok(Json(shown))
}

pub(super) async fn spec(State(service): State<Service>, Path(run): Path<String>) -> Answer {
    let submitted = service.submitted_job(run_id(&run)?).await?;
    let job = proto::json::job_to_json_value(&submitted);
    // JSON is YAML, so the canonical text can be submitted as either.
    let text = proto::json::job_to_json(&submitted);
    Ok(Json(json!({"job": job, "yaml": text, "json": text})))
}

/// What is known to have happened, oldest first.
pub(super) async fn activity(State(service): State<Service>, Path(run): Path<String>) -> Answer {
    let entries = (1_u64..).zip(service.activity(run_id(&run)?).await?);
    let shown = entries.map(|(id, entry)| {
        json!({
            "id": id,
            "at_ms": shapes::millis(entry.at),
            "kind": entry.kind,
            "by": entry.by.map(common::steering::Asker::as_str),
            "message": entry.message,
        })
    });
    Ok(Json(
        json!({"entries": shown.collect::<Vec<_>>(), "next_page_token": ""}),
    ))
}

pub(super) async fn workers(State(service): State<Service>, Query(query): Query<PageQuery>) -> Answer {
    let page = service.workers(query.into()).await?;
    let worker = |worker: &WorkerView| shapes::worker(worker, &service.vitals().of(worker.session));
    let workers: Vec<_> = page.items.iter().map(worker).collect();
    Ok(Json(json!({"workers": workers, "next_page_token": page.next_token})))
}

pub(super) async fn cluster(State(service): State<Service>) -> Answer {
    Ok(Json(cluster_shape(&service.cluster().await?)))
}

pub(super) fn cluster_shape(cluster: &ClusterView) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "workers": cluster.workers,
        "slots": cluster.slots,
        "busy": cluster.busy,
        "runs_live": cluster.runs_live,
        "max_concurrent": cluster.max_concurrent,
        "now_ms": shapes::millis(cluster.now),
    })
}
