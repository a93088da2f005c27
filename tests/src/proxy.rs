//! A TCP proxy between two processes of a test, which does to their connections what networks do.
//!
//! Owns a port of its own, the connections made to it, and two threads for each direction of each: one reads, one
//! delivers when it is time. What a test calls for holds for all connections at once: the [`Weather`] until it changes,
//! [`Proxy::cut`] and [`Proxy::half_close`] for those that are there. Bytes are never changed or reordered, since TCP
//! does not do that either.
//!
//! Known weakness: a connection that is cut ends with FIN or with RST as the kernel chooses, by what was not read yet.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How much is read at a time.
const CHUNK: usize = 16 << 10;
/// How many chunks are under way in one direction before the sender feels it.
const CHUNKS_UNDER_WAY: usize = 64;

/// What becomes of bytes that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// They are delivered.
    Clear,
    /// They are delivered so much later.
    Slow(Duration),
    /// They are not delivered, and nobody is told: connections stay open, and can be made. When the weather changes, they
    /// are delivered, as TCP does when a network heals.
    Silent,
    /// Connections are closed as soon as they are made; those that are there stay.
    Refusing,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the process that dialled to the one that listens.
    ToServer,
    /// The other one.
    ToClient,
}

/// A proxy; it ends with the test.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    delivered: AtomicU64,
}

#[derive(Debug)]
struct State {
    weather: Weather,
    connections: Vec<Connection>,
    accepted: usize,
    ended: bool,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// Set for a direction that has been closed: what still comes is thrown away.
    closed: [Arc<AtomicBool>; 2],
}

/// Bytes under way; none says that the sender has closed.
type Chunk = (Instant, Option<Vec<u8>>);

impl Proxy {
    /// Starts a proxy on a free port in front of an address.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let shared = Arc::new(Shared {
            target,
            state: Mutex::new(State {
                weather: Weather::Clear,
                connections: Vec::new(),
                accepted: 0,
                ended: false,
            }),
            changed: Condvar::new(),
            delivered: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || accept(&listener, &accepting));
        Proxy {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Returns where to connect to instead of the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather for every connection, now and to come.
    pub fn set(&self, weather: Weather) {
        self.shared.lock().weather = weather;
        self.shared.changed.notify_all();
    }

    /// Breaks every connection that is there, both ways; returns how many.
    pub fn cut(&self) -> usize {
        let connections = std::mem::take(&mut self.shared.lock().connections);
        for connection in &connections {
            connection.break_up();
        }
        self.shared.changed.notify_all();
        connections.len()
    }

    /// Ends one direction of every connection that is there: the receiver reads an end, what the sender still sends is
    /// lost, and the other direction goes on. Returns of how many it was open.
    pub fn half_close(&self, direction: Direction) -> usize {
        let state = self.shared.lock();
        let open = |connection: &&Connection| !connection.closed[direction as usize].swap(true, Ordering::AcqRel);
        let closed = state.connections.iter().filter(open);
        // It may be gone already.
        closed
            .map(|connection| connection.receiver(direction).shutdown(Shutdown::Write))
            .filter(Result::is_ok)
            .count()
    }

    /// Returns how many connections were made so far.
    pub fn accepted(&self) -> usize {
        self.shared.lock().accepted
    }

    /// Returns how many bytes were delivered so far, in both directions together.
    pub fn delivered(&self) -> u64 {
        self.shared.delivered.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.cut();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Waits until a chunk may be delivered; `false` if the test is over.
    fn wait_to_deliver(&self, read_at: Instant) -> bool {
        let mut state = self.lock();
        loop {
            if state.ended {
                return false;
            }
            let now = Instant::now();
            let wait = match state.weather {
                Weather::Clear | Weather::Refusing => return true,
                Weather::Slow(latency) => (read_at + latency).saturating_duration_since(now),
                Weather::Silent => Duration::from_secs(3600),
            };
            if wait.is_zero() {
                return true;
            }
            state = self.changed.wait_timeout(state, wait).expect("no holder panics").0;
        }
    }
}

impl Connection {
    fn receiver(&self, direction: Direction) -> &TcpStream {
        match direction {
            Direction::ToServer => &self.server,
            Direction::ToClient => &self.client,
        }
    }

    fn break_up(&self) {
        for closed in &self.closed {
            closed.store(true, Ordering::Release);
        }
        for stream in [&self.client, &self.server] {
            // It may be gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let Ok(client) = client else { continue };
        let mut state = shared.lock();
        if state.ended {
            return;
        }
        state.accepted += 1;
        if state.weather == Weather::Refusing {
            continue;
        }
        // A target that is gone refuses, and so does the proxy.
        let Ok(server) = TcpStream::connect(shared.target) else {
            continue;
        };
        if let Ok(connection) = carry(client, server, shared) {
            state.connections.push(connection);
        }
    }
}

/// Starts the threads of a connection. They end with it.
fn carry(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) -> std::io::Result<Connection> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let closed: [Arc<AtomicBool>; 2] = Default::default();
    let directions = [
        (Direction::ToServer, &client, &server),
        (Direction::ToClient, &server, &client),
    ];
    for (direction, sender, receiver) in directions {
        let (queue, chunks) = sync_channel(CHUNKS_UNDER_WAY);
        let (sender, receiver) = (sender.try_clone()?, receiver.try_clone()?);
        let (shared, closed) = (Arc::clone(shared), Arc::clone(&closed[direction as usize]));
        std::thread::spawn(move || read(sender, &queue));
        std::thread::spawn(move || deliver(receiver, &chunks, &shared, &closed));
    }
    Ok(Connection { client, server, closed })
}

fn read(mut sender: TcpStream, queue: &SyncSender<Chunk>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let chunk = match sender.read(&mut buffer) {
            Ok(0) | Err(_) => None,
            Ok(length) => Some(buffer[..length].to_vec()),
        };
        let ended = chunk.is_none();
        if queue.send((Instant::now(), chunk)).is_err() || ended {
            return;
        }
    }
}

