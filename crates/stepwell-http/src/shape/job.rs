//! Jobs on the wire.

use std::collections::BTreeMap;

use serde::Serialize;
use stepwell::{JobId, JobRecord, Json, Name};
use utoipa::ToSchema;

use super::{FailureView, PhaseView, time};

/// A job as it stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Job)]
pub(crate) struct JobView {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: JobId,
    /// What kind of work it is.
    #[schema(value_type = String)]
    pub(crate) kind: Name,
    /// The queue it waits or runs in now.
    #[schema(value_type = String)]
    pub(crate) queue: Name,
    /// Where it stands.
    #[schema(value_type = JobStateName)]
    pub(crate) state: &'static str,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) reason: Option<&'static str>,
    /// Changes with every transition. The ETag is `"v<version>"`.
    pub(crate) version: u64,
    /// Higher runs first.
    pub(crate) priority: i16,
    /// 1, and one more with each operator's retry.
    pub(crate) run: u32,
    /// How often a worker has taken it in this run.
    pub(crate) attempt: u32,
    /// How often in a row its worker died under it.
    pub(crate) crashes: u32,
    /// Crashes after which it is given up.
    pub(crate) max_crashes: u32,
    /// What makes it the same as another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unique_key: Option<String>,
    /// Words to find it by.
    #[schema(value_type = Vec<String>)]
    pub(crate) tags: Vec<Name>,
    /// Keys and values to find it by.
    #[schema(value_type = BTreeMap<String, String>)]
    pub(crate) attributes: BTreeMap<Name, String>,
    /// When it came to be.
    #[schema(format = DateTime)]
    pub(crate) enqueued_at: String,
    /// Not before this.
    #[schema(format = DateTime)]
    pub(crate) run_at: String,
    /// No worker takes it after this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) expires_at: Option<String>,
    /// When it was asked to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) cancel_requested_at: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) finished_at: Option<String>,
    /// Its phases: those that ran, in the order in which they did, then the others.
    pub(crate) phases: Vec<PhaseView>,
    /// How far the running phase has got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<ProgressView>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<FailureView>,
    /// Its own webhook, without the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhook: Option<WebhookView>,
    /// Whether its end was delivered.
    pub(crate) webhook_sent: bool,
    /// The `jobSeq` of its next event. Whoever follows its events drops those with a smaller one.
    pub(crate) next_seq: u64,
}

/// Where a job stands.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it stands for the names in the description")]
pub(crate) enum JobStateName {
    Pending,
    Running,
    Cancelling,
    Completed,
    Failed,
    Cancelled,
}

/// How far a phase has got.
#[derive(Serialize, ToSchema)]
#[schema(as = Progress)]
pub(crate) struct ProgressView {
    /// Units done.
    pub(crate) done: u64,
    /// Units in all.
    pub(crate) total: u64,
    /// A word about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// A job's own webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = JobWebhookView)]
pub(crate) struct WebhookView {
    /// Where to.
    pub(crate) url: String,
    /// Which events.
    pub(crate) events: Vec<&'static str>,
}

impl From<&JobRecord> for JobView {
    fn from(job: &JobRecord) -> Self {
        let details = &job.details;
        Self {
            id: job.id,
            kind: job.kind.clone(),
            queue: job.queue.clone(),
            state: job.state.as_str(),
            reason: job.reason.map(stepwell::Reason::as_str),
            version: job.version,
            priority: job.priority,
            run: job.run,
            attempt: job.attempt,
            crashes: job.crashes,
            max_crashes: job.max_crashes,
            unique_key: job.unique_key.clone(),
            tags: details.tags.clone(),
            attributes: details.attributes.clone(),
            enqueued_at: time(job.enqueued_at),
            run_at: time(job.available_at),
            expires_at: job.expires_at.map(time),
            cancel_requested_at: job.cancel_requested_at.map(time),
            finished_at: job.finished_at.map(time),
            phases: job.phases.iter().map(PhaseView::from).collect(),
            progress: details.progress.as_ref().map(|progress| ProgressView {
                done: progress.done,
                total: progress.total,
                note: progress.note.clone(),
            }),
            failure: details.failure.as_ref().map(FailureView::from),
            webhook: details.webhook.as_ref().map(|webhook| WebhookView {
                url: webhook.url.clone(),
                events: webhook.events.iter().map(|ty| ty.as_str()).collect(),
            }),
            webhook_sent: details.webhook_sent,
            next_seq: job.next_seq,
        }
    }
}

/// A job as it stands, with what it is about and what has come of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobDetail {
    /// The job.
    #[serde(flatten)]
    pub(crate) job: JobView,
    /// What it is about, as it was written.
    #[schema(value_type = serde_json::Value)]
    pub(crate) payload: Json,
    /// What its last phase returned, as it was written; absent unless it has completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub(crate) result: Option<Json>,
}
