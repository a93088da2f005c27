//! Following a run to its end, over broken connections.
//!
//! The server sends a snapshot first, so that a new stream continues where the old one broke. A coordinator that
//! restarts is waited for; one that stays away is an error that the caller shows.

use std::time::Duration;

use proto::v1::watch_run_response::Update;
use proto::v1::{self, WatchRunResponse};
use tokio::time::Instant;
use tonic::Streaming;

use super::view::run_view;
use super::{Client, ClientError, RunView};

/// How long a coordinator may be away before the watcher gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two attempts to reach it again.
const PAUSE: Duration = Duration::from_millis(500);

/// A run that is being followed.
pub(crate) struct Watch {
    client: Client,
    run: String,
    stream: Streaming<WatchRunResponse>,
    ended: bool,
}

impl Watch {
    pub(super) async fn begin(mut client: Client, run: &str) -> Result<Watch, ClientError> {
        let stream = open(&mut client, run).await?;
        Ok(Watch {
            client,
            run: run.to_owned(),
            stream,
            ended: false,
        })
    }

    /// Returns the run when something has changed; `None` after its end. Safe to be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Result<Option<RunView>, ClientError> {
        while !self.ended {
            match self.stream.message().await {
                Ok(Some(response)) => match response.update {
                    Some(Update::Snapshot(run) | Update::Progress(run)) => return run_view(Some(run)).map(Some),
                    Some(Update::Ended(run)) => {
                        self.ended = true;
                        return run_view(Some(run)).map(Some);
                    }
                    Some(Update::TaskEvents(_)) | None => {}
                },
                // The server closes a stream that has not said the end only when it leaves.
                Ok(None) => self.reopen(None).await?,
                Err(status) if may_come_back(&status) => self.reopen(Some(status)).await?,
                Err(status) => return Err(self.client.refusal(status)),
            }
        }
        Ok(None)
    }

    async fn reopen(&mut self, reason: Option<tonic::Status>) -> Result<(), ClientError> {
        tracing::warn!(run = %self.run, reason = ?reason.map(|status| status.message().to_owned()), "lost sight of the run, trying again");
        let deadline = Instant::now() + PATIENCE;
        loop {
            tokio::time::sleep(PAUSE).await;
            let error = match self.try_reopen().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !error.is_unavailable() || Instant::now() >= deadline {
                return Err(error);
            }
        }
    }

    async fn try_reopen(&mut self) -> Result<(), ClientError> {
        let mut client = Client::connect(&self.client.addresses).await?;
        self.stream = open(&mut client, &self.run).await?;
        self.client = client;
        Ok(())
    }
}

async fn open(client: &mut Client, run: &str) -> Result<Streaming<WatchRunResponse>, ClientError> {
    let request = v1::WatchRunRequest {
        run_id: run.to_owned(),
        task_events: false,
    };
    let response = client.service.watch_run(request).await;
    Ok(response.map_err(|status| client.refusal(status))?.into_inner())
}

fn may_come_back(status: &tonic::Status) -> bool {
    matches!(
        status.code(),
        tonic::Code::Unavailable | tonic::Code::ResourceExhausted | tonic::Code::Unknown | tonic::Code::Cancelled
    )
}
