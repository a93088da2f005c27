//! Fetching an output from the worker that parked it.
//!
//! A holder that cannot be reached is tried again a few times and not for long: the output can be made again. Whether a
//! silent holder is only slow is found out by pings, which it answers while it works.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::ids::{LeaseId, RunId};
use common::message::RemoteOutput;
use proto::v1;
use proto::v1::exchange_service_client::ExchangeServiceClient;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::batch::{Batch, BatchBytesError};
use crate::memory::{Memory, Use};

const TRIES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// After this long nothing is tried again.
const PATIENCE: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the holder is pinged, and how long it may take to answer that.
const PING_INTERVAL: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the holder may be silent before an output and in its middle, though it answers pings.
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
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    memory: Arc<Memory>,
}

impl Fetcher {
    /// Makes a fetcher whose bytes on the way count against a memory.
    pub(crate) fn new(memory: Arc<Memory>) -> Fetcher {
        Fetcher { memory }
    }

    /// Fetches an output; tries up to three times where trying may help.
    pub(crate) async fn fetch(&self, run: RunId, lease: LeaseId, remote: &RemoteOutput) -> Result<Batch, FetchError> {
        let begun = Instant::now();
        let mut tried = 1;
        loop {
            let error = match fetch_once(&self.memory, run, lease, remote).await {
                Ok(batch) => return Ok(batch),
                Err(error) => error,
            };
            if tried == TRIES || !error.may_be_retried() || begun.elapsed() > PATIENCE {
                return Err(error);
            }
            tracing::debug!(%run, %lease, tried, %error, "a fetch is tried again");
            tokio::time::sleep(FIRST_WAIT * 2_u32.pow(tried - 1)).await;
            tried += 1;
        }
    }
}

async fn fetch_once(
    memory: &Arc<Memory>,
    run: RunId,
    lease: LeaseId,
    remote: &RemoteOutput,
) -> Result<Batch, FetchError> {
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
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
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
    let silent = |_| unreachable("it fell silent".to_owned());
    let mut holder = ExchangeServiceClient::new(channel);
    let answer = timeout(SILENCE, holder.fetch(request)).await.map_err(silent)?;
    let mut chunks = answer.map_err(|status| refusal(address, &status))?.into_inner();
    let mut bytes = Vec::new();
    let mut held = memory.hold(Use::InTransfer, 0);
    loop {
        let chunk = timeout(SILENCE, chunks.message()).await.map_err(silent)?;
        match chunk.map_err(|status| refusal(address, &status))? {
            Some(chunk) => {
                bytes.extend_from_slice(&chunk.chunk);
                held.change(bytes.len() as u64);
            }
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
