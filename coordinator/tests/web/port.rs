//! A web port over a real loopback socket, with a driver behind it that made-up runs are put into.

use std::net::SocketAddr;
use std::time::Duration;

use common::ids::Generation;
use coordinator::chart::fixture::Fixture;
use coordinator::clock::Clock;
use coordinator::driver::Driver;
use coordinator::registry::Retention;
use coordinator::service::Service;
use coordinator::shutdown::{ShutdownTrigger, shutdown_channel};
use coordinator::store::MemoryJournal;
use coordinator::submit::Folders;
use coordinator::timeline::Timelines;
use coordinator::web::{PageOptions, serve_web};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A web port with the driver behind it.
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    trigger: ShutdownTrigger,
    driving: JoinHandle<()>,
    serving: JoinHandle<()>,
    pub(crate) folder: tempfile::TempDir,
}

/// An answer of HTTP.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Port {
    pub(crate) async fn open(fixtures: Vec<Fixture>) -> Port {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("in.csv"), "a,b\n1,2\n3,4\n").expect("writes");
        let journal = Box::new(MemoryJournal::new(Generation(1)));
        let retention = Retention {
            runs: 1_000,
            age: Duration::from_secs(86_400),
        };
        let (driver, handle) = Driver::new(
            scheduler::Config::default(),
            Clock::start(),
            journal,
            Timelines::in_memory(),
            retention,
            |_: &_, _: &_| unreachable!("a journal in memory holds no run to go on with"),
        );
        let (trigger, shutdown) = shutdown_channel();
        let stop = shutdown.clone();
        let driving = tokio::spawn(async move { driver.run(stop).await.expect("drives") });
        let install = move |world: &mut _| fixtures.iter().for_each(|fixture| fixture.install(world));
        handle.read(install).await.expect("installs");
        let folders = Folders::new(folder.path(), folder.path(), &[]).expect("are there");
        let service = Service::new(handle, folders);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let options = PageOptions {
            ui_dir: None,
            grpc: address,
        };
        let serving = tokio::spawn(async move {
            serve_web(listener, service, options, shutdown).await.expect("serves");
        });
        Port {
            address,
            trigger,
            driving,
            serving,
            folder,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.head);
        answer.json()
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = self.request(method, path, headers, body).await;
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        read.expect("in time").expect("reads");
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let mut body = bytes[end + 4..].to_vec();
        if head.contains("transfer-encoding: chunked") {
            body = unchunked(&body);
        }
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .expect("a status");
        Answer { status, head, body }
    }

    pub(crate) async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        let mut text = format!(
            "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        if !headers.iter().any(|(name, _)| *name == "host") {
            text += &format!("host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        stream
            .write_all(format!("{text}\r\n{body}").as_bytes())
            .await
            .expect("writes");
        stream
    }

    pub(crate) async fn close(self) {
        self.trigger.request();
        self.serving.await.expect("ends");
        self.driving.await.expect("ends");
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).expect("ASCII");
        let size = usize::from_str_radix(size, 16).expect("a size");
        whole.extend(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 4 + size..];
        if size == 0 {
            break;
        }
    }
    whole
}