fn deliver(mut receiver: TcpStream, chunks: &Receiver<Chunk>, shared: &Shared, closed: &AtomicBool) {
    for (read_at, chunk) in chunks {
        if !shared.wait_to_deliver(read_at) {
            return;
        }
        if closed.load(Ordering::Acquire) {
            continue;
        }
        let Some(bytes) = chunk else {
            let _ = receiver.shutdown(Shutdown::Write);
            return;
        };
        if receiver.write_all(&bytes).is_err() {
            return;
        }
        shared.delivered.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::wait::until;

    /// A server that sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let (mut from, mut to) = (stream.try_clone().unwrap(), stream);
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        });
        address
    }

    fn dial(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        until("the proxy has accepted", || (proxy.accepted() > 0).then_some(()));
        stream
    }

    fn exchange(stream: &mut TcpStream) -> std::io::Result<usize> {
        stream.write_all(b"hello")?;
        stream.read(&mut [0; 5])
    }

    #[test]
    fn bytes_come_through_late_when_the_network_is_slow_and_not_at_all_when_it_is_silent() {
        let proxy = Proxy::start(echo());
        let mut stream = dial(&proxy);
        assert_eq!(exchange(&mut stream).unwrap(), 5);
        proxy.set(Weather::Slow(Duration::from_millis(50)));
        let begun = Instant::now();
        assert_eq!(exchange(&mut stream).unwrap(), 5);
        assert!(begun.elapsed() >= Duration::from_millis(100), "there and back");
        proxy.set(Weather::Silent);
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(exchange(&mut stream).is_err(), "nothing comes");
        proxy.set(Weather::Clear);
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(stream.read(&mut [0; 5]).unwrap(), 5, "it was kept for later");
    }

    #[test]
    fn a_half_closed_connection_still_carries_the_other_direction() {
        let proxy = Proxy::start(echo());
        let mut stream = dial(&proxy);
        assert_eq!(exchange(&mut stream).unwrap(), 5);
        proxy.half_close(Direction::ToClient);
        assert_eq!(stream.read(&mut [0; 5]).unwrap(), 0, "the client reads an end");
        let before = proxy.delivered();
        stream.write_all(b"more").unwrap();
        until("the server gets more", || {
            (proxy.delivered() >= before + 4).then_some(())
        });
    }

    #[test]
    fn a_cut_ends_what_is_there_and_refusing_what_comes() {
        let proxy = Proxy::start(echo());
        let mut stream = dial(&proxy);
        assert_eq!(exchange(&mut stream).unwrap(), 5);
        assert_eq!(proxy.cut(), 1);
        assert!(matches!(stream.read(&mut [0; 5]), Ok(0) | Err(_)));
        proxy.set(Weather::Refusing);
        assert!(matches!(exchange(&mut dial(&proxy)), Ok(0) | Err(_)));
        proxy.set(Weather::Clear);
        assert_eq!(exchange(&mut dial(&proxy)).unwrap(), 5);
    }
}
