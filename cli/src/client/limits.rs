//! Limits while runs go on: changed, listed, explained.

use common::job::Rate;
use proto::convert::limits::rate_to_wire;
use proto::v1;
use serde::Serialize;

use super::view::{RunView, run_view};
use super::{Client, ClientError, with_timeout};

/// How to change the limits of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LimitsChange {
    request: v1::ChangeLimitsRequest,
}

/// A limit that runs share.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PoolView {
    /// Its name.
    pub(crate) name: String,
    /// Its limit.
    pub(crate) limit: u32,
    /// What is in use of it.
    pub(crate) used: u32,
    /// Whose that is.
    pub(crate) holders: Vec<HolderView>,
}

/// A run that holds units of a pool.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HolderView {
    /// The run.
    pub(crate) run: String,
    /// How many.
    pub(crate) units: u32,
}

/// Why nothing more of one op begins now.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OpExplanation {
    /// The op's name.
    pub(crate) op: String,
    /// Batches that wait for it.
    pub(crate) waiting: u64,
    /// Tasks of it that run.
    pub(crate) running: u64,
    /// Batches that wait after a failure of it.
    pub(crate) in_backoff: u64,
    /// When the first of those is tried again, as in RFC 3339.
    pub(crate) next_retry: Option<String>,
    /// What is in its way.
    pub(crate) obstacles: Vec<ObstacleView>,
}

/// One thing that is in the way of an op.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ObstacleView {
    /// What kind of thing, such as `run_cap`.
    pub(crate) kind: String,
    /// The same for people.
    pub(crate) message: String,
}

impl LimitsChange {
    /// Sets the run's cap, or takes it off.
    pub(crate) fn cap(&mut self, cap: Option<u32>) {
        self.request.max_concurrent = cap;
        self.remove_if(cap.is_none().then(|| "max_concurrent".to_owned()));
    }

    /// Sets the bound on batches in flight, or takes it off.
    pub(crate) fn in_flight(&mut self, bound: Option<u32>) {
        self.request.max_in_flight = bound;
        self.remove_if(bound.is_none().then(|| "max_in_flight".to_owned()));
    }

    /// Sets the bound on bytes in flight, or takes it off.
    pub(crate) fn bytes(&mut self, bound: Option<u64>) {
        self.request.max_in_flight_bytes = bound;
        self.remove_if(bound.is_none().then(|| "max_in_flight_bytes".to_owned()));
    }

    /// Sets the bound on batches that wait for their commit, or takes it off.
    pub(crate) fn committing(&mut self, bound: Option<u32>) {
        self.request.max_committing = bound;
        self.remove_if(bound.is_none().then(|| "max_committing".to_owned()));
    }

    /// Sets the share among runs of equal priority.
    pub(crate) fn weight(&mut self, weight: f64) {
        self.request.weight = Some(weight);
    }

    /// Sets an op's own limit, or takes it off.
    pub(crate) fn op(&mut self, op: &str, limit: Option<u32>) {
        self.request.ops.entry(op.to_owned()).or_default().max_concurrent = limit;
        self.remove_if(limit.is_none().then(|| format!("ops.{op}.max_concurrent")));
    }

    /// Sets an op's rate, or takes it off.
    pub(crate) fn rate(&mut self, op: &str, rate: Option<Rate>) {
        self.request.ops.entry(op.to_owned()).or_default().rate = rate.map(rate_to_wire);
        self.remove_if(rate.is_none().then(|| format!("ops.{op}.rate")));
    }

    /// Tells whether nothing is changed.
    pub(crate) fn is_empty(&self) -> bool {
        *self == LimitsChange::default()
    }

    fn remove_if(&mut self, name: Option<String>) {
        self.request.remove.extend(name);
    }
}

impl Client {
    /// Changes limits of a run and returns it when nothing begins any more that they forbid.
    pub(crate) async fn change_limits(&mut self, id: &str, change: LimitsChange) -> Result<RunView, ClientError> {
        let request = v1::ChangeLimitsRequest {
            run_id: id.to_owned(),
            ..change.request
        };
        let response = self.service.change_limits(with_timeout(request)).await;
        run_view(response.map_err(|status| self.refusal(status))?.into_inner().run)
    }

    /// Sets the coordinator's own cap, or takes it off.
    pub(crate) async fn set_cap(&mut self, cap: Option<u32>) -> Result<Option<u32>, ClientError> {
        let request = v1::SetCapRequest { max_concurrent: cap };
        let response = self.service.set_cap(with_timeout(request)).await;
        Ok(response
            .map_err(|status| self.refusal(status))?
            .into_inner()
            .max_concurrent)
    }

    /// Explains why nothing more of a run begins now.
    pub(crate) async fn explain(&mut self, id: &str) -> Result<Vec<OpExplanation>, ClientError> {
        let request = v1::ExplainRunRequest { run_id: id.to_owned() };
        let response = self.service.explain_run(with_timeout(request)).await;
        let ops = response.map_err(|status| self.refusal(status))?.into_inner().ops;
        Ok(ops.into_iter().map(op_explanation).collect())
    }

    /// Lists the limits that runs share.
    pub(crate) async fn pools(&mut self) -> Result<Vec<PoolView>, ClientError> {
        let response = self.service.list_pools(with_timeout(v1::ListPoolsRequest {})).await;
        let pools = response.map_err(|status| self.refusal(status))?.into_inner().pools;
        Ok(pools.into_iter().map(pool_view).collect())
    }

    /// Sets a limit that runs share.
    pub(crate) async fn set_pool(&mut self, name: &str, limit: u32) -> Result<PoolView, ClientError> {
        let request = v1::SetPoolRequest {
            name: name.to_owned(),
            limit,
        };
        let response = self.service.set_pool(with_timeout(request)).await;
        let pool = response.map_err(|status| self.refusal(status))?.into_inner().pool;
        Ok(pool_view(pool.unwrap_or_default()))
    }
}

fn pool_view(pool: v1::Pool) -> PoolView {
    let holder = |holder: v1::PoolHolder| HolderView {
        run: holder.run_id,
        units: holder.units,
    };
    PoolView {
        name: pool.name,
        limit: pool.limit,
        used: pool.used,
        holders: pool.holders.into_iter().map(holder).collect(),
    }
}

fn op_explanation(op: v1::OpExplanation) -> OpExplanation {
    let obstacle = |obstacle: v1::Obstacle| ObstacleView {
        kind: obstacle.kind,
        message: obstacle.message,
    };
    OpExplanation {
        op: op.op,
        waiting: op.waiting,
        running: op.running,
        in_backoff: op.in_backoff,
        next_retry: op.next_retry_time.map(|time| time.to_string()),
        obstacles: op.obstacles.into_iter().map(obstacle).collect(),
    }
}
