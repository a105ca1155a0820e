//! What an application puts together.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::Request, middleware::from_fn_with_state, response::IntoResponse};
use http::{Method, StatusCode};
use stepwell::Stepwell;

use crate::{
    access::Access,
    front::{Code, Hosts, Problem, through},
    hub::{Hub, Options},
    routes,
};

/// The HTTP API of a queue, to be mounted anywhere.
pub struct Api {
    stepwell: Stepwell,
    access: Access,
    hosts: Hosts,
    options: Options,
    hub: std::sync::OnceLock<Arc<Hub>>,
}

impl Api {
    /// The API of this queue, for whoever `access` lets in, under these hosts.
    #[must_use]
    pub fn new(stepwell: &Stepwell, access: Access, hosts: Hosts) -> Self {
        let hub = std::sync::OnceLock::new();
        Self { stepwell: stepwell.clone(), access, hosts, options: Options::default(), hub }
    }
    /// Bytes of a body: 1 MiB and 64 KiB unless set, so that a payload of the largest size fits in; at most 16 MiB.
    #[must_use]
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.options.body_bytes_max = bytes.min(16 << 20);
        self
    }
    /// Requests that one token may send in a minute: 12,000 unless set; none means without a limit.
    #[must_use]
    pub fn requests_per_minute(mut self, requests: Option<u32>) -> Self {
        self.options.requests_per_minute = requests;
        self
    }
    /// Event streams at once: 20,000 unless set.
    #[must_use]
    pub fn streams_max(mut self, streams: usize) -> Self {
        self.options.streams_max = streams;
        self
    }
    /// How long an event stream lives before the client is asked to come again: 10 minutes unless set, each by up to a
    /// fifth more or less, so that they do not all come at once.
    #[must_use]
    pub fn stream_age_max(mut self, age: Duration) -> Self {
        self.options.stream_age_max = age.max(Duration::from_secs(1));
        self
    }
    /// How often a quiet event stream says that it lives: every 15 s unless set.
    #[must_use]
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.options.heartbeat = every.max(Duration::from_millis(100));
        self
    }

    fn hub(&self) -> &Arc<Hub> {
        self.hub.get_or_init(|| {
            Hub::new(&self.stepwell, self.access.clone(), self.hosts.clone(), self.options.clone())
        })
    }
    /// The router. Every address in it is relative to where it is mounted.
    pub fn router(&self) -> Router {
        let hub = self.hub().clone();
        let (router, _) = routes::table(Some(hub.clone())).split_for_parts();
        router
            .method_not_allowed_fallback(no_such_method)
            .fallback(async || Problem::not_found("address"))
            .layer(from_fn_with_state(hub.clone(), through))
            .with_state(hub)
    }
    /// Ends what waits: streams close, long polls are answered, and [`readyz`](Self::router) says no. For the beginning
    /// of a shutdown.
    pub fn drain(&self) {
        self.hub().draining.cancel();
    }
}

/// What is not there is told with what is: axum adds `Allow`.
async fn no_such_method(request: Request) -> axum::response::Response {
    match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => {
            Problem::new(Code::MethodNotAllowed, "the method does not exist for this address").into_response()
        }
    }
}
