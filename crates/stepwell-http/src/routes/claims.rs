//! What a worker that speaks HTTP claims, and what it says about that.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use stepwell::{
    JobId, Json as Text, Name, Progress, Timestamp,
    remote::{LeaseToken, RemoteClaim, RemoteClaims, RemoteFailure, Reported, Wanted},
};
use utoipa::ToSchema;

use super::{once::Once, workers};
use crate::{
    access::Caller,
    front::{JsonBody, Problem, Segment},
    hub::Hub,
    shape::{JobStateName, millis, present, time},
};

/// What a worker wants.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewClaim {
    /// The worker.
    #[schema(format = "uuid")]
    worker_id: String,
    /// Of these queues only, out of those that it has registered for.
    #[serde(default)]
    #[schema(max_items = 100)]
    queues: Vec<String>,
    /// Of these kinds only, out of those that it has registered for.
    #[serde(default)]
    #[schema(max_items = 100)]
    kinds: Vec<String>,
    /// How many phases at most; 1 unless set.
    #[schema(minimum = 1, maximum = 100)]
    max: Option<usize>,
    /// How long to wait for the first one; not at all unless set.
    #[schema(minimum = 0, maximum = 30_000)]
    wait_ms: Option<u64>,
}

/// What was claimed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claims {
    /// The phases; none if there was nothing to do.
    claims: Vec<ClaimView>,
    /// If there are none: in how many milliseconds the next job is due, as far as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_due_ms: Option<u64>,
}

/// A phase that is the worker's to run.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClaimView {
    /// What the worker shows with everything that it says about this phase. It is a secret.
    lease: String,
    /// The job.
    job: ClaimedJob,
    /// The phase.
    phase: ClaimedPhase,
}

/// A job of which a phase was claimed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClaimedJob {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    id: JobId,
    /// Its kind.
    #[schema(value_type = String)]
    kind: Name,
    /// Its queue.
    #[schema(value_type = String)]
    queue: Name,
    /// 1, and one more with each operator's retry.
    run: u32,
    /// Rises with each claim of the job: for systems that turn away a worker that has been replaced.
    epoch: u64,
    /// What it is about.
    #[schema(value_type = serde_json::Value)]
    payload: Text,
}

/// A phase that was claimed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClaimedPhase {
    /// Its name.
    #[schema(value_type = String)]
    name: Name,
    /// Which try of it this is: 1 for the first.
    attempt: u32,
    /// Whether an earlier try was cut off, and may have left half of its effects.
    interrupted: bool,
    /// What an earlier try has stored last, or `null`.
    #[schema(value_type = serde_json::Value)]
    checkpoint: Text,
    /// The same for every try: for systems that accept such a key.
    idempotency_key: String,
    /// The longest that the try may run, as the worker has registered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    /// The outputs of its inputs, by their names.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    outputs: BTreeMap<Name, Text>,
}

impl From<RemoteClaim> for ClaimView {
    fn from(claim: RemoteClaim) -> Self {
        let RemoteClaim { lease, job, payload, phase, attempt, interrupted, .. } = claim;
        Self {
            lease: lease.to_string(),
            job: ClaimedJob {
                id: job.id,
                kind: job.kind,
                queue: job.queue,
                run: job.run,
                epoch: job.epoch,
                payload,
            },
            phase: ClaimedPhase {
                name: phase,
                attempt,
                interrupted,
                checkpoint: claim.checkpoint.unwrap_or_else(Text::null),
                idempotency_key: claim.idempotency_key,
                timeout_ms: claim.timeout_ms,
                outputs: claim.outputs.into_iter().collect(),
            },
        }
    }
}

