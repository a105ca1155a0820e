//! Many new jobs at once.

use std::sync::Arc;

use axum::{Json, extract::State};
use futures_util::future::join_all;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use stepwell::JobId;
use utoipa::ToSchema;

use super::{create::enqueue, once::Once};
use crate::{
    access::Caller,
    front::{Fault, JsonBody, Problem},
    hub::Hub,
    shape::NewJob,
};

/// Jobs of one batch.
const BATCH_MAX: usize = 1_000;

/// Jobs that are asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// At most 1,000.
    #[schema(min_items = 1, max_items = 1000)]
    jobs: Vec<NewJob>,
}

/// What became of one of them: a job, or a fault.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchItem {
    /// The job.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    id: Option<JobId>,
    /// Whether it is new.
    created: bool,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Fault>,
}

/// What became of a batch.
#[derive(Serialize, ToSchema)]
pub(crate) struct Batched {
    /// One for each, in order.
    data: Vec<BatchItem>,
    /// How many are new.
    created: usize,
    /// How many were refused.
    failed: usize,
}

/// Creates many jobs, each by itself: one that is refused keeps no other from being created.
///
/// When the answer comes, all that were created are on disk. With an `Idempotency-Key` each of them counts once.
#[utoipa::path(
    post, path = "/api/v1/jobs/batch", tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once",
        min_length = 1, max_length = 255)),
    request_body = Batch,
    responses((status = 200, description = "What became of each", body = Batched)),
)]
pub(crate) async fn create_jobs(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    headers: HeaderMap,
    JsonBody(batch, bytes): JsonBody<Batch>,
) -> Result<Json<Batched>, Problem> {
    let n = batch.jobs.len();
    if !(1..=BATCH_MAX).contains(&n) {
        return Err(Problem::of("#/jobs", format!("are {n}, and must be 1 to {BATCH_MAX}")));
    }
    let once = Once::read(&grant, &headers, &bytes)?;
    // All at once: the store gathers them into few commits.
    let jobs = batch.jobs.iter().enumerate().map(|(nth, new)| {
        let (hub, grant, once) = (&hub, &grant, once.as_ref().map(|once| once.of(&format!("jobs.{nth}"))));
        async move { enqueue(hub, grant, new, once).await }
    });
    let mut batched = Batched { data: Vec::with_capacity(n), created: 0, failed: 0 };
    for (nth, outcome) in join_all(jobs).await.into_iter().enumerate() {
        batched.data.push(match outcome {
            Ok(handle) => {
                let created = !handle.is_duplicate();
                batched.created += usize::from(created);
                BatchItem { id: Some(handle.id()), created, error: None }
            }
            Err(problem) => {
                batched.failed += 1;
                let at = problem.errors.first().map_or("", |fault| fault.pointer.trim_start_matches('#'));
                let pointer = format!("#/jobs/{nth}{}", if at.starts_with('/') { at } else { "" });
                BatchItem { id: None, created: false, error: Some(problem.fault(pointer)) }
            }
        });
    }
    Ok(Json(batched))
}
