//! Questions to the coordinator besides the session's stream: what the batches of a run committed.

use std::time::Duration;

use common::failure::Failure;
use common::ids::{LeaseId, OpId, RunId};
use common::state::{Reopening, RunState};
use proto::convert::InvalidMessage;
use proto::token::WorkerToken;
use proto::v1;
use proto::v1::worker_service_client::WorkerServiceClient;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use crate::sink::CommittedPart;

/// How long a question waits for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// A handle to the coordinator that the session is connected to at the moment.
#[derive(Clone, Debug)]
pub struct Coordinator {
    channel: watch::Sender<Option<Channel>>,
    token: Option<WorkerToken>,
}

impl Coordinator {
    /// Makes a handle that is not connected yet.
    pub fn new(token: Option<WorkerToken>) -> Coordinator {
        Coordinator {
            channel: watch::Sender::new(None),
            token,
        }
    }

    pub(super) fn connected(&self, channel: Channel) {
        self.channel.send_replace(Some(channel));
    }

    pub(super) fn disconnected(&self) {
        self.channel.send_replace(None);
    }

    /// Begins to list what the batches of a run committed for an op.
    ///
    /// # Errors
    /// A [`Failure`] that may go well another time when the coordinator does not answer.
    pub async fn committed_parts(&self, run: RunId, lease: LeaseId, op: OpId) -> Result<CommittedPages, Failure> {
        let mut client = WorkerServiceClient::new(self.channel().await?);
        let mut request = Request::new(v1::ListCommittedPartsRequest {
            run: run.0,
            lease: Some(lease.into()),
            op: op.0.into(),
        });
        if let Some(token) = &self.token {
            token.authorize(request.metadata_mut());
        }
        let stream = client
            .list_committed_parts(request)
            .await
            .map_err(failure)?
            .into_inner();
        CommittedPages::begin(stream).await
    }

    async fn channel(&self) -> Result<Channel, Failure> {
        let mut channels = self.channel.subscribe();
        let connected = tokio::time::timeout(PATIENCE, channels.wait_for(Option::is_some)).await;
        match connected {
            Ok(Ok(channel)) => channel.clone().ok_or_else(not_connected),
            Ok(Err(_)) | Err(_) => Err(not_connected()),
        }
    }
}

/// The committed parts, page by page.
pub struct CommittedPages {
    state: RunState,
    reopening: Reopening,
    page: std::vec::IntoIter<v1::CommittedPart>,
    stream: Streaming<v1::ListCommittedPartsResponse>,
}

impl CommittedPages {
    async fn begin(mut stream: Streaming<v1::ListCommittedPartsResponse>) -> Result<CommittedPages, Failure> {
        let first = stream.message().await.map_err(failure)?;
        let first = first.ok_or_else(|| Failure::retryable("the coordinator listed no page of committed parts"))?;
        let state = RunState::try_from(first.state()).map_err(|error| invalid(&error))?;
        let reopening = if first.is_final {
            Reopening::Never
        } else {
            Reopening::Possible
        };
        let page = first.parts.into_iter();
        Ok(CommittedPages {
            state,
            reopening,
            page,
            stream,
        })
    }

    /// Returns how the run is about to end.
    pub fn state(&self) -> RunState {
        self.state
    }

    /// Tells whether the run may go on again after that.
    pub fn reopening(&self) -> Reopening {
        self.reopening
    }

    /// Returns the next part; `None` after the last.
    ///
    /// # Errors
    /// A [`Failure`] when the listing breaks off, or says what cannot be.
    pub async fn next(&mut self) -> Result<Option<CommittedPart>, Failure> {
        loop {
            if let Some(part) = self.page.next() {
                return convert(part).map(Some).map_err(|error| invalid(&error));
            }
            match self.stream.message().await.map_err(failure)? {
                Some(page) => self.page = page.parts.into_iter(),
                None => return Ok(None),
            }
        }
    }
}

fn convert(wire: v1::CommittedPart) -> Result<CommittedPart, InvalidMessage> {
    let missing = InvalidMessage::missing;
    Ok(CommittedPart {
        batch: wire.batch.ok_or_else(|| missing("batch"))?.try_into()?,
        part: wire.part.ok_or_else(|| missing("part"))?.try_into()?,
    })
}

fn failure(status: Status) -> Failure {
    Failure::retryable(format!(
        "the coordinator did not list the committed parts: {}",
        status.message()
    ))
}

fn invalid(error: &InvalidMessage) -> Failure {
    Failure::permanent(format!("the coordinator listed what cannot be: {error}"))
}

fn not_connected() -> Failure {
    Failure::retryable("the worker is not connected to its coordinator")
}
