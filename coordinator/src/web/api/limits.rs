//! Limits while runs go on: changed, listed, explained.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::explain::Obstacle;
use common::ids::RunId;
use common::job::{Job, PoolName, Rate};
use common::steering::Asker;
use common::time::Time;
use proto::convert::limits::{LimitsRequest, OpLimitsRequest};
use scheduler::PoolView;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{Problem, run_id, shapes, steering};
use crate::service::Service;

type Answer = Result<Response, Problem>;

/// A limit that stays where it is absent, and is taken off where it is null.
type Limit<T> = Option<Option<T>>;

/// How to change the limits of a run.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    #[serde(deserialize_with = "given")]
    max_concurrent: Limit<u32>,
    #[serde(deserialize_with = "given")]
    max_in_flight: Limit<u32>,
    #[serde(deserialize_with = "given")]
    max_in_flight_bytes: Limit<u64>,
    #[serde(deserialize_with = "given")]
    max_committing: Limit<u32>,
    #[serde(deserialize_with = "given")]
    weight: Limit<f64>,
    ops: BTreeMap<String, OpLimits>,
}

/// How to change the limits of an op.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OpLimits {
    #[serde(deserialize_with = "given")]
    max_concurrent: Limit<u32>,
    #[serde(deserialize_with = "given")]
    rate: Limit<String>,
}

/// What to set a pool to.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pool {
    name: String,
    limit: u32,
}

/// What to set the coordinator's own cap to.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cap {
    max_concurrent: Option<u32>,
}

fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Limit<T>, D::Error> {
    Option::deserialize(from).map(Some)
}

pub(super) async fn change(State(service): State<Service>, Path(run): Path<String>, body: Bytes) -> Answer {
    let request = request(steering::read(&body)?)?;
    let read = |job: &Job| request.into_change(job);
    let view = service.change_limits(Asker::Web, run_id(&run)?, read).await?;
    Ok((StatusCode::ACCEPTED, Json(shapes::run(&view))).into_response())
}

pub(super) async fn explain(State(service): State<Service>, Path(run): Path<String>) -> Result<Json<Value>, Problem> {
    let (view, explanation) = service.explain(run_id(&run)?).await?;
    let ops = explanation.ops.iter().map(|op| {
        let obstacles: Vec<Value> = op.obstacles.iter().map(|obstacle| shape(obstacle, view.now)).collect();
        json!({
            "op": op.op.0,
            "name": view.job.op(op.op).name,
            "waiting": op.waiting,
            "running": op.running,
            "in_backoff": op.in_backoff,
            "next_retry_ms": op.next_retry.map(shapes::millis),
            "obstacles": obstacles,
        })
    });
    let state = explanation.state.as_str();
    Ok(Json(
        json!({"run": run, "state": state, "ops": ops.collect::<Vec<_>>()}),
    ))
}

pub(super) async fn pools(State(service): State<Service>) -> Result<Json<Value>, Problem> {
    let pools: Vec<Value> = service.pools().await?.iter().map(pool_shape).collect();
    Ok(Json(json!({"pools": pools})))
}

pub(super) async fn set_pool(State(service): State<Service>, body: Bytes) -> Answer {
    let Pool { name, limit } = steering::read(&body)?;
    let name = PoolName::new(&name).map_err(|error| Problem::field("name", error.to_string()))?;
    let limit = at_least_one("limit", limit)?;
    let pool = service.set_pool(Asker::Web, name, limit).await?;
    Ok((StatusCode::ACCEPTED, Json(pool_shape(&pool))).into_response())
}

pub(super) async fn set_cap(State(service): State<Service>, body: Bytes) -> Answer {
    let Cap { max_concurrent } = steering::read(&body)?;
    let cap = max_concurrent
        .map(|cap| at_least_one("max_concurrent", cap))
        .transpose()?;
    let cap = service.set_cap(Asker::Web, cap).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"max_concurrent": cap}))).into_response())
}

fn request(limits: Limits) -> Result<LimitsRequest, Problem> {
    let mut remove = Vec::new();
    let mut ops = BTreeMap::new();
    for (name, of_op) in limits.ops {
        let rate = taken(&mut remove, &format!("ops.{name}.rate"), of_op.rate);
        let rate: Option<Rate> =
            rate.map(|text| text.parse())
                .transpose()
                .map_err(|error: common::units::InvalidUnit| {
                    Problem::field(&format!("ops.{name}.rate"), error.to_string())
                })?;
        let max_concurrent = taken(&mut remove, &format!("ops.{name}.max_concurrent"), of_op.max_concurrent);
        ops.insert(name, OpLimitsRequest { max_concurrent, rate });
    }
    Ok(LimitsRequest {
        max_concurrent: taken(&mut remove, "max_concurrent", limits.max_concurrent),
        max_in_flight: taken(&mut remove, "max_in_flight", limits.max_in_flight),
        max_in_flight_bytes: taken(&mut remove, "max_in_flight_bytes", limits.max_in_flight_bytes),
        max_committing: taken(&mut remove, "max_committing", limits.max_committing),
        weight: taken(&mut remove, "weight", limits.weight),
        ops,
        remove,
    })
}

/// Returns the value to set; a null is a limit to take off.
fn taken<T>(remove: &mut Vec<String>, name: &str, limit: Limit<T>) -> Option<T> {
    if matches!(limit, Some(None)) {
        remove.push(name.to_owned());
    }
    limit.flatten()
}

fn at_least_one(field: &str, number: u32) -> Result<NonZeroU32, Problem> {
    NonZeroU32::new(number).ok_or_else(|| Problem::field(field, "must be at least 1"))
}

fn shape(obstacle: &Obstacle, now: Time) -> Value {
    let bound = obstacle.bound();
    json!({
        "kind": obstacle.name(),
        "message": obstacle.describe(now),
        "bound": bound.map(|(bound, _)| bound),
        "used": bound.map(|(_, used)| used),
        "pool": obstacle.pool().map(PoolName::as_str),
        "holders": holders(obstacle.holders()),
        "next_ms": obstacle.next().map(shapes::millis),
    })
}

fn pool_shape(pool: &PoolView) -> Value {
    json!({
        "name": pool.name.as_str(),
        "limit": pool.limit,
        "used": pool.used,
        "holders": holders(&pool.holders),
    })
}

fn holders(holders: &[(RunId, u32)]) -> Vec<Value> {
    let holder = |(run, units): &(RunId, u32)| json!({"run": run.to_string(), "units": units});
    holders.iter().map(holder).collect()
}
