//! New jobs.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use stepwell::{JobHandle, Untyped};

use crate::{
    access::{Caller, Grant, hex},
    front::{Code, JsonBody, Problem},
    hub::Hub,
    shape::{Created, NewJob},
};

pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 255;

/// A request that counts once, and what tells it from others.
pub(super) struct Once {
    who: Arc<str>,
    key: String,
    fingerprint: String,
}

impl Once {
    /// What the `Idempotency-Key` header says.
    pub(super) fn read(grant: &Grant, headers: &HeaderMap, body: &Bytes) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else { return Ok(None) };
        let wrong = |detail: String| Problem::of("Idempotency-Key", detail);
        if values.next().is_some() {
            return Err(wrong("must stand there once".into()));
        }
        // The header is a structured-field string, but many send it bare.
        let key = value.to_str().unwrap_or("").trim_matches('"');
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
            return Err(wrong(format!("must be 1 to {KEY_BYTES_MAX} bytes of ASCII text")));
        }
        let who = grant.who.clone();
        Ok(Some(Self { who, key: key.to_owned(), fingerprint: hex(&Sha256::digest(body)) }))
    }
    /// For the one job of the request.
    fn whole(&self) -> (String, String) {
        self.part("job")
    }
    /// For the one bulk operation of the request.
    pub(super) fn bulk(&self) -> (String, String) {
        self.part("bulk")
    }
    /// For one of several jobs of the request.
    pub(super) fn nth(&self, nth: usize) -> (String, String) {
        self.part(&format!("jobs.{nth}"))
    }
    /// Each caller's keys are their own, whatever they are called: no two pairs of them are written alike.
    fn part(&self, part: &str) -> (String, String) {
        (format!("{}:{}:{part}:{}", self.who.len(), self.who, self.key), self.fingerprint.clone())
    }
}

/// Creates a job.
///
/// When the answer comes, the job is on disk. A request with an `Idempotency-Key` counts once in 24 hours: sent again,
/// it is answered as it was before.
#[utoipa::path(
    post, path = "/api/v1/jobs", tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once")),
    request_body = NewJob,
    responses(
        (status = 201, description = "It was created", body = Created,
            headers(("Location" = String, description = "The job, relative to this address"))),
        (status = 200, description = "Its unique key stood for another job, which is the answer", body = Created),
    ),
)]
pub(crate) async fn create_job(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    headers: HeaderMap,
    JsonBody(new, bytes): JsonBody<NewJob>,
) -> Result<Response, Problem> {
    let once = Once::read(&grant, &headers, &bytes)?.map(|once| once.whole());
    let handle = enqueue(&hub, &grant, &new, once).await?;
    let status = if handle.is_duplicate() { StatusCode::OK } else { StatusCode::CREATED };
    let created = Created { id: handle.id(), created: !handle.is_duplicate() };
    let mut response = (status, Json(created)).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("jobs/{}", handle.id())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if handle.is_replayed() {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Stores one job, or does what is asked for with the one that its unique key stands for.
pub(super) async fn enqueue(
    hub: &Hub,
    grant: &Grant,
    new: &NewJob,
    once: Option<(String, String)>,
) -> Result<JobHandle<Untyped>, Problem> {
    grant.expect(new.queue(), &new.kind)?;
    if stepwell::is_internal(&new.kind) {
        return Err(Problem::reserved("#/kind"));
    }
    if stepwell::is_internal(new.queue()) {
        return Err(Problem::reserved("#/queue"));
    }
    let mut enqueue = new.enqueue(&hub.stepwell, grant)?;
    if let Some((key, fingerprint)) = once {
        enqueue = enqueue.once(key, fingerprint);
    }
    let error = match enqueue.await {
        Ok(handle) => return Ok(handle),
        Err(error) => error,
    };
    if let Some(holder) = error.unique_holder()
        && grant.is_limited()
        && !hub.stepwell.job(holder).await.is_ok_and(|job| grant.covers_job(&job))
    {
        // Which one it is, is not theirs to know.
        let detail = "a job that is not for this token has this unique key";
        return Err(Problem::new(Code::ConflictUnique, detail));
    }
    Err(error.into())
}
