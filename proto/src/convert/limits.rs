//! Rates, pools, weights, and changes of limits.

use std::collections::BTreeMap;
use std::time::Duration;

use common::explain::{Explanation, Obstacle, OpExplanation};
use common::ids::RunId;
use common::job::{Change, InvalidJob, Job, LimitsChange, OpLimitsChange, PoolName, Rate, RateUnit, Weight};
use common::time::Time;

use super::problems::Problems;
use super::time::{duration_to_wire, time_to_wire};
use crate::v1;
use crate::v1::rate_limit::Unit as WireUnit;

/// The time of a rate that names none.
const DEFAULT_PER: Duration = Duration::from_secs(1);

/// Reads a change of limits; `job` says which ops there are. Every problem is named by its field.
///
/// # Errors
/// [`InvalidJob`] with every field that is wrong.
pub fn change_from_wire(wire: v1::ChangeLimitsRequest, job: &Job) -> Result<LimitsChange, InvalidJob> {
    let mut problems = Problems::default();
    let mut change = LimitsChange {
        max_concurrent: set(problems.count("max_concurrent", wire.max_concurrent)),
        max_in_flight: set(problems.count("max_in_flight", wire.max_in_flight)),
        max_in_flight_bytes: set(problems.size("max_in_flight_bytes", wire.max_in_flight_bytes)),
        max_committing: set(problems.count("max_committing", wire.max_committing)),
        weight: set(weight_from_wire(&mut problems, "weight", wire.weight)),
        ops: BTreeMap::new(),
    };
    for (name, limits) in wire.ops {
        let path = format!("ops.{name}");
        let Some(op) = limited_op(&mut problems, &path, job, &name) else {
            continue;
        };
        let max_concurrent = set(problems.count(format!("{path}.max_concurrent"), limits.max_concurrent));
        let rate = limits
            .rate
            .and_then(|rate| rate_from_wire(&mut problems, &format!("{path}.rate"), rate));
        let rate = set(rate);
        change.ops.insert(op, OpLimitsChange { max_concurrent, rate });
    }
    for (place, name) in wire.remove.iter().enumerate() {
        remove(&mut problems, &format!("remove[{place}]"), name, job, &mut change);
    }
    problems.none_or(change)
}

/// A change of a run's limits as somebody asked for it without the wire: what is named is set, what is removed is taken
/// off, everything else stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitsRequest {
    /// The run's cap.
    pub max_concurrent: Option<u32>,
    /// The bound on batches in flight.
    pub max_in_flight: Option<u32>,
    /// The bound on bytes in flight.
    pub max_in_flight_bytes: Option<u64>,
    /// The bound on batches that wait for their commit.
    pub max_committing: Option<u32>,
    /// The run's weight.
    pub weight: Option<f64>,
    /// Limits of ops, by their names.
    pub ops: BTreeMap<String, OpLimitsRequest>,
    /// The paths of limits to take off.
    pub remove: Vec<String>,
}

/// A change of an op's limits as somebody asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OpLimitsRequest {
    /// The op's limit.
    pub max_concurrent: Option<u32>,
    /// The op's rate.
    pub rate: Option<Rate>,
}

impl LimitsRequest {
    /// Reads the change, with the same checks as [`change_from_wire`].
    ///
    /// # Errors
    /// [`InvalidJob`] with every field that is wrong.
    pub fn into_change(self, job: &Job) -> Result<LimitsChange, InvalidJob> {
        let of_op = |limits: OpLimitsRequest| v1::OpLimits {
            max_concurrent: limits.max_concurrent,
            rate: limits.rate.map(rate_to_wire),
        };
        let wire = v1::ChangeLimitsRequest {
            run_id: String::new(),
            max_concurrent: self.max_concurrent,
            max_in_flight: self.max_in_flight,
            max_in_flight_bytes: self.max_in_flight_bytes,
            max_committing: self.max_committing,
            weight: self.weight,
            ops: self
                .ops
                .into_iter()
                .map(|(name, limits)| (name, of_op(limits)))
                .collect(),
            remove: self.remove,
        };
        change_from_wire(wire, job)
    }
}

fn set<T>(value: Option<T>) -> Change<T> {
    value.map_or(Change::Keep, Change::Set)
}

fn remove(problems: &mut Problems, path: &str, name: &str, job: &Job, change: &mut LimitsChange) {
    match name {
        "max_concurrent" => return change.max_concurrent = Change::Remove,
        "max_in_flight" => return change.max_in_flight = Change::Remove,
        "max_in_flight_bytes" => return change.max_in_flight_bytes = Change::Remove,
        "max_committing" => return change.max_committing = Change::Remove,
        "weight" => return change.weight = Change::Remove,
        _ => {}
    }
    let of_op = name.strip_prefix("ops.").and_then(|rest| rest.rsplit_once('.'));
    let Some((op, limit @ ("max_concurrent" | "rate"))) = of_op else {
        problems.add(
            path,
            format!(
                "{name:?} is no limit; those there are: max_concurrent, max_in_flight, max_in_flight_bytes, \
                 max_committing, weight, ops.NAME.max_concurrent, ops.NAME.rate"
            ),
        );
        return;
    };
    let Some(op) = limited_op(problems, path, job, op) else {
        return;
    };
    let change = change.ops.entry(op).or_default();
    if limit == "rate" {
        change.rate = Change::Remove;
    } else {
        change.max_concurrent = Change::Remove;
    }
}

