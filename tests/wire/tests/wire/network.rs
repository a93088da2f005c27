//! Connections over turmoil's network, as the two edges want them, told to the trace piece by piece.
//!
//! How long a piece is that the coordinator sends is not told: the HTTP library puts the time of day by the real clock into
//! the headers of answers, which are compressed against those before.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use coordinator::grpc::Listener;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::codegen::http::Uri;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tonic::transport::{Channel, Endpoint, Error};
use turmoil::net::{TcpListener, TcpStream};

use crate::trace::Trace;

/// What the coordinator listens on.
pub(crate) struct SimulatedListener {
    listener: TcpListener,
    trace: Trace,
}

impl SimulatedListener {
    /// Listens on a port of the host that runs now.
    pub(crate) async fn bind(port: u16, trace: Trace) -> io::Result<SimulatedListener> {
        let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)).await?;
        Ok(SimulatedListener { listener, trace })
    }
}

impl Listener for SimulatedListener {
    type Connection = Told;

    async fn accept(&mut self) -> io::Result<Told> {
        let (stream, _) = self.listener.accept().await?;
        Told::new(stream, End::Coordinator, self.trace.clone())
    }
}

/// Connects to a host of the simulation by its name.
pub(crate) async fn connect(endpoint: Endpoint, trace: Trace) -> Result<Channel, Error> {
    let connector = tower::service_fn(move |uri: Uri| {
        let trace = trace.clone();
        async move {
            let host = uri.host().unwrap_or_default().to_owned();
            let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(80))).await?;
            Told::new(stream, End::Other, trace).map(TokioIo::new)
        }
    });
    endpoint.connect_with_connector(connector).await
}

/// Whose end of a connection it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Coordinator,
    Other,
}

/// A connection whose pieces are told.
pub(crate) struct Told {
    stream: TcpStream,
    end: End,
    trace: Trace,
    name: Arc<str>,
    info: TcpConnectInfo,
}

impl Told {
    fn new(stream: TcpStream, end: End, trace: Trace) -> io::Result<Told> {
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        let name = format!("{local} - {peer}").into();
        trace.tell(|| format!("{name} is connected"));
        Ok(Told {
            stream,
            end,
            trace,
            name,
            info: TcpConnectInfo {
                local_addr: Some(local),
                remote_addr: Some(peer),
            },
        })
    }
}

impl Connected for Told {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.info.clone()
    }
}

impl AsyncRead for Told {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(outcome) = &read {
            let length = buf.filled().len() - before;
            let told = outcome
                .as_ref()
                .map(|()| (self.end == End::Coordinator).then_some(length));
            self.trace
                .tell(|| format!("{} read {:?}", self.name, told.map_err(io::Error::kind)));
        }
        read
    }
}

impl AsyncWrite for Told {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(outcome) = &written {
            let told = outcome
                .as_ref()
                .map(|length| (self.end == End::Other).then_some(length));
            self.trace
                .tell(|| format!("{} wrote {:?}", self.name, told.map_err(io::Error::kind)));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
