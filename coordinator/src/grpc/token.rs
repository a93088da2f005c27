//! Lets only those call WorkerService who show the worker token, where there is one. Health and reflection stay open.

use proto::token::WorkerToken;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::status;

/// Looks at the metadata of every call before anything else does.
#[derive(Clone, Debug)]
pub(super) struct TokenGuard {
    /// `None` lets everybody pass.
    pub(super) token: Option<WorkerToken>,
}

impl Interceptor for TokenGuard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        match &self.token {
            Some(token) if !token.authorizes(request.metadata()) => {
                tracing::warn!("a worker without the right token was turned away");
                Err(status::no_worker_token())
            }
            Some(_) | None => Ok(request),
        }
    }
}