fn limited_op(problems: &mut Problems, path: &str, job: &Job, name: &str) -> Option<common::ids::OpId> {
    let mut ops = job.op_ids().skip(1);
    let found = ops.find(|op| job.op(*op).name == name);
    if found.is_none() {
        let names: Vec<&str> = job.ops.iter().skip(1).map(|op| op.name.as_str()).collect();
        problems.add(path, format!("the job has no op {name:?}; it has {}", names.join(", ")));
    }
    found
}

pub(super) fn weight_from_wire(problems: &mut Problems, path: &str, wire: Option<f64>) -> Option<Weight> {
    let weight = Weight::new(wire?);
    if weight.is_none() {
        problems.add(path, "must be 0.001 to 1,000");
    }
    weight
}

pub(super) fn pools_from_wire(problems: &mut Problems, op: &str, wire: Vec<String>) -> Vec<PoolName> {
    let name = |(place, name): (usize, String)| match PoolName::new(&name) {
        Ok(name) => Some(name),
        Err(error) => {
            problems.add(format!("{op}.pools[{place}]"), error.to_string());
            None
        }
    };
    wire.into_iter().enumerate().filter_map(name).collect()
}

pub(super) fn rate_from_wire(problems: &mut Problems, path: &str, wire: v1::RateLimit) -> Option<Rate> {
    let per = problems
        .duration(format!("{path}.per"), wire.per)
        .unwrap_or(DEFAULT_PER);
    let burst = problems.count(format!("{path}.burst"), wire.burst);
    let unit = match problems.known(format!("{path}.unit"), wire.unit) {
        Some(WireUnit::Batches | WireUnit::Unspecified) | None => RateUnit::Batches,
        Some(WireUnit::Rows) => RateUnit::Rows,
        Some(WireUnit::Calls) => RateUnit::Calls,
    };
    let rate = Rate {
        limit: wire.limit,
        per,
        burst: std::num::NonZeroU32::MIN,
        unit,
    };
    if let Some(problem) = rate.problem() {
        problems.add(path, problem);
        return None;
    }
    Some(Rate {
        burst: burst.unwrap_or_else(|| Rate::default_burst(rate.limit, per)),
        ..rate
    })
}

/// Spells a rate out.
pub fn rate_to_wire(rate: Rate) -> v1::RateLimit {
    v1::RateLimit {
        limit: rate.limit,
        per: Some(duration_to_wire(rate.per)),
        burst: Some(rate.burst.into()),
        unit: match rate.unit {
            RateUnit::Batches => WireUnit::Batches,
            RateUnit::Rows => WireUnit::Rows,
            RateUnit::Calls => WireUnit::Calls,
        }
        .into(),
    }
}

/// Shows why nothing more of a run begins, as seen at a time.
pub fn explanation_to_wire(explanation: &Explanation, ops: &[String], now: Time) -> v1::ExplainRunResponse {
    let named = explanation.ops.iter().zip(ops);
    v1::ExplainRunResponse {
        state: v1::RunState::from(explanation.state).into(),
        ops: named.map(|(op, name)| op_to_wire(op, name, now)).collect(),
    }
}

fn op_to_wire(op: &OpExplanation, name: &str, now: Time) -> v1::OpExplanation {
    v1::OpExplanation {
        op: name.to_owned(),
        waiting: op.waiting,
        running: op.running,
        in_backoff: op.in_backoff,
        next_retry_time: op.next_retry.map(time_to_wire),
        obstacles: op
            .obstacles
            .iter()
            .map(|obstacle| obstacle_to_wire(obstacle, now))
            .collect(),
    }
}

fn obstacle_to_wire(obstacle: &Obstacle, now: Time) -> v1::Obstacle {
    let bound = obstacle.bound();
    v1::Obstacle {
        kind: obstacle.name().to_owned(),
        message: obstacle.describe(now),
        bound: bound.map(|(bound, _)| bound),
        used: bound.map(|(_, used)| used),
        pool: obstacle.pool().map(ToString::to_string).unwrap_or_default(),
        holders: holders_to_wire(obstacle.holders()),
        next_time: obstacle.next().map(time_to_wire),
    }
}

/// Shows who holds units of a pool.
pub fn holders_to_wire(holders: &[(RunId, u32)]) -> Vec<v1::PoolHolder> {
    let holder = |(run, units): &(RunId, u32)| v1::PoolHolder {
        run_id: run.to_string(),
        units: *units,
    };
    holders.iter().map(holder).collect()
}
