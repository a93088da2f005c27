//! Fetching an output from the worker that parked it.

use std::time::Duration;

use common::ids::{LeaseId, RunId};
use common::message::RemoteOutput;
use proto::v1;
use proto::v1::exchange_service_client::ExchangeServiceClient;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::batch::{Batch, BatchBytesError};

const TRIES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the holder may be silent in the middle of an output.
const SILENCE: Duration = Duration::from_secs(10);
/// The largest output that is fetched: more cannot be held in memory with good reason.
const MAX_OUTPUT_BYTES: usize = 4 << 30;

/// An output could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The holder's address is none.
    #[error("{address:?} is no address of an exchange")]
    BadAddress {
        /// What was given.
        address: String,
    },
    /// The holder cannot be reached.
    #[error("the worker at {address} cannot be reached: {message}")]
    Unreachable {
        /// The holder's address.
        address: String,
        /// What happened.
        message: String,
    },
    /// The holder does not give it.
    #[error("the worker at {address} does not give the output: {message}")]
    Refused {
        /// The holder's address.
        address: String,
        /// What it said.
        message: String,
    },
    /// What came is no batch.
    #[error("what the other worker sent is no batch: {0}")]
    Bytes(#[from] BatchBytesError),
}

impl FetchError {
    fn may_be_retried(&self) -> bool {
        match self {
            FetchError::Unreachable { .. } => true,
            FetchError::BadAddress { .. } | FetchError::Refused { .. } | FetchError::Bytes(_) => false,
        }
    }
}

/// Fetches outputs from other workers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fetcher;

impl Fetcher {
    /// Fetches an output; tries three times where trying may help.
    pub(crate) async fn fetch(self, run: RunId, lease: LeaseId, remote: &RemoteOutput) -> Result<Batch, FetchError> {
        let mut tried = 1;
        loop {
            let error = match fetch_once(run, lease, remote).await {
                Ok(batch) => return Ok(batch),
                Err(error) => error,
            };
            if tried == TRIES || !error.may_be_retried() {
                return Err(error);
            }
            tracing::debug!(%run, %lease, tried, %error, "a fetch is tried again");
            tokio::time::sleep(FIRST_WAIT * 2_u32.pow(tried - 1)).await;
            tried += 1;
        }
    }
}

async fn fetch_once(run: RunId, lease: LeaseId, remote: &RemoteOutput) -> Result<Batch, FetchError> {
    let address = &remote.address;
    let unreachable = |message: String| FetchError::Unreachable {
        address: address.clone(),
        message,
    };
    let endpoint = Endpoint::from_shared(address.clone()).map_err(|_| FetchError::BadAddress {
        address: address.clone(),
    })?;
    let channel = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .connect()
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    let request = v1::FetchRequest {
        run: run.0,
        output: Some(remote.output.into()),
        lease: Some(lease.into()),
        ticket: remote.ticket.clone(),
    };
    let answer = ExchangeServiceClient::new(channel).fetch(request).await;
    let mut chunks = answer.map_err(|status| refusal(address, &status))?.into_inner();
    let mut bytes = Vec::new();
    loop {
        let chunk = tokio::time::timeout(SILENCE, chunks.message()).await;
        let chunk = chunk.map_err(|_| unreachable("it fell silent".to_owned()))?;
        match chunk.map_err(|status| refusal(address, &status))? {
            Some(chunk) => bytes.extend_from_slice(&chunk.chunk),
            None => break,
        }
        if bytes.len() > MAX_OUTPUT_BYTES {
            return Err(unreachable("the output is larger than 4 GiB".to_owned()));
        }
    }
    Ok(Batch::from_ipc(&bytes)?)
}

fn refusal(address: &str, status: &Status) -> FetchError {
    let (address, message) = (address.to_owned(), status.message().to_owned());
    let refuses = [
        Code::NotFound,
        Code::PermissionDenied,
        Code::InvalidArgument,
        Code::Unimplemented,
    ];
    if refuses.contains(&status.code()) {
        return FetchError::Refused { address, message };
    }
    FetchError::Unreachable { address, message }
}
