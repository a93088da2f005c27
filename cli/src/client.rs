//! The client of JobService: what the command line asks a coordinator, in the command line's own words.
//!
//! Owns the connection, the choice among several addresses, the retries that are safe, and the turning of statuses
//! into errors that say what to do. Generated types end here (and in the spec loader): commands see `view`.

mod error;
mod limits;
mod logs;
mod steering;
mod submit;
mod view;
mod watch;

use std::time::Duration;

use proto::v1::job_service_client::JobServiceClient;
use proto::v1::{self};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_client::HealthClient;

use crate::spec::Spec;
use crate::timeline::TimelineRow;

pub(crate) use self::error::ClientError;
pub(crate) use self::limits::LimitsChange;
pub(crate) use self::logs::{Follow, LogsWanted};
pub(crate) use self::steering::CancelMode;
pub(crate) use self::submit::Rerun;
pub(crate) use self::view::{BatchView, RunView, WorkerView};
pub(crate) use self::watch::Watch;

use self::view::{batch_view, run_view, timeline_row, worker_view};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The most entries that are asked for in one page.
const PAGE: u32 = 1_000;

/// A connection to the first coordinator of a list that answers.
#[derive(Clone)]
pub(crate) struct Client {
    service: JobServiceClient<Channel>,
    addresses: Vec<String>,
}

impl Client {
    /// Connects to the first address that answers.
    pub(crate) async fn connect(addresses: &[String]) -> Result<Client, ClientError> {
        let mut last = "no address is given".to_owned();
        for address in addresses {
            match endpoint(address)?.connect().await {
                Ok(channel) => {
                    return Ok(Client {
                        service: JobServiceClient::new(channel),
                        addresses: addresses.to_vec(),
                    });
                }
                Err(error) => last = error::causes(&error),
            }
        }
        Err(ClientError::Unavailable {
            addresses: addresses.join(", "),
            reason: last,
        })
    }

    /// Returns the addresses as they are given on the command line.
    pub(crate) fn addresses(&self) -> String {
        self.addresses.join(",")
    }

    /// Returns a run as it is now.
    pub(crate) async fn run(&mut self, id: &str) -> Result<RunView, ClientError> {
        let request = v1::GetRunRequest { run_id: id.to_owned() };
        let response = self.service.get_run(with_timeout(request)).await;
        run_view(response.map_err(|status| self.refusal(status))?.into_inner().run)
    }