/// Claims phases, and waits for the first one if so wished.
///
/// With an `Idempotency-Key`, a claim whose answer was lost is sent again, and answered with the same phases, as far as
/// they are still the worker's.
#[utoipa::path(
    post, path = "/api/v1/claims", tag = "workers",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once",
        min_length = 1, max_length = 255)),
    request_body = NewClaim,
    responses((status = 200, description = "What was claimed", body = Claims)),
)]
pub(crate) async fn claim(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    headers: HeaderMap,
    JsonBody(asked, bytes): JsonBody<NewClaim>,
) -> Result<Json<Claims>, Problem> {
    let worker = workers::find(&hub, &grant, &asked.worker_id)?;
    let once = Once::read(&grant, &headers, &bytes)?.map(|once| once.of("claim"));
    let names = |names: Vec<String>| names.into_iter().map(Name::from).collect();
    let wanted = Wanted {
        queues: names(asked.queues),
        kinds: names(asked.kinds),
        max: asked.max.unwrap_or(1),
        wait: Duration::from_millis(asked.wait_ms.unwrap_or(0)),
        // Another request under the key is another claim: a worker makes one for each.
        once: once.map(|(key, fingerprint)| format!("{key}:{fingerprint}")),
    };
    let workers = hub.stepwell.remote_workers();
    let claimed = tokio::select! {
        claimed = workers.claim(worker.id, wanted) => claimed?,
        // What was claimed by then is found by the heartbeats, and given back.
        () = hub.draining.cancelled() => RemoteClaims::default(),
    };
    let until = |due: Timestamp| due.since(hub.stepwell.clock().now()).as_millis();
    let next_due_ms = claimed.next_due.map(|due| u64::try_from(until(due)).unwrap_or(u64::MAX));
    Ok(Json(Claims { claims: claimed.claims.into_iter().map(ClaimView::from).collect(), next_due_ms }))
}

fn lease_of(text: &str) -> Result<LeaseToken, Problem> {
    Ok(text.parse()?)
}

/// How far a phase has got, for its next try.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCheckpoint {
    /// Whatever the phase needs to go on from there.
    #[serde(deserialize_with = "present", default)]
    #[schema(value_type = serde_json::Value, required = true)]
    value: Option<Text>,
}

/// Stores how far a phase has got. When the answer comes, it is on disk.
#[utoipa::path(
    post, path = "/api/v1/claims/{lease}/checkpoint", tag = "workers",
    params(("lease" = String, Path, description = "The lease")),
    request_body = NewCheckpoint,
    responses((status = 204, description = "It is stored")),
)]
pub(crate) async fn save_checkpoint(
    State(hub): State<Arc<Hub>>,
    Segment(lease): Segment,
    JsonBody(checkpoint, _): JsonBody<NewCheckpoint>,
) -> Result<StatusCode, Problem> {
    let value = checkpoint.value.ok_or_else(|| Problem::of("#/value", "is missing"))?;
    hub.stepwell.remote_workers().checkpoint(&lease_of(&lease)?, value).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How far a phase has got, for people.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewProgress {
    /// What is done.
    done: u64,
    /// Out of how much.
    total: u64,
    /// A word about it.
    #[schema(max_length = 200)]
    note: Option<String>,
}

/// Says how far a phase has got.
#[utoipa::path(
    post, path = "/api/v1/claims/{lease}/progress", tag = "workers",
    params(("lease" = String, Path, description = "The lease")),
    request_body = NewProgress,
    responses((status = 204, description = "It is told")),
)]
pub(crate) async fn report_progress(
    State(hub): State<Arc<Hub>>,
    Segment(lease): Segment,
    JsonBody(progress, _): JsonBody<NewProgress>,
) -> Result<StatusCode, Problem> {
    let NewProgress { done, total, note } = progress;
    hub.stepwell.remote_workers().progress(&lease_of(&lease)?, Progress { done, total, note }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lines for the job's log.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLines {
    /// The lines.
    #[schema(max_items = 1_000)]
    lines: Vec<String>,
}

/// Adds lines to the job's log.
#[utoipa::path(
    post, path = "/api/v1/claims/{lease}/logs", tag = "workers",
    params(("lease" = String, Path, description = "The lease")),
    request_body = NewLines,
    responses((status = 204, description = "They are there")),
)]
pub(crate) async fn add_logs(
    State(hub): State<Arc<Hub>>,
    Segment(lease): Segment,
    JsonBody(logs, _): JsonBody<NewLines>,
) -> Result<StatusCode, Problem> {
    hub.stepwell.remote_workers().log(&lease_of(&lease)?, logs.lines).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a report has led to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportedView {
    /// Where the job stands.
    #[schema(value_type = JobStateName)]
    job_state: &'static str,
    /// When it is tried again, if it waits for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
    /// The job's next phase, if it was asked for and is the worker's to run; else `null`.
    next: Option<ClaimView>,
}

impl From<Reported> for ReportedView {
    fn from(reported: Reported) -> Self {
        let Reported { state, next_attempt_at, next } = reported;
        Self {
            job_state: state.as_str(),
            next_attempt_at: next_attempt_at.map(|at: Timestamp| time(at)),
            next: next.map(ClaimView::from),
        }
    }
}

/// The end of a phase.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Completion {
    /// What the phase has come to.
    #[serde(deserialize_with = "present", default)]
    #[schema(value_type = serde_json::Value, required = true)]
    output: Option<Text>,
    /// Whether to go on with the job's next phase. Unless set, the job is given back.
    #[serde(default)]
    claim_next: bool,
}

