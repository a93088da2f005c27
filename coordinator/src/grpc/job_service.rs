//! JobService: three lines a handler; what they do is in [`crate::service`].

use std::num::NonZeroU32;
use std::pin::Pin;

use common::ids::{BatchId, RunId, WorkerName};
use common::job::{Job, PoolName};
use common::steering::{Asker, RunCommand};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use proto::convert::limits;
use proto::convert::summary::op_names;
use proto::v1;
use proto::v1::job_service_server::JobService;
use scheduler::WorkerView;
use tonic::{Request, Response, Status};

use super::status::{self, ToStatus};
use super::wire;
use crate::driver::RetrySelection;
use crate::service::{Detail, Follow, PageRequest, Service};
use crate::submit::RerunRequest;

/// Serves people and tools.
pub(super) struct Jobs {
    service: Service,
}

impl Jobs {
    pub(super) fn new(service: Service) -> Jobs {
        Jobs { service }
    }

    /// Tells a run to do something, and returns it as it is then.
    async fn steer(&self, run: &str, command: RunCommand) -> Result<v1::Run, Status> {
        let view = self.service.steer(Asker::Grpc, run_id(run)?, command).await;
        Ok(wire::run(&view.map_err(|error| error.to_status())?))
    }
}

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl JobService for Jobs {
    type WatchRunStream = Answers<v1::WatchRunResponse>;
    type GetTimelineStream = Answers<v1::GetTimelineResponse>;
    type TailLogsStream = Answers<v1::TailLogsResponse>;

    async fn submit_job(
        &self,
        request: Request<v1::SubmitJobRequest>,
    ) -> Result<Response<v1::SubmitJobResponse>, Status> {
        let job = wire::job_request(request.into_inner())?;
        let accepted = self.service.submit(job).await.map_err(|error| error.to_status())?;
        Ok(Response::new(wire::accepted(&accepted)))
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        let run = run_id(&request.get_ref().run_id)?;
        let view = self.service.run(run).await.map_err(|error| error.to_status())?;
        let run = Some(wire::run(&view));
        Ok(Response::new(v1::GetRunResponse { run }))
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Result<Response<v1::ListRunsResponse>, Status> {
        let request = request.into_inner();
        let page = self.service.runs(page(request.page_size, request.page_token)).await;
        let page = page.map_err(|error| error.to_status())?;
        Ok(Response::new(v1::ListRunsResponse {
            runs: page.items.iter().map(wire::run).collect(),
            next_page_token: page.next_token,
        }))
    }

    async fn watch_run(&self, request: Request<v1::WatchRunRequest>) -> Result<Response<Self::WatchRunStream>, Status> {
        let request = request.into_inner();
        let detail = if request.task_events {
            Detail::Tasks
        } else {
            Detail::Progress
        };
        let updates = self.service.watch(run_id(&request.run_id)?, detail).await;
        let updates = updates.map_err(|error| error.to_status())?;
        Ok(Response::new(Box::pin(updates.map(|update| match update {
            Ok(update) => Ok(wire::update(update)),
            Err(end) => Err(end.to_status()),
        }))))
    }

    async fn cancel_run(
        &self,
        request: Request<v1::CancelRunRequest>,
    ) -> Result<Response<v1::CancelRunResponse>, Status> {
        let request = request.get_ref();
        let command = RunCommand::Cancel(wire::cancel_mode(request.mode)?);
        let run = self.steer(&request.run_id, command).await?;
        Ok(Response::new(v1::CancelRunResponse { run: Some(run) }))
    }

    async fn pause_run(&self, request: Request<v1::PauseRunRequest>) -> Result<Response<v1::PauseRunResponse>, Status> {
        let command = RunCommand::Pause { reason: None };
        let run = self.steer(&request.get_ref().run_id, command).await?;
        Ok(Response::new(v1::PauseRunResponse { run: Some(run) }))
    }

    async fn resume_run(
        &self,
        request: Request<v1::ResumeRunRequest>,
    ) -> Result<Response<v1::ResumeRunResponse>, Status> {
        let run = self.steer(&request.get_ref().run_id, RunCommand::Resume).await?;
        Ok(Response::new(v1::ResumeRunResponse { run: Some(run) }))
    }

    async fn change_limits(
        &self,
        request: Request<v1::ChangeLimitsRequest>,
    ) -> Result<Response<v1::ChangeLimitsResponse>, Status> {
        let request = request.into_inner();
        let run = run_id(&request.run_id)?;
        let read = |job: &Job| limits::change_from_wire(request, job);
        let view = self.service.change_limits(Asker::Grpc, run, read).await;
        let run = Some(wire::run(&view.map_err(|error| error.to_status())?));
        Ok(Response::new(v1::ChangeLimitsResponse { run }))
    }

    async fn explain_run(
        &self,
        request: Request<v1::ExplainRunRequest>,
    ) -> Result<Response<v1::ExplainRunResponse>, Status> {
        let run = run_id(&request.get_ref().run_id)?;
        let (view, explanation) = self.service.explain(run).await.map_err(|error| error.to_status())?;
        let shown = limits::explanation_to_wire(&explanation, &op_names(&view.job), view.now);
        Ok(Response::new(shown))
    }

    async fn list_pools(
        &self,
        _request: Request<v1::ListPoolsRequest>,
    ) -> Result<Response<v1::ListPoolsResponse>, Status> {
        let pools = self.service.pools().await.map_err(|error| error.to_status())?;
        let pools = pools.iter().map(wire::pool).collect();
        Ok(Response::new(v1::ListPoolsResponse { pools }))
    }

    async fn set_pool(&self, request: Request<v1::SetPoolRequest>) -> Result<Response<v1::SetPoolResponse>, Status> {
        let request = request.get_ref();
        let name = PoolName::new(&request.name).map_err(|error| status::invalid_field("name", error))?;
        let limit = at_least_one("limit", request.limit)?;
        let pool = self.service.set_pool(Asker::Grpc, name, limit).await;
        let pool = Some(wire::pool(&pool.map_err(|error| error.to_status())?));
        Ok(Response::new(v1::SetPoolResponse { pool }))
    }

    async fn set_cap(&self, request: Request<v1::SetCapRequest>) -> Result<Response<v1::SetCapResponse>, Status> {
        let cap = request.get_ref().max_concurrent;
        let cap = cap.map(|cap| at_least_one("max_concurrent", cap)).transpose()?;
        let cap = self.service.set_cap(Asker::Grpc, cap).await;
        let max_concurrent = cap.map_err(|error| error.to_status())?.map(NonZeroU32::get);
        Ok(Response::new(v1::SetCapResponse { max_concurrent }))
    }

    async fn list_activity(
        &self,
        request: Request<v1::ListActivityRequest>,
    ) -> Result<Response<v1::ListActivityResponse>, Status> {
        let run = run_id(&request.get_ref().run_id)?;
        let entries = self.service.activity(run).await.map_err(|error| error.to_status())?;
        let entries = entries.into_iter().map(wire::activity).collect();
        Ok(Response::new(v1::ListActivityResponse { entries }))
    }

    async fn retry_failed(
        &self,
        request: Request<v1::RetryFailedRequest>,
    ) -> Result<Response<v1::RetryFailedResponse>, Status> {
        let request = request.into_inner();
        let run = run_id(&request.run_id)?;
        let batches = request.batch_ids.iter().map(|batch| parsed("batch_ids", batch));
        let selection = RetrySelection {
            op: Some(request.op).filter(|op| !op.is_empty()),
            batches: batches.collect::<Result<_, _>>()?,
        };
        let retried = self.service.retry_failed(run, selection, Asker::Grpc).await;
        let (view, batches) = retried.map_err(|error| error.to_status())?;
        let run = Some(wire::run(&view));
        Ok(Response::new(v1::RetryFailedResponse { run, batches }))
    }

    async fn rerun_run(&self, request: Request<v1::RerunRunRequest>) -> Result<Response<v1::RerunRunResponse>, Status> {
        let request = request.into_inner();
        let job = request.job.map(Job::try_from).transpose();
        let asked = RerunRequest {
            of: run_id(&request.run_id)?,
            from: request.from_op,
            job: job.map_err(|invalid| status::invalid_job(&invalid))?,
            request_id: Some(request.request_id).filter(|name| !name.is_empty()),
            by: Asker::Grpc,
        };
        let accepted = self.service.rerun(asked).await.map_err(|error| error.to_status())?;
        Ok(Response::new(v1::RerunRunResponse {
            run_id: accepted.run.to_string(),
            batches_at_checkpoints: accepted.kept,
            batches_without_checkpoint_file: accepted.gone,
        }))
    }

    async fn list_batches(
        &self,
        request: Request<v1::ListBatchesRequest>,
    ) -> Result<Response<v1::ListBatchesResponse>, Status> {
        let request = request.into_inner();
        let run = run_id(&request.run_id)?;
        let found = self
            .service
            .batches(run, page(request.page_size, request.page_token))
            .await;
        let (view, page) = found.map_err(|error| error.to_status())?;
        Ok(Response::new(v1::ListBatchesResponse {
            batches: page.items.iter().map(|batch| wire::batch(batch, &view)).collect(),
            next_page_token: page.next_token,
        }))
    }

    async fn get_batch(&self, request: Request<v1::GetBatchRequest>) -> Result<Response<v1::GetBatchResponse>, Status> {
        let request = request.into_inner();
        let id: BatchId = parsed("batch_id", &request.batch_id)?;
        let found = self.service.batch(run_id(&request.run_id)?, id).await;
        let (view, batch) = found.map_err(|error| error.to_status())?;
        let batch = Some(wire::batch(&batch, &view));
        Ok(Response::new(v1::GetBatchResponse { batch }))
    }

    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let request = request.into_inner();
        let page = self.service.workers(page(request.page_size, request.page_token)).await;
        let page = page.map_err(|error| error.to_status())?;
        let vitals = self.service.vitals();
        let worker = |worker: &WorkerView| wire::worker(worker, &vitals.of(worker.session));
        Ok(Response::new(v1::ListWorkersResponse {
            workers: page.items.iter().map(worker).collect(),
            next_page_token: page.next_token,
        }))
    }

    async fn drain_worker(
        &self,
        request: Request<v1::DrainWorkerRequest>,
    ) -> Result<Response<v1::DrainWorkerResponse>, Status> {
        let name =
            WorkerName::new(&request.get_ref().worker).map_err(|error| status::invalid_field("worker", error))?;
        let worker = self.service.drain(name).await.map_err(|error| error.to_status())?;
        let worker = Some(wire::worker(&worker, &self.service.vitals().of(worker.session)));
        Ok(Response::new(v1::DrainWorkerResponse { worker }))
    }

    async fn tail_logs(&self, request: Request<v1::TailLogsRequest>) -> Result<Response<Self::TailLogsStream>, Status> {
        let request = request.into_inner();
        let run = run_id(&request.run_id)?;
        let view = self.service.run(run).await.map_err(|error| error.to_status())?;
        let filter = wire::log_filter(&request, &view.job)?;
        let follow = if request.follow {
            Follow::UntilTheEnd
        } else {
            Follow::No
        };
        let pages = self.service.tail_logs(run, filter, request.after, follow);
        let pages = pages.map(|page| match page {
            Ok((view, page)) => Ok(wire::log_page(&view, &page)),
            Err(error) => Err(error.to_status()),
        });
        Ok(Response::new(Box::pin(pages)))
    }

    async fn get_timeline(
        &self,
        request: Request<v1::GetTimelineRequest>,
    ) -> Result<Response<Self::GetTimelineStream>, Status> {
        let run = run_id(&request.get_ref().run_id)?;
        let look = self.service.timeline(run).await.map_err(|error| error.to_status())?;
        let service = self.service.clone();
        let pages = unfold((service, look, Some(0)), |(service, look, first)| async move {
            match service.timeline_page(&look, first?).await {
                Ok(page) => {
                    let answer = wire::timeline(&look.view, &page);
                    Some((Ok(answer), (service, look, page.next)))
                }
                Err(error) => Some((Err(error.to_status()), (service, look, None))),
            }
        });
        Ok(Response::new(Box::pin(pages)))
    }
}

fn at_least_one(field: &str, number: u32) -> Result<NonZeroU32, Status> {
    NonZeroU32::new(number).ok_or_else(|| status::invalid_field(field, "must be at least 1"))
}

fn run_id(text: &str) -> Result<RunId, Status> {
    parsed("run_id", text)
}

fn parsed<T: std::str::FromStr<Err = common::ids::InvalidId>>(field: &str, text: &str) -> Result<T, Status> {
    text.parse().map_err(|error| status::invalid_field(field, error))
}

fn page(size: Option<u32>, token: String) -> PageRequest {
    PageRequest { size, token }
}
