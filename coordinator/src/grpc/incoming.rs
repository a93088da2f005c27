//! Accepting connections: a cap on how many, no delay, and no patience with those that never speak.
//!
//! tonic keeps a connection that never sends a byte for ever; here one has [`FIRST_BYTE`] to begin. A connection beyond
//! the cap is closed at once, so that a client sees it and tries another time. What is listened on is TCP, or what a
//! simulation has in its place ([`Listener`]).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How long a new connection may be silent.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// How long to wait when the system has no more descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Something that connections come in at.
pub trait Listener: Send + 'static {
    /// A connection.
    type Connection: AsyncRead + AsyncWrite + Connected<ConnectInfo = TcpConnectInfo> + Send + Unpin + 'static;

    /// Waits for the next connection; nothing that is written to it waits for more.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

impl Listener for TcpListener {
    type Connection = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        loop {
            let (stream, _) = TcpListener::accept(self).await?;
            match stream.set_nodelay(true) {
                Ok(()) => return Ok(stream),
                Err(error) => tracing::debug!(%error, "a connection ended at once"),
            }
        }
    }
}

/// Accepts connections, at most `cap` at a time.
pub(super) fn connections<L: Listener>(
    listener: L,
    cap: usize,
) -> impl Stream<Item = io::Result<Connection<L::Connection>>> {
    let places = Arc::new(Semaphore::new(cap));
    unfold((listener, places), |(mut listener, places)| async move {
        loop {
            let stream = match listener.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                tracing::warn!("a connection was refused because there are too many");
                continue;
            };
            let connection = Connection {
                stream,
                first_byte: Some(Box::pin(sleep(FIRST_BYTE))),
                _place: place,
            };
            return Some((Ok(connection), (listener, places)));
        }
    })
}

/// A connection that counts against the cap and has to speak first.
pub(super) struct Connection<S> {
    stream: S,
    /// Runs until the first byte has come.
    first_byte: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if outcome.is_ready() {
            self.first_byte = None;
            return outcome;
        }
        let patience = self.first_byte.as_mut();
        if patience.is_some_and(|patience| patience.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the connection stayed silent",
            )));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<S: Connected<ConnectInfo = TcpConnectInfo>> Connected for Connection<S> {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}
