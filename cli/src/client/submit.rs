//! What makes runs: calls under a request id, which may be made again when the connection breaks.

use proto::v1;
use proto::v1::job_service_client::JobServiceClient;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::{Client, ClientError, explain, with_timeout};
use crate::spec::Spec;

/// How often a call is made again.
const AGAIN: u32 = 2;

/// A run that runs later ops of another one again.
pub(crate) struct Rerun {
    /// Its id.
    pub(crate) run: String,
    /// How many of its batches begin at checkpoints.
    pub(crate) at_checkpoints: u64,
    /// Of how many the last checkpoint's file is gone.
    pub(crate) files_gone: u64,
}

impl Client {
    /// Submits a job and returns the run's id. A broken connection is tried again under the same request id, so that
    /// the job runs once.
    pub(crate) async fn submit(&mut self, spec: &Spec) -> Result<String, ClientError> {
        let request = v1::SubmitJobRequest {
            job: Some(spec.message().clone()),
            request_id: uuid::Uuid::new_v4().to_string(),
            validate_only: false,
        };
        let submit =
            async |service: &mut JobServiceClient<Channel>| service.submit_job(with_timeout(request.clone())).await;
        let answer = self.insist(submit).await.map_err(|error| explain(error, spec))?;
        Ok(answer.run_id)
    }

    /// Has the later ops of an ended run run again, those of a spec or its own. A broken connection is tried again under
    /// the same request id, so that there is one new run.
    pub(crate) async fn rerun(
        &mut self,
        run: &str,
        from: &str,
        spec: Option<&Spec>,
        request_id: Option<String>,
    ) -> Result<Rerun, ClientError> {
        let request = v1::RerunRunRequest {
            run_id: run.to_owned(),
            from_op: from.to_owned(),
            job: spec.map(|spec| spec.message().clone()),
            request_id: request_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        };
        let rerun =
            async |service: &mut JobServiceClient<Channel>| service.rerun_run(with_timeout(request.clone())).await;
        let answer = self.insist(rerun).await.map_err(|error| match spec {
            Some(spec) => explain(error, spec),
            None => error,
        })?;
        Ok(Rerun {
            run: answer.run_id,
            at_checkpoints: answer.batches_at_checkpoints,
            files_gone: answer.batches_without_checkpoint_file,
        })
    }

    /// Makes a call that may be repeated, again when the coordinator is away.
    async fn insist<T>(
        &mut self,
        mut call: impl AsyncFnMut(&mut JobServiceClient<Channel>) -> Result<Response<T>, Status>,
    ) -> Result<T, ClientError> {
        let mut tries_left = AGAIN;
        loop {
            match call(&mut self.service).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => {
                    let error = self.refusal(status);
                    if tries_left == 0 || !error.is_unavailable() {
                        return Err(error);
                    }
                }
            }
            tries_left -= 1;
            *self = Client::connect(&self.addresses).await?;
        }
    }
}
