//! What operators do with one job.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use stepwell::{Edit, JobId, JobState, Json as Text, RetryFrom, Timestamp, When, is_internal};
use utoipa::ToSchema;

use super::{jobs::Named, unique::in_the_way};
use crate::{
    access::Caller,
    front::{Code, Condition, JsonBody, OptionalBody, Problem, etag},
    hub::Hub,
    shape::{JobStateName, JobView, millis, parse_time, present},
};

/// Where a job stands after something was done with it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Standing {
    /// The job.
    #[schema(value_type = String, format = "uuid")]
    id: JobId,
    /// Where it stands.
    #[schema(value_type = JobStateName)]
    state: &'static str,
}

async fn standing(hub: &Hub, id: JobId) -> Result<Json<Standing>, Problem> {
    let state = hub.stepwell.job(id).await?.state;
    Ok(Json(Standing { id, state: state.as_str() }))
}

/// Stops a job.
///
/// At once if it waits; if it runs, its phase is asked to stop and has a grace period for it. A job that has ended
/// stays as it is. The answer is where it stands then.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs",
    params(("id" = String, Path, description = "The job's id", format = "uuid")),
    responses((status = 200, description = "Where it stands", body = Standing)),
)]
pub(crate) async fn cancel_job(
    State(hub): State<Arc<Hub>>,
    Named(job): Named,
) -> Result<Json<Standing>, Problem> {
    let state = hub.stepwell.cancel(job.id).await?;
    Ok(Json(Standing { id: job.id, state: state.as_str() }))
}

/// How to retry.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Retry {
    /// Whether every phase runs again. Unless set, completed phases keep their results.
    from_start: bool,
}

/// Gives a failed or cancelled job a fresh set of tries.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/retry", tag = "jobs",
    params(("id" = String, Path, description = "The job's id", format = "uuid")),
    request_body = Option<Retry>,
    responses((status = 200, description = "Where it stands", body = Standing)),
)]
pub(crate) async fn retry_job(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Named(job): Named,
    OptionalBody(retry): OptionalBody<Retry>,
) -> Result<Json<Standing>, Problem> {
    let retried = match retry.from_start {
        true => hub.stepwell.retry_from_start(job.id).await,
        false => hub.stepwell.retry(job.id).await,
    };
    if let Err(error) = retried {
        return Err(in_the_way(&hub, &grant, error).await);
    }
    standing(&hub, job.id).await
}

/// From where on to run again.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Rerun {
    /// This phase and every later one run again.
    from_phase: String,
    /// A new payload.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    payload: Option<Text>,
}

/// Runs a job that has ended again from a phase on, a completed one too, with a new payload if one is given.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/rerun", tag = "jobs",
    params(("id" = String, Path, description = "The job's id", format = "uuid")),
    request_body = Rerun,
    responses((status = 200, description = "Where it stands", body = Standing)),
)]
pub(crate) async fn rerun_job(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Named(job): Named,
    JsonBody(rerun, _): JsonBody<Rerun>,
) -> Result<Json<Standing>, Problem> {
    let from = RetryFrom::Phase(rerun.from_phase.into());
    if let Err(error) = hub.stepwell.rerun(job.id, from, rerun.payload).await {
        return Err(in_the_way(&hub, &grant, error).await);
    }
    standing(&hub, job.id).await
}

/// Lets a waiting job run now, whatever time it waits for.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/run-now", tag = "jobs",
    params(("id" = String, Path, description = "The job's id", format = "uuid")),
    responses((status = 200, description = "Where it stands", body = Standing)),
)]
pub(crate) async fn run_job_now(
    State(hub): State<Arc<Hub>>,
    Named(job): Named,
) -> Result<Json<Standing>, Problem> {
    hub.stepwell.edit(job.id, Edit { when: Some(When::Now), ..Edit::default() }).await?;
    standing(&hub, job.id).await
}

/// What is changed of a waiting job. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EditJob {
    /// The payload.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    payload: Option<Text>,
    /// The priority.
    #[schema(minimum = -32_768, maximum = 32_767)]
    priority: Option<i16>,
    /// The queue.
    #[schema(min_length = 1, max_length = 200)]
    queue: Option<String>,
    /// Not before so many milliseconds from now. Not together with `runAt`.
    #[schema(maximum = 3_153_600_000_000_i64)]
    delay_ms: Option<u64>,
    /// Not before this time. Not together with `delayMs`.
    #[schema(format = DateTime)]
    run_at: Option<String>,
    /// Its tags, all of them.
    #[schema(max_items = 20)]
    tags: Option<Vec<String>>,
    /// Its search attributes, all of them.
    attributes: Option<BTreeMap<String, String>>,
}

/// Changes a waiting job.
///
/// With `If-Match`, only if it is still at that version.
#[utoipa::path(
    patch, path = "/api/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "The job's id", format = "uuid"),
        ("If-Match" = Option<String>, Header, description = "The ETag that was seen last")),
    request_body = EditJob,
    responses((status = 200, description = "The job, changed", body = JobView,
        headers(("ETag" = String, description = "Its version")))),
)]
pub(crate) async fn edit_job(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Named(job): Named,
    condition: Condition,
    JsonBody(asked, _): JsonBody<EditJob>,
) -> Result<Response, Problem> {
    if let Some(queue) = &asked.queue {
        if is_internal(queue) {
            return Err(Problem::reserved("#/queue"));
        }
        grant.expect(queue, &job.kind)?;
    }
    let when = match (asked.delay_ms, &asked.run_at) {
        (Some(_), Some(_)) => {
            return Err(Problem::of("#/delayMs", "cannot stand together with runAt; leave one of them out"));
        }
        (Some(ms), None) => Some(When::After(millis("#/delayMs", ms)?)),
        (None, Some(at)) => Some(When::At(Timestamp::from(parse_time("#/runAt", at)?))),
        (None, None) => None,
    };
    let edit = Edit {
        payload: asked.payload,
        priority: asked.priority,
        queue: asked.queue.map(Into::into),
        when,
        tags: asked.tags.map(|tags| tags.into_iter().map(Into::into).collect()),
        attributes: asked.attributes.map(|pairs| pairs.into_iter().map(|(k, v)| (k.into(), v)).collect()),
    };
    if edit == Edit::default() {
        return Err(Problem::of("#", "changes nothing; name at least one field"));
    }
    let edited = match condition.only_at {
        Some(version) => hub.stepwell.edit_at(job.id, version, edit).await?,
        None => {
            hub.stepwell.edit(job.id, edit).await?;
            hub.stepwell.job(job.id).await?
        }
    };
    Ok(([(header::ETAG, etag(edited.version))], Json(JobView::from(&edited))).into_response())
}

/// Removes a job that has ended, with everything of it but its events.
#[utoipa::path(
    delete, path = "/api/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "The job's id", format = "uuid")),
    responses((status = 204, description = "It is gone")),
)]
pub(crate) async fn delete_job(
    State(hub): State<Arc<Hub>>,
    Named(job): Named,
) -> Result<StatusCode, Problem> {
    if !job.state.is_terminal() {
        let hint = if job.state == JobState::Cancelling { "wait for its end" } else { "cancel it first" };
        let detail = format!("the job is {}; {hint}", job.state);
        return Err(Problem::new(Code::ConflictState, detail));
    }
    hub.stepwell.delete(job.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
