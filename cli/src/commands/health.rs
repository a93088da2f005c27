//! `plumb health`: whether a coordinator is up, for the health checks of containers.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::CommandError;
use crate::client::Client;
use crate::exit::Exit;
use crate::output;

const PATIENCE: Duration = Duration::from_secs(3);
/// The most that is read of an answer: its first line counts.
const MAX_ANSWER: u64 = 4_096;

const EXAMPLES: &str = "\
Examples:
  plumb health                               /readyz of 127.0.0.1:3000
  plumb health --web 127.0.0.1:8080
  plumb health --grpc 127.0.0.1:50051        grpc.health.v1 of a gRPC port

Exit code 0 if it is ready, 1 if it says that it is not, 69 if nothing answers.";

/// What to ask.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The web port, which is asked for /readyz.
    #[arg(
        long,
        env = "PLUMB_WEB",
        value_name = "ADDR",
        default_value = "127.0.0.1:3000",
        conflicts_with = "grpc"
    )]
    web: String,
    /// A gRPC port, which is asked for its health.
    #[arg(long, value_name = "ADDR")]
    grpc: Option<String>,
}

pub(super) async fn execute(args: Args) -> Result<Exit, CommandError> {
    if let Some(address) = &args.grpc {
        let ready = Client::healthy(address).await?;
        output::result(if ready { "ready" } else { "not ready" });
        return Ok(if ready { Exit::Ok } else { Exit::Failed });
    }
    let address = args.web.trim_start_matches("http://").trim_end_matches('/');
    let status = match timeout(PATIENCE, ask(address)).await {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => {
            output::message(&format!("nothing answers at {address}: {error}"));
            return Ok(Exit::Unavailable);
        }
        Err(_) => {
            output::message(&format!("nothing answers at {address} within {} s", PATIENCE.as_secs()));
            return Ok(Exit::Unavailable);
        }
    };
    let ready = status.split_whitespace().nth(1) == Some("200");
    output::result(if ready { "ready" } else { "not ready" });
    Ok(if ready { Exit::Ok } else { Exit::Failed })
}

/// Asks for /readyz and returns the answer's first line.
async fn ask(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
