//! New jobs.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use stepwell::{JobHandle, Untyped};

use super::{
    once::{Once, replayed},
    unique::in_the_way,
};
use crate::{
    access::{Caller, Grant},
    front::{JsonBody, Problem},
    hub::Hub,
    shape::{Created, NewJob},
};

/// Creates a job.
///
/// When the answer comes, the job is on disk. A request with an `Idempotency-Key` counts once in 24 hours: sent again,
/// it is answered as it was before.
#[utoipa::path(
    post, path = "/api/v1/jobs", tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once",
        min_length = 1, max_length = 255)),
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
    let once = Once::read(&grant, &headers, &bytes)?.map(|once| once.of("job"));
    let handle = enqueue(&hub, &grant, &new, once).await?;
    let status = if handle.is_duplicate() { StatusCode::OK } else { StatusCode::CREATED };
    let created = Created { id: handle.id(), created: !handle.is_duplicate() };
    let mut response = (status, Json(created)).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("jobs/{}", handle.id())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(replayed(response, handle.is_replayed()))
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
    match enqueue.await {
        Ok(handle) => Ok(handle),
        Err(error) => Err(in_the_way(hub, grant, error).await),
    }
}