/// Ends a phase with its output, and claims the job's next phase if so wished.
///
/// When the answer comes, it is on disk. Sent again, because the answer was lost, it is answered as it was before.
#[utoipa::path(
    post, path = "/api/v1/claims/{lease}/complete", tag = "workers",
    params(("lease" = String, Path, description = "The lease")),
    request_body = Completion,
    responses((status = 200, description = "What it has led to", body = ReportedView)),
)]
pub(crate) async fn complete_claim(
    State(hub): State<Arc<Hub>>,
    Segment(lease): Segment,
    JsonBody(completion, _): JsonBody<Completion>,
) -> Result<Json<ReportedView>, Problem> {
    let output =
        completion.output.ok_or_else(|| Problem::of("#/output", "is missing; `null` is an output"))?;
    let workers = hub.stepwell.remote_workers();
    Ok(Json(workers.complete(&lease_of(&lease)?, output, completion.claim_next).await?.into()))
}

/// The failure of a try.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FailedTry {
    /// What went wrong.
    error: FailureText,
    /// Whether it is tried again; by the phase's policy unless set.
    #[serde(default)]
    retry: RetryWish,
    /// When it is tried again, in place of when the policy says.
    #[schema(maximum = 3_153_600_000_000_i64)]
    after_ms: Option<u64>,
}

/// What went wrong.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FailureText {
    /// The kind of error.
    r#type: Option<String>,
    /// What it says.
    message: String,
    /// Where it came from.
    stack: Option<String>,
}

/// Whether a try that failed is made again.
#[derive(Clone, Copy, Default, Deserialize, PartialEq, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RetryWish {
    /// By the phase's policy.
    #[default]
    Default,
    /// No further try can help.
    Never,
}

/// Ends a try of a phase with a failure.
#[utoipa::path(
    post, path = "/api/v1/claims/{lease}/fail", tag = "workers",
    params(("lease" = String, Path, description = "The lease")),
    request_body = FailedTry,
    responses((status = 200, description = "What it has led to", body = ReportedView)),
)]
pub(crate) async fn fail_claim(
    State(hub): State<Arc<Hub>>,
    Segment(lease): Segment,
    JsonBody(failed, _): JsonBody<FailedTry>,
) -> Result<Json<ReportedView>, Problem> {
    let FailureText { r#type, message, stack } = failed.error;
    let kind = r#type.map_or_else(String::new, |kind| format!("{kind}: "));
    let stack = stack.map_or_else(String::new, |stack| format!("\n{stack}"));
    let failure = RemoteFailure {
        text: format!("{kind}{message}{stack}"),
        never: failed.retry == RetryWish::Never,
        after: failed.after_ms.map(|ms| millis("#/afterMs", ms)).transpose()?,
    };
    Ok(Json(hub.stepwell.remote_workers().fail(&lease_of(&lease)?, failure).await?.into()))
}

/// How much later a phase wants to run.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Snooze {
    /// In milliseconds.
    #[schema(maximum = 3_153_600_000_000_i64)]
    delay_ms: u64,
}

/// Lets a phase run later, which is no failure.
#[utoipa::path(
    post, path = "/api/v1/claims/{lease}/snooze", tag = "workers",
    params(("lease" = String, Path, description = "The lease")),
    request_body = Snooze,
    responses((status = 200, description = "What it has led to", body = ReportedView)),
)]
pub(crate) async fn snooze_claim(
    State(hub): State<Arc<Hub>>,
    Segment(lease): Segment,
    JsonBody(snooze, _): JsonBody<Snooze>,
) -> Result<Json<ReportedView>, Problem> {
    let delay = millis("#/delayMs", snooze.delay_ms)?;
    Ok(Json(hub.stepwell.remote_workers().snooze(&lease_of(&lease)?, delay).await?.into()))
}

/// Gives a phase back: it runs elsewhere, and that is no failure.
#[utoipa::path(
    post, path = "/api/v1/claims/{lease}/release", tag = "workers",
    params(("lease" = String, Path, description = "The lease")),
    responses((status = 200, description = "What it has led to", body = ReportedView)),
)]
pub(crate) async fn release_claim(
    State(hub): State<Arc<Hub>>,
    Segment(lease): Segment,
) -> Result<Json<ReportedView>, Problem> {
    Ok(Json(hub.stepwell.remote_workers().release(&lease_of(&lease)?).await?.into()))
}
