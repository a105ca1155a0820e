//! Listens, and serves a router within limits.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::deadline::Deadline;

/// What a server lets its clients do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once: 20,000 unless set.
    pub connections_max: usize,
    /// Time for the head of a request, and between requests: 30 s unless set.
    pub head_within: Duration,
    /// Bytes of the head of a request: 16 KiB unless set.
    pub head_bytes_max: usize,
    /// How long a reader may take too little before it is cut: 10 s unless set.
    pub write_patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            head_within: Duration::from_secs(30),
            head_bytes_max: 16 << 10,
            write_patience: Duration::from_secs(10),
        }
    }
}

/// A server on one address, HTTP/1.1 without TLS: put a proxy before it that has both, or mount the router in a server
/// of your own. There, see to it that a connection whose reader has stopped is cut.
pub struct Server {
    listener: TcpListener,
    limits: Limits,
}

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Said to a client for which there is no room.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

impl Server {
    /// Listens on an address.
    ///
    /// # Errors
    /// If it is taken, or cannot be had.
    pub async fn bind(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, limits })
    }
    /// The address, with the port that was given if none was asked for.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`; then takes no more connections, lets the requests that are under way end for as long as
    /// `stop` answers, and drops what is left.
    pub async fn serve(self, router: Router, stop: impl Future<Output = Duration>) {
        let Self { listener, limits } = self;
        let (tracker, ending, cut) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let room = Arc::new(Semaphore::new(limits.connections_max));
        tokio::pin!(stop);
        let grace = loop {
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Too many open files, most likely: others end before long.
                        tracing::warn!(%error, "failed to accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                grace = &mut stop => break grace,
            };
            let Ok(permit) = room.clone().try_acquire_owned() else {
                tracker.spawn(refuse(stream));
                continue;
            };
            let (router, limits) = (router.clone(), limits.clone());
            let (ending, cut) = (ending.clone(), cut.clone());
            tracker.spawn(async move {
                tokio::select! {
                    () = connection(stream, router, &limits, &ending) => {}
                    () = cut.cancelled() => {}
                }
                drop(permit);
            });
        };
        drop(listener);
        ending.cancel();
        tracker.close();
        if tokio::time::timeout(grace, tracker.wait()).await.is_err() {
            cut.cancel();
            tracker.wait().await;
        }
    }
}

async fn connection(stream: TcpStream, router: Router, limits: &Limits, ending: &CancellationToken) {
    prepare(&stream, limits.write_patience);
    let io = TokioIo::new(Deadline::new(stream, limits.write_patience));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_within)
        .max_headers(HEADERS_MAX)
        .max_header_size(limits.head_bytes_max)
        // What is written for a reader that is behind; the rest waits where it costs nothing.
        .max_buf_size(64 << 10);
    let connection = http.serve_connection(io, TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = ending.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients come and go as they like.
        tracing::debug!(%error, "a connection ended");
    }
}

/// Small messages go out at once, and a peer that is gone without a word is noticed.
fn prepare(stream: &TcpStream, patience: Duration) {
    let socket = socket2::SockRef::from(stream);
    stream.set_nodelay(true).ok();
    let alive = socket2::TcpKeepalive::new().with_time(Duration::from_mins(1));
    socket.set_tcp_keepalive(&alive).ok();
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(patience)).ok();
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = patience;
}

async fn refuse(mut stream: TcpStream) {
    let told = async {
        stream.write_all(FULL).await?;
        stream.shutdown().await
    };
    tokio::time::timeout(Duration::from_secs(1), told).await.ok();
}
