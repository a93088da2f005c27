//! Handing parked outputs to other workers.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use common::ids::{LeaseId, OutputId, RunId};
use proto::ticket::is_valid_ticket;
use proto::v1;
use proto::v1::exchange_service_server::{ExchangeService, ExchangeServiceServer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::health::Health;
use crate::memory::Use;
use crate::parking::Parking;

const CHUNK_BYTES: usize = 512 << 10;
/// Chunks on their way into one stream.
const CHUNKS_AHEAD: usize = 2;
/// Outputs that are sent at once; more fetches wait.
const SENT_AT_ONCE: usize = 16;
/// Fetches that one connection may have under way.
const STREAMS_PER_CONNECTION: u32 = 16;

/// The key that tickets are checked with: the one of the session that lives at the moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExchangeKey(Arc<RwLock<Vec<u8>>>);

impl ExchangeKey {
    /// Takes the key of a session. Tickets of the session before are void with it.
    pub(crate) fn set(&self, key: Vec<u8>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// Tells whether a ticket is one that the coordinator made; without a session none is.
    fn accepts(&self, run: RunId, output: OutputId, lease: LeaseId, ticket: &[u8]) -> bool {
        let key = self.0.read().unwrap_or_else(PoisonError::into_inner);
        !key.is_empty() && is_valid_ticket(&key, run, output, lease, ticket)
    }
}

/// The exchange's server, bound and not yet serving.
pub(crate) struct ExchangeServer {
    listener: TcpListener,
    address: SocketAddr,
    routes: Routes,
    health: Health,
}

impl ExchangeServer {
    /// Binds an address.
    pub(crate) async fn bind(address: SocketAddr, parking: Arc<Parking>, key: ExchangeKey) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let service = Exchange {
            parking,
            key,
            sending: Arc::new(Semaphore::new(SENT_AT_ONCE)),
        };
        let (health, health_service) = Health::new().await;
        Ok(ExchangeServer {
            listener,
            address,
            routes: Routes::new(ExchangeServiceServer::new(service)).add_service(health_service),
            health,
        })
    }

    /// Returns what tells health checks about the worker.
    pub(crate) fn health(&self) -> Health {
        self.health.clone()
    }

    /// Returns the address it is bound to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is sent or dropped.
    pub(crate) async fn serve(self, stop: oneshot::Receiver<()>) -> Result<(), tonic::transport::Error> {
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let stopped = async {
            // Dropping the other end means the same as sending.
            let _ = stop.await;
        };
        let serving = tonic::transport::Server::builder()
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            .add_routes(self.routes)
            .serve_with_incoming(incoming);
        // Whoever still fetches finds the connection closed and asks elsewhere: the worker is gone anyway.
        tokio::select! {
            served = serving => served,
            () = stopped => Ok(()),
        }
    }
}

struct Exchange {
    parking: Arc<Parking>,
    key: ExchangeKey,
    sending: Arc<Semaphore>,
}

#[tonic::async_trait]
impl ExchangeService for Exchange {
    type FetchStream = ReceiverStream<Result<v1::FetchResponse, Status>>;

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let request = request.into_inner();
        let run = RunId(request.run);
        let output = request
            .output
            .ok_or_else(|| Status::invalid_argument("output: is missing"))?;
        let output = OutputId::try_from(output).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let lease = request
            .lease
            .ok_or_else(|| Status::invalid_argument("lease: is missing"))?;
        if !self.key.accepts(run, output, lease.into(), &request.ticket) {
            return Err(Status::permission_denied("the ticket is not one for this lease"));
        }
        let permit = Arc::clone(&self.sending).acquire_owned().await;
        let permit = permit.map_err(|_| Status::unavailable("the exchange stops"))?;
        let parking = Arc::clone(&self.parking);
        let ipc = tokio::task::spawn_blocking(move || parking.ipc(run, output)).await;
        let ipc = ipc.map_err(|_| Status::internal("encoding the output panicked"))?;
        let ipc = ipc.map_err(|error| Status::unavailable(error.to_string()))?;
        let bytes = Bytes::from(ipc.ok_or_else(|| Status::not_found("the output is gone"))?);
        let held = self.parking.memory().hold(Use::InTransfer, bytes.len() as u64);
        let (chunks, stream) = mpsc::channel(CHUNKS_AHEAD);
        // Ends with the stream: when the fetching worker goes away, sending fails.
        tokio::spawn(async move {
            send_chunks(bytes, &chunks).await;
            drop((permit, held));
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

async fn send_chunks(mut bytes: Bytes, chunks: &mpsc::Sender<Result<v1::FetchResponse, Status>>) {
    while !bytes.is_empty() {
        let chunk = bytes.split_to(bytes.len().min(CHUNK_BYTES));
        if chunks.send(Ok(v1::FetchResponse { chunk })).await.is_err() {
            return;
        }
    }
}
