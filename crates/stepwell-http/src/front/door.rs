//! The door: what every request passes, and what every answer carries.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    extract::{OriginalUri, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};

use super::{Code, Problem, ProblemBody, hosts::HostFault, origin};
use crate::hub::Hub;

/// Bytes of a request's target.
const TARGET_BYTES_MAX: usize = 8 << 10;
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// What the door knows of a request.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// Under what the API is mounted: empty, or such as `/a/b`.
    pub(crate) base: Arc<str>,
    /// Names the request in answers and logs.
    pub(crate) request_id: Arc<str>,
}

/// Lets a request through, or not, and finishes its answer.
pub(crate) async fn through(State(hub): State<Arc<Hub>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let target = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri).clone();
    let base: Arc<str> = target.path().strip_suffix(parts.uri.path()).unwrap_or("").into();
    let door = Door { base, request_id: request_id(&hub, &parts.headers) };
    let method = parts.method.clone();
    let mut response = match admit(&hub, &parts) {
        Err(problem) => problem.into_response(),
        Ok(()) => {
            parts.extensions.insert(door.clone());
            let request = Request::from_parts(parts, body);
            match AssertUnwindSafe(next.run(request)).catch_unwind().await {
                Ok(response) => response,
                Err(_) => {
                    // What it said may hold what a caller sent. The panic hook has told the operator.
                    tracing::error!(request = %door.request_id, "a request's handler panicked");
                    Problem::new(Code::Internal, Code::Internal.title()).into_response()
                }
            }
        }
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        write_problem(&mut response, problem, &door, target.path(), &method);
    }
    dress(response.headers_mut(), &door);
    hub.counters.answered(response.status());
    response
}

fn admit(hub: &Hub, parts: &Parts) -> Result<(), Problem> {
    let host = hub.hosts.check(parts).map_err(|fault| match fault {
        HostFault::Malformed => Problem::of("Host", "must name one host, and the same as the target does"),
        HostFault::Unknown => Problem::new(Code::HostRefused, "the server is not reached under this name"),
    })?;
    if parts.uri.path_and_query().is_some_and(|target| target.as_str().len() > TARGET_BYTES_MAX) {
        return Err(Problem::of("target", format!("is longer than the limit of {TARGET_BYTES_MAX} bytes")));
    }
    if origin::is_cross_site(&parts.method, &parts.headers, &host) {
        return Err(Problem::new(Code::CrossSite, "the request comes from another site's page"));
    }
    Ok(())
}

/// The request's id: the caller's own, if it is fit for a log.
fn request_id(hub: &Hub, headers: &HeaderMap) -> Arc<str> {
    let fit = |text: &&str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let own = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(fit);
    own.map_or_else(
        || URL_SAFE_NO_PAD.encode(hub.stepwell.random::<12>()).replace('_', "-").into(),
        Into::into,
    )
}

fn write_problem(response: &mut Response, problem: Problem, door: &Door, path: &str, method: &Method) {
    let retryable = problem.is_retryable();
    let Problem { code, detail, errors, retry_after, job } = problem;
    let status = response.status();
    let body = ProblemBody {
        r#type: format!("{}/problems/{}", door.base, code.as_str()),
        title: code.title(),
        status: status.as_u16(),
        detail,
        instance: path.to_owned(),
        code: code.as_str(),
        request_id: (*door.request_id).to_owned(),
        retryable,
        retry_after_ms: retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        errors,
        job_id: job,
    };
    // Texts and numbers always encode.
    let bytes = serde_json::to_vec(&body).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    if *method != Method::HEAD && status != StatusCode::NO_CONTENT {
        *response.body_mut() = bytes.into();
    }
}

/// Headers that every answer carries.
fn dress(headers: &mut HeaderMap, door: &Door) {
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(header::CACHE_CONTROL, "no-store");
    if let Ok(value) = door.request_id.parse() {
        headers.insert(REQUEST_ID, value);
    }
}
