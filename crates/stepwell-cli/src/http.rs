//! The HTTP API of a queue, on an address.

use std::{net::SocketAddr, time::Duration};

use stepwell::Stepwell;
use stepwell_http::{Access, Api, Hosts, Limits, Server};
use tokio::{sync::oneshot, task::JoinHandle};

/// The API, as it is served.
pub(crate) struct Http {
    pub(crate) address: SocketAddr,
    api: Api,
    stop: oneshot::Sender<Duration>,
    served: JoinHandle<()>,
}

/// Where to listen, and for whom.
pub(crate) struct Listen {
    pub(crate) address: SocketAddr,
    /// Ports after that one that may be taken in its place.
    pub(crate) further_ports: u16,
    /// Names under which the server is reached, beside the address itself.
    pub(crate) hosts: Vec<String>,
    pub(crate) access: Access,
    pub(crate) requests_per_minute: Option<u32>,
}

impl Http {
    /// Listens, and serves from now on.
    ///
    /// # Errors
    /// If no port is to be had.
    pub(crate) async fn start(stepwell: &Stepwell, listen: Listen) -> std::io::Result<Self> {
        let server = bind(listen.address, listen.further_ports).await?;
        let address = server.address()?;
        let api = Api::new(stepwell, listen.access, hosts(address, listen.hosts))
            .requests_per_minute(listen.requests_per_minute);
        let (stop, stopped) = oneshot::channel();
        let router = api.router();
        let served = tokio::spawn(server.serve(router, async { stopped.await.unwrap_or_default() }));
        Ok(Self { address, api, stop, served })
    }
    /// Ends what waits, takes nothing more, and lets the requests that are under way end.
    pub(crate) async fn stop(self, grace: Duration) {
        self.api.drain();
        self.stop.send(grace).ok();
        self.served.await.ok();
    }
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The first of the ports that is free.
async fn bind(address: SocketAddr, further: u16) -> std::io::Result<Server> {
    let mut tried = Server::bind(address, Limits::default()).await;
    for n in 1..=further {
        let taken = matches!(&tried, Err(error) if error.kind() == std::io::ErrorKind::AddrInUse);
        let Some(port) = address.port().checked_add(n).filter(|_| taken) else { break };
        tried = Server::bind(SocketAddr::new(address.ip(), port), Limits::default()).await;
    }
    tried
}

/// The names under which the server is reached.
fn hosts(address: SocketAddr, named: Vec<String>) -> Hosts {
    let port = address.port();
    let mut hosts = named;
    hosts.push(address.to_string());
    if address.ip().is_loopback() {
        hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}")));
    }
    Hosts::only(hosts)
}
