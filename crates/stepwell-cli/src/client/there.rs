//! A server elsewhere.

use std::{error::Error as StdError, fmt::Display, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use url::Url;

use super::requests::Body;
use crate::failure::{FailedTo, Failure, code};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server elsewhere.
pub(crate) struct There {
    client: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Url,
    token: Option<HeaderValue>,
    /// What to do if nobody answers.
    hint: &'static str,
}

impl There {
    /// Connects with the first request.
    ///
    /// # Errors
    /// If TLS is not to be had, or the token cannot be sent.
    pub(super) fn new(base: Url, token: Option<&str>, hint: &'static str) -> Result<Self, Failure> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = legacy::Client::builder(TokioExecutor::new()).build(https);
        let token = token.map(|token| HeaderValue::try_from(format!("Bearer {token}"))).transpose();
        let mut token = token.failed_to("use the token, which is not what `tokens create` printed")?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        Ok(Self { client, base, token, hint })
    }

    pub(super) async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Body>, String> {
        let target = format!("{}{}", self.base.as_str().trim_end_matches('/'), request.uri());
        *request.uri_mut() = target.parse::<Uri>().map_err(|error| error.to_string())?;
        if let Some(token) = &self.token {
            request.headers_mut().insert(header::AUTHORIZATION, token.clone());
        }
        let response = self.client.request(request).await.map_err(|error| chain(&error))?;
        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
    pub(super) fn cut(&self, what: &str, error: impl Display) -> Failure {
        let why = format!("{} does not answer: {error}", self.base.as_str().trim_end_matches('/'));
        Failure::with_code(code::UNREACHABLE, what, why).and(self.hint)
    }
}

/// An error with its causes, of which the last one says most.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// TLS with the system's authorities, and those that browsers trust.
fn tls() -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .failed_to("set up TLS")?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