    /// Returns the newest runs, at most so many.
    pub(crate) async fn runs(&mut self, most: usize) -> Result<Vec<RunView>, ClientError> {
        let mut runs = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListRunsRequest {
                page_size: Some(PAGE.min(u32::try_from(most).unwrap_or(PAGE))),
                page_token,
            };
            let response = self.service.list_runs(with_timeout(request)).await;
            let page = response.map_err(|status| self.refusal(status))?.into_inner();
            for run in page.runs {
                runs.push(run_view(Some(run))?);
            }
            if page.next_page_token.is_empty() || runs.len() >= most {
                runs.truncate(most);
                return Ok(runs);
            }
            page_token = page.next_page_token;
        }
    }

    /// Follows a run to its end.
    pub(crate) async fn watch(&mut self, id: &str) -> Result<Watch, ClientError> {
        Watch::begin(self.clone(), id).await
    }

    /// Asks for failed batches to be tried again, all of them or those of an op or by id; returns the run as it is then, and how many they are.
    pub(crate) async fn retry_failed(
        &mut self,
        run: &str,
        op: Option<String>,
        batches: Vec<String>,
    ) -> Result<(RunView, u64), ClientError> {
        let request = v1::RetryFailedRequest {
            run_id: run.to_owned(),
            op: op.unwrap_or_default(),
            batch_ids: batches,
        };
        let response = self.service.retry_failed(with_timeout(request)).await;
        let answer = response.map_err(|status| self.refusal(status))?.into_inner();
        Ok((run_view(answer.run)?, answer.batches))
    }

    /// Returns the batches of a run that are in flight, committing or failed, at most so many.
    pub(crate) async fn batches(&mut self, id: &str, most: usize) -> Result<Vec<BatchView>, ClientError> {
        let mut batches = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListBatchesRequest {
                run_id: id.to_owned(),
                page_size: Some(PAGE.min(u32::try_from(most).unwrap_or(PAGE))),
                page_token,
            };
            let response = self.service.list_batches(with_timeout(request)).await;
            let page = response.map_err(|status| self.refusal(status))?.into_inner();
            for batch in page.batches {
                batches.push(batch_view(batch)?);
            }
            if page.next_page_token.is_empty() || batches.len() >= most {
                batches.truncate(most);
                return Ok(batches);
            }
            page_token = page.next_page_token;
        }
    }

    /// Returns all workers, by name.
    pub(crate) async fn workers(&mut self) -> Result<Vec<WorkerView>, ClientError> {
        let mut workers = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListWorkersRequest {
                page_size: Some(PAGE),
                page_token,
            };
            let response = self.service.list_workers(with_timeout(request)).await;
            let page = response.map_err(|status| self.refusal(status))?.into_inner();
            workers.extend(page.workers.into_iter().map(worker_view));
            if page.next_page_token.is_empty() {
                return Ok(workers);
            }
            page_token = page.next_page_token;
        }
    }

    /// Asks a worker to finish what it holds and leave.
    pub(crate) async fn drain(&mut self, worker: &str) -> Result<WorkerView, ClientError> {
        let request = v1::DrainWorkerRequest {
            worker: worker.to_owned(),
        };
        let response = self.service.drain_worker(with_timeout(request)).await;
        let drained = response.map_err(|status| self.refusal(status))?.into_inner().worker;
        Ok(worker_view(drained.unwrap_or_default()))
    }

    /// Reads a run's whole timeline, in the order in which attempts started.
    pub(crate) async fn timeline(&mut self, id: &str) -> Result<Vec<TimelineRow>, ClientError> {
        let mut rows = Vec::new();
        self.timeline_pages(id, |page| rows.extend(page)).await?;
        rows.sort_by(|one, other| one.started.unwrap_or(0.0).total_cmp(&other.started.unwrap_or(0.0)));
        Ok(rows)
    }

    /// Reads a run's timeline page by page, in the order in which ends became known, behind them attempts that run.
    pub(crate) async fn timeline_pages(
        &mut self,
        id: &str,
        mut take: impl FnMut(Vec<TimelineRow>),
    ) -> Result<(), ClientError> {
        let request = v1::GetTimelineRequest { run_id: id.to_owned() };
        let response = self.service.get_timeline(request).await;
        let mut pages = response.map_err(|status| self.refusal(status))?.into_inner();
        while let Some(page) = pages.message().await.map_err(|status| self.refusal(status))? {
            let rows: Result<_, _> = page.entries.into_iter().map(timeline_row).collect();
            take(rows?);
        }
        Ok(())
    }

    /// Asks a gRPC port for its health.
    pub(crate) async fn healthy(address: &str) -> Result<bool, ClientError> {
        let channel = endpoint(address)?
            .connect()
            .await
            .map_err(|error| ClientError::Unavailable {
                addresses: address.to_owned(),
                reason: error::causes(&error),
            })?;
        let request = tonic_health::pb::HealthCheckRequest::default();
        let response = HealthClient::new(channel).check(with_timeout(request)).await;
        let answer = response
            .map_err(|status| ClientError::from_status(&status, address))?
            .into_inner();
        Ok(answer.status() == tonic_health::pb::health_check_response::ServingStatus::Serving)
    }

    fn refusal(&self, status: tonic::Status) -> ClientError {
        ClientError::from_status(&status, &self.addresses())
    }
}

fn endpoint(address: &str) -> Result<Endpoint, ClientError> {
    let url = if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    };
    let endpoint = Endpoint::from_shared(url).map_err(|_| ClientError::BadAddress {
        address: address.to_owned(),
    })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_while_idle(true))
}

fn with_timeout<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(REQUEST_TIMEOUT);
    request
}

/// Maps the paths of a refused job to lines and columns of its file.
fn explain(error: ClientError, spec: &Spec) -> ClientError {
    match error {
        ClientError::BadJob { violations, .. } if !violations.is_empty() => {
            ClientError::BadSpec(spec.explain(violations))
        }
        ClientError::BadJob { .. }
        | ClientError::BadSpec(_)
        | ClientError::Unavailable { .. }
        | ClientError::BadAddress { .. }
        | ClientError::Refused { .. }
        | ClientError::NotUnderstood(_) => error,
    }
}
