//! A receiver of webhooks that keeps what it is sent.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Request, State},
};
use http::{HeaderMap, StatusCode};
use stepwell::{Builder, Stepwell, webhook::WebhookOptions};

/// What a receiver has been sent, and what it answers.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    status: StatusCode,
    seen: Vec<(HeaderMap, String)>,
}

impl Receiver {
    pub(crate) async fn answering(status: u16) -> Self {
        let listening = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listening.local_addr().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        let receiver = Self { url, inner: Arc::new(Mutex::new(Inner { status, seen: Vec::new() })) };
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum_serve(listening, router).await });
        receiver
    }
    pub(crate) fn answer(&self, status: u16) {
        self.inner.lock().unwrap().status = StatusCode::from_u16(status).unwrap();
    }
    pub(crate) fn seen(&self) -> Vec<(HeaderMap, String)> {
        self.inner.lock().unwrap().seen.clone()
    }
    /// Waits until it was sent so much.
    pub(crate) async fn reaches(&self, n: usize) -> Vec<(HeaderMap, String)> {
        super::server::until("a delivery", async || self.seen().len() >= n).await;
        self.seen()
    }
}

async fn take(State(receiver): State<Receiver>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut inner = receiver.inner.lock().unwrap();
    inner.seen.push((parts.headers, String::from_utf8(body.to_vec()).unwrap()));
    inner.status
}

async fn axum_serve(listening: tokio::net::TcpListener, router: Router) {
    loop {
        let Ok((stream, _)) = listening.accept().await else { return };
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        let io = hyper_util::rt::TokioIo::new(stream);
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
    }
}

/// A queue that may send to this machine.
pub(crate) fn in_memory() -> Builder {
    Stepwell::in_memory().webhooks(WebhookOptions::new().allow("127.0.0.0/8"))
}
