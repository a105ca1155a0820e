//! Connects to receivers, and only to those that may be connected to.
//!
//! This is the one door: whatever the host of a URL is, a name or an address in any form, the check is made on the very
//! address that is connected to, and there is no second look-up between the two that could answer differently.

use std::{
    error::Error as StdError,
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;
use url::Host;

use super::{
    address,
    lookup::{Lookups, Resolve},
    options::{Denial, Policy},
};

/// How long it may take to look a name up and to connect, TLS included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// The one door to the network.
#[derive(Clone)]
pub(super) struct Door {
    policy: Arc<Policy>,
    lookups: Lookups,
}

impl Door {
    pub(super) fn new(policy: Arc<Policy>, resolver: Arc<dyn Resolve>) -> Self {
        Self { policy, lookups: Lookups::new(resolver) }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, ConnectError> {
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let addresses = self.addresses(uri.host().unwrap_or_default()).await?;
        let mut denial = Denial::Address;
        let mut failed = None;
        let permitted =
            addresses.into_iter().filter(|address| match self.policy.denies(*address, port, secure) {
                None => true,
                Some(why) => {
                    // What is wrong with the port is worth more to its owner than that another address is denied.
                    denial = if denial == Denial::Address { why } else { denial };
                    false
                }
            });
        let permitted: Vec<IpAddr> = permitted.take(ADDRESSES_MAX).collect();
        let share = CONNECT_TIMEOUT / u32::try_from(permitted.len().max(1)).unwrap_or(1);
        for address in permitted {
            match tokio::time::timeout(share, TcpStream::connect(SocketAddr::new(address, port))).await {
                Ok(Ok(stream)) => {
                    // Small bodies must not wait for an acknowledgement.
                    stream.set_nodelay(true).map_err(ConnectError::Io)?;
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error)) => failed = Some(ConnectError::Io(error)),
                Err(_) => failed = Some(ConnectError::TimedOut),
            }
        }
        Err(failed.unwrap_or(ConnectError::Denied(denial)))
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ConnectError> {
        // Every way to write an address is read here, so that none of them is taken for a name.
        match Host::parse(host) {
            Ok(Host::Ipv4(address)) => Ok(vec![address.into()]),
            Ok(Host::Ipv6(address)) => Ok(vec![address.into()]),
            Ok(Host::Domain(name)) if address::is_denied_name(&name) => {
                Err(ConnectError::Denied(Denial::Name))
            }
            Ok(Host::Domain(name)) => {
                let found = self.lookups.addresses(&name).await.ok_or(ConnectError::Unresolved)?;
                Ok(found.to_vec())
            }
            Err(_) => Err(ConnectError::Denied(Denial::Name)),
        }
    }
}

impl Service<Uri> for Door {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// A connector with a limit on how long it may take, TLS included.
#[derive(Clone)]
pub(super) struct InTime<C>(pub(super) C);

type BoxError = Box<dyn StdError + Send + Sync>;

impl<C> Service<Uri> for InTime<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }
    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let in_time = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
            in_time.unwrap_or_else(|_| Err(ConnectError::TimedOut.into()))
        })
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    Denied(Denial),
    Unresolved,
    Io(io::Error),
    TimedOut,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::Unresolved => f.write_str("its host's name could not be looked up"),
            Self::Io(error) => write!(f, "could not connect: {error}"),
            Self::TimedOut => write!(f, "could not connect within {CONNECT_TIMEOUT:?}"),
        }
    }
}

impl StdError for ConnectError {}

#[cfg(test)]
mod tests;
