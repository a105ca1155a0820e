//! Jobs, as they stand.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header, request::Parts};
use serde::Deserialize;
use stepwell::{JobId, JobRecord, JobState, PhaseState, is_internal};
use utoipa::IntoParams;

use crate::{
    access::Grant,
    front::{Condition, Problem, Query, etag},
    hub::Hub,
    shape::{JobDetail, JobView},
};

/// The longest that a request waits for something to happen.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);

/// The job that the address names, if the caller may see it.
pub(crate) struct Named(pub(crate) JobRecord);

impl FromRequestParts<Arc<Hub>> for Named {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, hub: &Arc<Hub>) -> Result<Self, Problem> {
        let missing = || Problem::not_found("job");
        let path = Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, hub).await;
        let id: JobId = match path.ok().and_then(|Path(mut path)| path.remove("id")) {
            // What is no id names no job.
            Some(text) => text.parse().map_err(|_| missing())?,
            None => return Err(missing()),
        };
        let job = match hub.stepwell.job(id).await {
            Ok(job) => job,
            Err(error) if error.is_not_found() => return Err(missing()),
            Err(error) => return Err(error.into()),
        };
        // What is not theirs is not there: its existence is not told either. Deliveries have addresses of their own.
        let grant = parts.extensions.get::<Arc<Grant>>();
        match !is_internal(&job.kind) && grant.is_some_and(|grant| grant.covers_job(&job)) {
            true => Ok(Self(job)),
            false => Err(missing()),
        }
    }
}

/// How to read a job.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GetJob {
    /// Waits so many milliseconds for the job to end, and answers with it as it stands then.
    #[param(maximum = 30_000)]
    wait_ms: Option<u64>,
}

/// A job as it stands.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}", tag = "jobs",
    params(GetJob, ("id" = String, Path, description = "The job's id", format = "uuid"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag that was seen last")),
    responses(
        (status = 200, description = "The job", body = JobDetail,
            headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "It has not changed"),
    ),
)]
pub(crate) async fn get_job(
    State(hub): State<Arc<Hub>>,
    Named(mut job): Named,
    condition: Condition,
    Query(query): Query<GetJob>,
) -> Result<Response, Problem> {
    if let Some(ms) = query.wait_ms.filter(|ms| *ms > 0) {
        let wait = wait_of(ms)?;
        if !job.state.is_terminal() {
            let handle = hub.stepwell.handle_untyped(job.id);
            tokio::select! {
                ended = handle.ended() => job = ended?,
                () = tokio::time::sleep(wait) => job = hub.stepwell.job(job.id).await?,
                () = hub.draining.cancelled() => {}
            }
        }
    }
    if condition.is_known(job.version) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(job.version))]).into_response());
    }
    let payload = hub.stepwell.payload(job.id).await?;
    let result = match result_phase(&job) {
        Some(phase) => hub.stepwell.phase_result(job.id, phase).await?,
        None => None,
    };
    let tag = [(header::ETAG, etag(job.version))];
    Ok((tag, Json(JobDetail { job: JobView::from(&job), payload, result })).into_response())
}

pub(super) fn wait_of(ms: u64) -> Result<Duration, Problem> {
    let wait = Duration::from_millis(ms);
    match wait > WAIT_MAX {
        true => Err(Problem::of("?waitMs", format!("is more than the limit of {}", WAIT_MAX.as_millis()))),
        false => Ok(wait),
    }
}

/// The phase whose result is the job's.
fn result_phase(job: &JobRecord) -> Option<&str> {
    let completed = job.state == JobState::Completed;
    let last = job.phases.iter().rev().find(|phase| phase.state == PhaseState::Completed);
    last.filter(|_| completed).map(|phase| &*phase.name)
}
