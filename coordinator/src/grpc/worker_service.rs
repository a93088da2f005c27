//! WorkerService: sessions, and the committed parts that a task over the whole run reads.
//!
//! Known weakness: the committed parts are given to whoever may speak to this port, whatever lease they name; only that
//! the run is about to end is checked.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use common::ids::{OpId, RunId};
use futures_util::Stream;
use futures_util::stream::unfold;
use proto::v1;
use proto::v1::worker_service_server::WorkerService;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::session::Sessions;
use super::status::{self, ToStatus};
use super::wire;
use crate::service::Service;

/// How many frames wait for the stream to take them.
const FRAME_QUEUE: usize = 16;

/// Serves workers. Owns the task of every connection.
pub(super) struct Workers {
    sessions: Arc<Sessions>,
    service: Service,
    connections: Mutex<JoinSet<()>>,
}

impl Workers {
    pub(super) fn new(sessions: Sessions, service: Service) -> Workers {
        Workers {
            sessions: Arc::new(sessions),
            service,
            connections: Mutex::new(JoinSet::new()),
        }
    }
}

#[tonic::async_trait]
impl WorkerService for Workers {
    type ListCommittedPartsStream = Pin<Box<dyn Stream<Item = Result<v1::ListCommittedPartsResponse, Status>> + Send>>;
    type SessionStream = Pin<Box<dyn Stream<Item = Result<v1::CoordinatorFrame, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::WorkerFrame>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (outgoing, frames) = mpsc::channel(FRAME_QUEUE);
        let serving = self.sessions.clone().serve(request.into_inner(), outgoing);
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        while connections.try_join_next().is_some() {}
        connections.spawn(serving);
        Ok(Response::new(Box::pin(ReceiverStream::new(frames))))
    }

    async fn list_committed_parts(
        &self,
        request: Request<v1::ListCommittedPartsRequest>,
    ) -> Result<Response<Self::ListCommittedPartsStream>, Status> {
        let request = request.into_inner();
        let run = RunId(request.run);
        let op = u16::try_from(request.op).map_err(|_| status::invalid_field("op", "is no op"))?;
        let begin = Some((None, PageNumber::First));
        let pages = unfold((self.service.clone(), begin), move |(service, at)| async move {
            let (after, number) = at?;
            match service.committed_parts(run, OpId(op), after).await {
                Ok(page) => {
                    if page.last.is_none() && number == PageNumber::Later {
                        return None;
                    }
                    let next = page.last.map(|last| (Some(last), PageNumber::Later));
                    Some((Ok(wire::committed_parts(&page)), (service, next)))
                }
                Err(error) => Some((Err(error.to_status()), (service, None))),
            }
        });
        Ok(Response::new(Box::pin(pages)))
    }
}

/// Whether a page was sent: there is at least one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PageNumber {
    First,
    Later,
}
