//! One request to one receiver, with all its limits.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};
use stepwell_core::{Timestamp, time::Stopwatch};

use super::{
    attempt::RESPONSE_BYTES_MAX,
    connector::{ConnectError, Door, InTime},
    lookup::Resolve,
    options::WebhookOptions,
    schedule::RETRY_AFTER_MAX,
};

/// How long an attempt to deliver may take in all. Who shuts down with less grace cuts off those that are under way;
/// they are made again later, under the same id.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

type Connector = InTime<HttpsConnector<Door>>;

/// Sends requests: without redirects, proxies, cookies, or anything else that leads elsewhere than was checked.
pub(super) struct Client {
    client: legacy::Client<Connector, Full<Bytes>>,
}

/// What a receiver answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// How long it asks us to wait.
    pub(super) retry_after: Option<Duration>,
    /// The beginning of what it said.
    pub(super) response: String,
}

impl Client {
    pub(super) fn new(options: &WebhookOptions, resolver: Arc<dyn Resolve>) -> Self {
        let door = Door::new(Arc::new(options.policy.clone()), resolver);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(&options.trusted))
            .https_or_http()
            .enable_http1()
            .wrap_connector(door);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(options.at_once)
            .build(InTime(https));
        Self { client }
    }

    /// Posts a body.
    pub(super) async fn post(
        &self,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
        now: Timestamp,
    ) -> Result<Answer, SendError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let begun = Stopwatch::start();
        let answered = tokio::time::timeout(ATTEMPT_TIMEOUT, self.client.request(request)).await;
        let answered = answered.map_err(|_| SendError::TimedOut)?.map_err(SendError::Failed)?;
        let (parts, body) = answered.into_parts();
        let mut kept = Vec::new();
        // The status is the answer; however the rest of it ends, or does not, changes nothing.
        let left = ATTEMPT_TIMEOUT.saturating_sub(begun.elapsed());
        tokio::time::timeout(left, keep(body, &mut kept)).await.ok();
        Ok(Answer {
            status: parts.status,
            retry_after: parts.headers.get(header::RETRY_AFTER).and_then(|value| retry_after(value, now)),
            response: String::from_utf8_lossy(&kept).into_owned(),
        })
    }
}

async fn keep(mut body: Incoming, kept: &mut Vec<u8>) {
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        let room = RESPONSE_BYTES_MAX - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() >= room {
            return;
        }
    }
}

/// Seconds, or a date.
fn retry_after(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Timestamp::from_micros(at.as_microsecond()).since(now)
        }
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

/// TLS with the system's authorities, those that browsers trust, and those that were given.
fn tls(trusted: &[Vec<u8>]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(trusted.iter().map(|der| CertificateDer::from(der.clone())));
    // Named here, not installed: the process may have another one.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|config| config.with_root_certificates(roots).with_no_client_auth());
    config.expect("ring supports the versions that it is compiled with")
}

/// Why there was no answer.
#[derive(Debug)]
pub(super) enum SendError {
    TimedOut,
    Failed(legacy::Error),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Failed(error) = self else { return write!(f, "no answer within {ATTEMPT_TIMEOUT:?}") };
        // The innermost reason is the one that its owner can do something about.
        let mut cause: &dyn StdError = error;
        loop {
            if let Some(connect) = cause.downcast_ref::<ConnectError>() {
                return connect.fmt(f);
            }
            match cause.source() {
                Some(inner) => cause = inner,
                None => return write!(f, "the request failed: {cause}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_has_a_bound() {
        let now = Timestamp::from_micros(784_111_777_000_000);
        let read = |text: &str| retry_after(&HeaderValue::from_str(text).unwrap(), now);
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_mins(1)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("99999999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(read("Tue, 31 Dec 2999 23:59:59 GMT"), Some(RETRY_AFTER_MAX));
        for text in ["", "soon", "-5", "1.5", "99999999999999999999999"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
