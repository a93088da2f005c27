//! The address under which other workers reach this one's exchange.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{UdpSocket, lookup_host};
use tonic::codegen::http::Uri;

/// What the hello says about the exchange.
#[derive(Clone, Debug)]
pub enum Advertised {
    /// This URL, always.
    Url(String),
    /// This port of whichever address the coordinator is reached from, which may change from one connection to the
    /// next: in a container it is the address on the network that the workers share with the coordinator.
    Reached {
        /// The exchange's port.
        port: u16,
    },
}

impl Advertised {
    /// Decides by what was asked for, if anything, and where the exchange listens.
    pub(crate) fn new(wanted: Option<String>, exchange: SocketAddr) -> Advertised {
        match wanted {
            Some(url) => Advertised::Url(url),
            None if exchange.ip().is_unspecified() => Advertised::Reached { port: exchange.port() },
            None => Advertised::Url(format!("http://{exchange}")),
        }
    }

    /// Returns the URL to say to a coordinator.
    pub(super) async fn url(&self, coordinator: &Uri) -> io::Result<String> {
        match self {
            Advertised::Url(url) => Ok(url.clone()),
            Advertised::Reached { port } => {
                let address = SocketAddr::new(local_address(coordinator).await?, *port);
                Ok(format!("http://{address}"))
            }
        }
    }
}

/// Asks the system which address it would talk to the coordinator from. Connecting a UDP socket sends nothing.
async fn local_address(coordinator: &Uri) -> io::Result<IpAddr> {
    let host = coordinator.host().unwrap_or_default().trim_matches(['[', ']']);
    // Any port will do.
    let target = lookup_host((host, coordinator.port_u16().unwrap_or(80))).await?.next();
    let target = target.ok_or_else(|| io::Error::other("the coordinator's name has no address"))?;
    let any: SocketAddr = if target.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target).await?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn url(wanted: Option<&str>, exchange: &str) -> String {
        let advertised = Advertised::new(wanted.map(str::to_owned), exchange.parse().expect("an address"));
        let coordinator = Uri::from_static("http://127.0.0.1:50052");
        advertised.url(&coordinator).await.expect("an url")
    }

    #[tokio::test]
    async fn an_exchange_on_every_address_is_advertised_where_the_coordinator_is_reached_from() {
        assert_eq!(url(None, "0.0.0.0:50053").await, "http://127.0.0.1:50053");
        assert_eq!(url(None, "127.0.0.2:50053").await, "http://127.0.0.2:50053");
        assert_eq!(url(Some("http://w1:7"), "0.0.0.0:50053").await, "http://w1:7");
    }
}
